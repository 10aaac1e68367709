/* SPDX-License-Identifier: Apache-2.0 */
/* Gemini (Google's generateContent API, v1beta).
 *
 * Only what was set is sent: unknown or unsupported fields are refused with 400. Every level of an
 * answer may be missing. A stream ends by closing, so only a finishReason tells a whole answer from
 * a cut one; usage is cumulative, the last counts; thinking counts as output. */
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "llm/llm_internal.h"

enum {
        GEMINI_BATCH = 100,
        GEMINI_BATCH_BYTES = 3 * 1024 * 1024, /* the API takes 4 MiB of payload */
        GEMINI_DIMENSIONS = 768,
};

static enum status gemini_prepare(const void *ctx, struct endpoint *endpoint, struct error *err)
{
        static const char *const suffixes[] = {"/v1beta/models", "/v1beta", "/v1", NULL};

        endpoint->base_url = llm_base_url_trim(ctx, endpoint->base_url, suffixes);
        if (strncmp(endpoint->model, "models/", 7) == 0)
                endpoint->model += 7;
        /* The model becomes a part of the path. */
        if (*endpoint->model && strlen(endpoint->model) <= 128 &&
            strspn(endpoint->model, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    ".-_") == strlen(endpoint->model))
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE, "'%.60s' is not the name of a Gemini model",
                         endpoint->model);
}

static struct http_header gemini_key_header(const void *ctx, const struct endpoint *endpoint)
{
        (void)ctx;
        return (struct http_header){"x-goog-api-key", endpoint->api_key};
}

static char *method_url(const void *ctx, const struct endpoint *endpoint, const char *method)
{
        return mem_printf(ctx, "%s/v1beta/models/%s%s", endpoint->base_url, endpoint->model,
                          method);
}

static char *gemini_chat_url(const void *ctx, const struct endpoint *endpoint, bool stream)
{
        return method_url(ctx, endpoint,
                          stream ? ":streamGenerateContent?alt=sse" : ":generateContent");
}

static void put_parts(struct json_writer *writer, const char *text)
{
        json_open_array(writer, "parts");
        json_open_object(writer, NULL);
        json_put_text(writer, "text", text);
        json_close_object(writer);
        json_close_array(writer);
}

static void put_contents(struct json_writer *writer, const struct llm_request *request)
{
        json_open_array(writer, "contents");
        for (size_t i = 0; i < request->message_count; i++) {
                const struct llm_message *message = &request->messages[i];

                json_open_object(writer, NULL);
                json_put_text(writer, "role",
                              strcmp(message->role, "assistant") == 0 ? "model" : "user");
                put_parts(writer, *message->content ? message->content : " ");
                json_close_object(writer);
        }
        json_close_array(writer);
}

static void put_config(struct json_writer *writer, const struct llm_request *request)
{
        if (request->temperature < 0 && !request->max_tokens && !request->json_output)
                return;
        json_open_object(writer, "generationConfig");
        if (request->temperature >= 0)
                json_put_real(writer, "temperature", request->temperature);
        if (request->max_tokens)
                json_put_int(writer, "maxOutputTokens", request->max_tokens);
        if (request->json_output)
                json_put_text(writer, "responseMimeType", "application/json");
        json_close_object(writer);
}

static void gemini_chat_body(struct buffer *out, const struct endpoint *endpoint,
                             const struct llm_request *request, bool stream)
{
        struct json_writer writer = JSON_WRITER(out);

        (void)stream;
        json_open_object(&writer, NULL);
        if (request->system && *request->system) {
                json_open_object(&writer, "systemInstruction");
                put_parts(&writer, request->system);
                json_close_object(&writer);
        }
        put_contents(&writer, request);
        put_config(&writer, request);
        /* Google keeps prompts of paid projects unless told not to; others may not know the field.
         */
        if (endpoint->own_base && !(endpoint->quirks & QUIRK_NO_STORE))
                json_put_bool(&writer, "store", false);
        json_close_object(&writer);
}

static void gemini_chat_adapt(json_t *body, unsigned quirk)
{
        if (quirk & QUIRK_NO_STORE)
                json_object_del(body, "store");
}

static void take_usage(struct answer *answer, const json_t *usage)
{
        if (!json_is_object(usage))
                return;
        answer->has_usage = true;
        answer->input_tokens = json_get_int(usage, "promptTokenCount", 0) +
                               json_get_int(usage, "toolUsePromptTokenCount", 0);
        answer->output_tokens = json_get_int(usage, "candidatesTokenCount", 0) +
                                json_get_int(usage, "thoughtsTokenCount", 0);
}

static void copy_word(char *to, size_t size, const char *from)
{
        if (from)
                snprintf(to, size, "%s", from);
}

static void take_candidate(struct answer *answer, const json_t *candidate)
{
        const json_t *parts = json_path(candidate, "content.parts"), *part;
        size_t i;

        json_array_foreach (parts, i, part) {
                if (!json_get_flag(part, "thought", false))
                        buffer_text(&answer->text, json_get_text(part, "text", ""));
        }
        copy_word(answer->finish, sizeof(answer->finish),
                  json_get_text(candidate, "finishReason", NULL));
}

static enum status gemini_chat_event(const struct endpoint *endpoint, struct answer *answer,
                                     const json_t *json, struct refusal *refusal)
{
        const json_t *error = json_object_get(json, "error");

        /* An error in the midst of a stream; without alt=sse it comes wrapped in an array. */
        if (error || json_is_array(json))
                return llm_refusal_from_json(refusal, endpoint, json);
        take_usage(answer, json_object_get(json, "usageMetadata"));
        copy_word(answer->model, sizeof(answer->model), json_get_text(json, "modelVersion", NULL));
        copy_word(answer->blocked, sizeof(answer->blocked),
                  json_get_text(json_object_get(json, "promptFeedback"), "blockReason", NULL));
        take_candidate(answer, json_array_get(json_object_get(json, "candidates"), 0));
        return STATUS_OK;
}

static bool is_withheld(const char *finish)
{
        static const char *const reasons[] = {"SAFETY",      "RECITATION", "BLOCKLIST",
                                              "SPII",        "LANGUAGE",   "PROHIBITED_CONTENT",
                                              "IMAGE_SAFETY"};

        for (size_t i = 0; i < ARRAY_LENGTH(reasons); i++) {
                if (strcmp(finish, reasons[i]) == 0)
                        return true;
        }
        return false;
}

static enum status gemini_chat_end(const struct endpoint *endpoint, struct answer *answer,
                                   struct refusal *refusal)
{
        if (*answer->blocked)
                return llm_refusal_set(refusal, REFUSED_SAFETY, endpoint, answer->blocked);
        if (is_withheld(answer->finish))
                return llm_refusal_set(refusal, REFUSED_SAFETY, endpoint, answer->finish);
        if (!*answer->finish)
                return llm_refusal_set(refusal, REFUSED_CUT, endpoint, NULL);
        if (answer->text.length == 0)
                return llm_refusal_set(refusal,
                                       strcmp(answer->finish, "MAX_TOKENS") == 0 ? REFUSED_BUDGET
                                                                                 : REFUSED_EMPTY,
                                       endpoint, answer->finish);
        if (strcmp(answer->finish, "STOP") == 0)
                copy_word(answer->finish, sizeof(answer->finish), "stop");
        else if (strcmp(answer->finish, "MAX_TOKENS") == 0)
                copy_word(answer->finish, sizeof(answer->finish), "length");
        return STATUS_OK;
}

/* --- Errors ------------------------------------------------------------------------------------
 */

/* The detail of a google.rpc type, e.g. "RetryInfo", or NULL. */
static const json_t *find_detail(const json_t *error, const char *type)
{
        const json_t *details = json_object_get(error, "details"), *detail;
        size_t i;

        json_array_foreach (details, i, detail) {
                const char *name = json_get_text(detail, "@type", "");
                const char *last = strrchr(name, '.');

                if (last && strcmp(last + 1, type) == 0)
                        return detail;
        }
        return NULL;
}

/* "17s" or "17.5s" in milliseconds. */
static unsigned read_delay(const char *text)
{
        double seconds = text ? strtod(text, NULL) : 0;

        return seconds > 0 && seconds < 86400 ? (unsigned)(seconds * 1000) : 0;
}

/* A quota by the day is used up for today; one by the minute only asks for patience. */
static bool is_daily_quota(const json_t *error)
{
        const json_t *violations =
                json_object_get(find_detail(error, "QuotaFailure"), "violations");
        const json_t *violation;
        size_t i;

        json_array_foreach (violations, i, violation) {
                if (strstr(json_get_text(violation, "quotaId", ""), "PerDay"))
                        return true;
        }
        return false;
}

static bool mentions(const char *text, const char *word)
{
        return strcasestr(text, word) != NULL;
}

static enum refusal_kind explain_400(const json_t *error, const char *message, const char *status,
                                     unsigned *quirk)
{
        const char *reason = json_get_text(find_detail(error, "ErrorInfo"), "reason", "");

        if (strcmp(reason, "API_KEY_INVALID") == 0 || mentions(message, "API key not valid") ||
            mentions(message, "API key expired"))
                return REFUSED_KEY;
        if (strcmp(status, "FAILED_PRECONDITION") == 0)
                return REFUSED_REGION;
        if (mentions(message, "exceeds the maximum number of tokens") ||
            (mentions(message, "token count") && mentions(message, "exceeds")))
                return REFUSED_LENGTH;
        if (mentions(message, "\"store\"") && mentions(message, "Cannot find field"))
                *quirk = QUIRK_NO_STORE;
        return REFUSED_REQUEST;
}

static enum refusal_kind kind_of(const json_t *error, unsigned http_status, const char *message,
                                 unsigned *quirk)
{
        const char *status = json_get_text(error, "status", "");

        if (http_status == 400)
                return explain_400(error, message, status, quirk);
        if (http_status == 401)
                return REFUSED_KEY;
        if (http_status == 403)
                return mentions(message, "unregistered callers") ? REFUSED_KEY : REFUSED_PERMISSION;
        if (http_status == 404)
                return REFUSED_MODEL;
        if (http_status == 413)
                return REFUSED_LENGTH;
        if (http_status == 429)
                return is_daily_quota(error) ? REFUSED_QUOTA : REFUSED_RATE;
        if (http_status == 503)
                return REFUSED_BUSY;
        if (http_status == 408 || http_status >= 500 || (http_status == 0 && error))
                return REFUSED_SERVER;
        return REFUSED_SHAPE;
}

static struct explanation gemini_explain(unsigned http_status, const json_t *json)
{
        const json_t *root = json_is_array(json) ? json_array_get(json, 0) : json;
        const json_t *error = json_object_get(root, "error");
        struct explanation told = {.message = json_get_text(error, "message", "")};

        if (http_status == 0)
                http_status = (unsigned)json_get_int(error, "code", 0);
        told.kind = kind_of(error, http_status, told.message, &told.quirk);
        /* A 404 that is not Google's own is a wrong address, not a wrong model. */
        if (told.kind == REFUSED_MODEL && !error)
                told.kind = REFUSED_SHAPE;
        told.retry_after_ms =
                read_delay(json_get_text(find_detail(error, "RetryInfo"), "retryDelay", NULL));
        return told;
}

/* --- Embeddings --------------------------------------------------------------------------------
 */

static bool has_task_types(const char *model)
{
        return strncmp(model, "gemini-embedding-2", 18) != 0;
}

/* gemini-embedding-2 takes the task as words in front of the text; earlier models as a field. */
static void put_embed_text(struct json_writer *writer, const struct endpoint *endpoint,
                           enum llm_embed_kind kind, const char *text)
{
        SCOPED_MEM void *ctx = mem_root();
        bool query = kind == LLM_EMBED_QUERY;

        if (!*text)
                text = " ";
        if (!has_task_types(endpoint->model))
                text = mem_printf(
                        ctx, "%s%s",
                        query ? "task: search result | query: " : "title: none | text: ", text);
        json_open_object(writer, "content");
        put_parts(writer, text);
        json_close_object(writer);
        if (has_task_types(endpoint->model))
                json_put_text(writer, "taskType", query ? "RETRIEVAL_QUERY" : "RETRIEVAL_DOCUMENT");
}

static void gemini_embed_body(struct buffer *out, const struct endpoint *endpoint,
                              enum llm_embed_kind kind, const char *const *texts, size_t count)
{
        struct json_writer writer = JSON_WRITER(out);
        SCOPED_MEM char *model = mem_printf(NULL, "models/%s", endpoint->model);

        json_open_object(&writer, NULL);
        json_open_array(&writer, "requests");
        for (size_t i = 0; i < count; i++) {
                json_open_object(&writer, NULL);
                json_put_text(&writer, "model", model);
                put_embed_text(&writer, endpoint, kind, texts[i]);
                json_put_int(&writer, "outputDimensionality", GEMINI_DIMENSIONS);
                json_close_object(&writer);
        }
        json_close_array(&writer);
        json_close_object(&writer);
}

static char *gemini_embed_url(const void *ctx, const struct endpoint *endpoint)
{
        return method_url(ctx, endpoint, ":batchEmbedContents");
}

static bool gemini_embed_answer(const json_t *json, struct embedding *out)
{
        const json_t *list = json_object_get(json, "embeddings"), *item;
        size_t i;

        if (json_array_size(list) != out->count)
                return false;
        out->tokens = json_get_int(json_object_get(json, "usageMetadata"), "promptTokenCount", 0);
        json_array_foreach (list, i, item) {
                if (!llm_embedding_take(out, i, json_object_get(item, "values")))
                        return false;
        }
        return true;
}

/* --- Check -------------------------------------------------------------------------------------
 */

static char *gemini_check_url(const void *ctx, const struct endpoint *endpoint)
{
        return method_url(ctx, endpoint, "");
}

static enum status gemini_check_answer(const struct endpoint *endpoint, const json_t *json,
                                       struct error *err)
{
        if (json_get_text(json, "name", NULL))
                return STATUS_OK;
        return error_set(err, STATUS_UPSTREAM, "%s did not describe the model %s", endpoint->title,
                         endpoint->model);
}

const struct dialect gemini_dialect = {
        .prepare = gemini_prepare,
        .key_header = gemini_key_header,
        .chat_url = gemini_chat_url,
        .chat_body = gemini_chat_body,
        .chat_adapt = gemini_chat_adapt,
        .chat_event = gemini_chat_event,
        .chat_end = gemini_chat_end,
        .batch_max = GEMINI_BATCH,
        .batch_bytes = GEMINI_BATCH_BYTES,
        .embed_url = gemini_embed_url,
        .embed_body = gemini_embed_body,
        .embed_answer = gemini_embed_answer,
        .check_url = gemini_check_url,
        .check_answer = gemini_check_answer,
        .explain = gemini_explain,
};
