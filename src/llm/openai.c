/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's chat completions and embeddings, as OpenAI, Groq, Ollama, llama.cpp, vLLM and Gemini's
 * compatible endpoint speak them.
 *
 * They differ in small things: the name of the token limit, whether a temperature is taken, where
 * reasoning goes (never into the answer), whether errors are objects or strings and their codes
 * text or numbers. What is refused is left out the second time. */
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "llm/llm_internal.h"

enum {
        OPENAI_BATCH = 100,              /* Gemini's compatible endpoint takes no more */
        OPENAI_BATCH_BYTES = 800 * 1000, /* 300,000 tokens a request, at under 3 bytes a token */
};

static enum status openai_prepare(const void *ctx, struct endpoint *endpoint, struct error *err)
{
        static const char *const suffixes[] = {"/chat/completions", "/embeddings", "/models", NULL};
        const char *host;

        endpoint->base_url = llm_base_url_trim(ctx, endpoint->base_url, suffixes);
        host = strstr(endpoint->base_url, "://") + 3;
        if (!strchr(host, '/'))
                endpoint->base_url = mem_printf(ctx, "%s/v1", endpoint->base_url);
        if (strlen(endpoint->model) <= 200)
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE, "The model's name is longer than 200 bytes");
}

static struct http_header openai_key_header(const void *ctx, const struct endpoint *endpoint)
{
        return (struct http_header){"Authorization",
                                    mem_printf(ctx, "Bearer %s", endpoint->api_key)};
}

static char *openai_chat_url(const void *ctx, const struct endpoint *endpoint, bool stream)
{
        (void)stream;
        return mem_printf(ctx, "%s/chat/completions", endpoint->base_url);
}

/* Servers that know the newer name of the limit; Ollama ignores it without a word, so that the
 * older one is the rule. */
static bool takes_newer_limit(const struct endpoint *endpoint)
{
        bool newer = strstr(endpoint->base_url, "://api.openai.com") ||
                     strstr(endpoint->base_url, "://api.groq.com");

        return newer != ((endpoint->quirks & QUIRK_OTHER_TOKENS_FIELD) != 0);
}

static void put_message(struct json_writer *writer, const char *role, const char *content)
{
        json_open_object(writer, NULL);
        json_put_text(writer, "role", role);
        json_put_text(writer, "content", content);
        json_close_object(writer);
}

/* OpenAI refuses JSON mode unless some message asks for JSON. */
static const char *json_rule(const struct llm_request *request)
{
        if (!request->json_output || (request->system && strcasestr(request->system, "json")))
                return NULL;
        for (size_t i = 0; i < request->message_count; i++) {
                if (strcasestr(request->messages[i].content, "json"))
                        return NULL;
        }
        return "Answer with one JSON object and nothing else.";
}

static void put_messages(struct json_writer *writer, const struct llm_request *request)
{
        const char *system = request->system ? request->system : "", *rule = json_rule(request);
        SCOPED_MEM void *ctx = mem_root();

        if (rule)
                system = mem_printf(ctx, "%s%s%s", system, *system ? "\n\n" : "", rule);
        json_open_array(writer, "messages");
        if (*system)
                put_message(writer, "system", system);
        for (size_t i = 0; i < request->message_count; i++) {
                const struct llm_message *message = &request->messages[i];
                bool assistant = strcmp(message->role, "assistant") == 0;

                put_message(writer, assistant ? "assistant" : "user", message->content);
        }
        json_close_array(writer);
}

static void put_stream(struct json_writer *writer, const struct endpoint *endpoint)
{
        json_put_bool(writer, "stream", true);
        if (endpoint->quirks & QUIRK_NO_STREAM_OPTIONS)
                return;
        json_open_object(writer, "stream_options");
        json_put_bool(writer, "include_usage", true);
        json_close_object(writer);
}

static void openai_chat_body(struct buffer *out, const struct endpoint *endpoint,
                             const struct llm_request *request, bool stream)
{
        struct json_writer writer = JSON_WRITER(out);

        json_open_object(&writer, NULL);
        json_put_text(&writer, "model", endpoint->model);
        put_messages(&writer, request);
        if (stream)
                put_stream(&writer, endpoint);
        if (request->temperature >= 0 && !(endpoint->quirks & QUIRK_NO_TEMPERATURE))
                json_put_real(&writer, "temperature", request->temperature);
        if (request->max_tokens)
                json_put_int(&writer,
                             takes_newer_limit(endpoint) ? "max_completion_tokens" : "max_tokens",
                             request->max_tokens);
        if (request->json_output) {
                json_open_object(&writer, "response_format");
                json_put_text(&writer, "type", "json_object");
                json_close_object(&writer);
        }
        json_close_object(&writer);
}

static void openai_chat_adapt(json_t *body, unsigned quirk)
{
        const char *from =
                json_object_get(body, "max_tokens") ? "max_tokens" : "max_completion_tokens";
        const char *to = strcmp(from, "max_tokens") == 0 ? "max_completion_tokens" : "max_tokens";

        if ((quirk & QUIRK_OTHER_TOKENS_FIELD) && json_object_get(body, from)) {
                json_object_set(body, to, json_object_get(body, from));
                json_object_del(body, from);
        }
        if (quirk & QUIRK_NO_TEMPERATURE)
                json_object_del(body, "temperature");
        if (quirk & QUIRK_NO_STREAM_OPTIONS)
                json_object_del(body, "stream_options");
}

static void take_usage(struct answer *answer, const json_t *usage)
{
        if (!json_is_integer(json_object_get(usage, "prompt_tokens")))
                return;
        answer->has_usage = true;
        answer->input_tokens = json_get_int(usage, "prompt_tokens", 0);
        answer->output_tokens = json_get_int(usage, "completion_tokens", 0);
}

/* A string, or an array of parts with text. */
static void take_content(struct answer *answer, const json_t *content)
{
        const json_t *part;
        size_t i;

        if (json_is_string(content))
                buffer_append(&answer->text, json_string_value(content),
                              json_string_length(content));
        json_array_foreach (content, i, part)
                buffer_text(&answer->text, json_get_text(part, "text", ""));
}

static enum status openai_chat_event(const struct endpoint *endpoint, struct answer *answer,
                                     const json_t *json, struct refusal *refusal)
{
        const json_t *groq = json_object_get(json, "x_groq");
        const json_t *choice = json_array_get(json_object_get(json, "choices"), 0);
        const json_t *message = json_object_get(choice, "delta");
        const char *finish = json_get_text(choice, "finish_reason", NULL);
        const char *model = json_get_text(json, "model", NULL);

        if (json_is_object(json_object_get(json, "error")) ||
            json_is_string(json_object_get(json, "error")))
                return llm_refusal_from_json(refusal, endpoint, json);
        if (json_get_text(groq, "error", NULL))
                return llm_refusal_set(refusal, REFUSED_SERVER, endpoint,
                                       json_get_text(groq, "error", NULL));
        if (!message)
                message = json_object_get(choice, "message");
        take_content(answer, json_object_get(message, "content"));
        take_content(answer, json_object_get(message, "refusal"));
        take_usage(answer, json_object_get(json, "usage"));
        take_usage(answer, json_object_get(groq, "usage"));
        if (finish)
                snprintf(answer->finish, sizeof(answer->finish), "%s", finish);
        if (model)
                snprintf(answer->model, sizeof(answer->model), "%s", model);
        return STATUS_OK;
}

static enum status openai_chat_end(const struct endpoint *endpoint, struct answer *answer,
                                   struct refusal *refusal)
{
        if (strcmp(answer->finish, "content_filter") == 0)
                return llm_refusal_set(refusal, REFUSED_SAFETY, endpoint, answer->finish);
        if (!*answer->finish && !answer->ended)
                return llm_refusal_set(refusal, REFUSED_CUT, endpoint, NULL);
        if (answer->text.length == 0)
                return llm_refusal_set(refusal,
                                       strcmp(answer->finish, "length") == 0 ? REFUSED_BUDGET
                                                                             : REFUSED_EMPTY,
                                       endpoint, answer->finish);
        if (!*answer->finish)
                memcpy(answer->finish, "stop", sizeof("stop"));
        return STATUS_OK;
}

/* --- Errors ------------------------------------------------------------------------------------
 */

/* What can be read from any of the shapes of an error. */
struct openai_error {
        const char *message, *code, *type, *param;
        unsigned number; /* code as a number, as vLLM and llama.cpp give it */
};

static struct openai_error read_error(const json_t *json)
{
        const json_t *error = json_object_get(json, "error");
        const json_t *from = json_is_object(error) ? error : json;

        if (json_is_array(json))
                return read_error(json_array_get(json, 0));
        return (struct openai_error){
                .message = json_is_string(error) ? json_string_value(error)
                                                 : json_get_text(from, "message", ""),
                .code = json_get_text(from, "code", ""),
                .type = json_get_text(from, "type", ""),
                .param = json_get_text(from, "param", ""),
                .number = (unsigned)json_get_int(from, "code", 0),
        };
}

static bool mentions(const char *text, const char *word)
{
        return strcasestr(text, word) != NULL;
}

static bool names_field(const struct openai_error *error, const char *field)
{
        return mentions(error->param, field) || mentions(error->message, field);
}

static unsigned find_quirk(const struct openai_error *error)
{
        static const char *const words[] = {"unsupported", "not supported", "not permitted",
                                            "unrecognized", "unknown"};
        bool unknown = strncmp(error->code, "unsupported_", 12) == 0;

        for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
                unknown = unknown || mentions(error->message, words[i]);
        if (!unknown)
                return 0; /* the field is known, its value is wrong */
        if (names_field(error, "temperature"))
                return QUIRK_NO_TEMPERATURE;
        if (names_field(error, "stream_options"))
                return QUIRK_NO_STREAM_OPTIONS;
        if (names_field(error, "max_tokens") || names_field(error, "max_completion_tokens"))
                return QUIRK_OTHER_TOKENS_FIELD;
        return 0;
}

static enum refusal_kind explain_400(const struct openai_error *error, unsigned *quirk)
{
        if (strcmp(error->code, "context_length_exceeded") == 0 ||
            mentions(error->type, "exceed_context_size") ||
            mentions(error->message, "maximum context length") ||
            mentions(error->message, "context window"))
                return REFUSED_LENGTH;
        if (strcmp(error->code, "content_filter") == 0 ||
            strcmp(error->code, "content_policy_violation") == 0)
                return REFUSED_SAFETY;
        if (mentions(error->message, "API key not valid") ||
            strcmp(error->code, "invalid_api_key") == 0)
                return REFUSED_KEY;
        *quirk = find_quirk(error);
        return REFUSED_REQUEST;
}

static enum refusal_kind kind_of(const struct openai_error *error, unsigned http_status,
                                 unsigned *quirk)
{
        if (http_status == 400 || http_status == 422)
                return explain_400(error, quirk);
        if (http_status == 401)
                return REFUSED_KEY;
        if (http_status == 403)
                return mentions(error->code, "country") ? REFUSED_REGION : REFUSED_PERMISSION;
        if (http_status == 404)
                return REFUSED_MODEL;
        if (http_status == 413)
                return REFUSED_LENGTH;
        if (http_status == 402 || strcmp(error->code, "insufficient_quota") == 0 ||
            strcmp(error->type, "insufficient_quota") == 0)
                return REFUSED_QUOTA;
        if (http_status == 429)
                return REFUSED_RATE;
        if (http_status == 503)
                return REFUSED_BUSY;
        if (http_status == 408 || http_status == 409 || http_status >= 500)
                return REFUSED_SERVER;
        return REFUSED_SHAPE;
}

static struct explanation openai_explain(unsigned http_status, const json_t *json)
{
        struct openai_error error = read_error(json);
        struct explanation told = {.message = error.message};

        /* An error inside a stream has no status of its own. */
        if (http_status == 0)
                http_status = error.number >= 400 ? error.number : 500;
        told.kind = kind_of(&error, http_status, &told.quirk);
        if (told.kind == REFUSED_MODEL && !*error.message)
                told.kind = REFUSED_SHAPE;
        return told;
}

/* --- Embeddings --------------------------------------------------------------------------------
 */

static char *openai_embed_url(const void *ctx, const struct endpoint *endpoint)
{
        return mem_printf(ctx, "%s/embeddings", endpoint->base_url);
}

static void openai_embed_body(struct buffer *out, const struct endpoint *endpoint,
                              enum llm_embed_kind kind, const char *const *texts, size_t count)
{
        struct json_writer writer = JSON_WRITER(out);

        (void)kind;
        json_open_object(&writer, NULL);
        json_put_text(&writer, "model", endpoint->model);
        json_open_array(&writer, "input");
        for (size_t i = 0; i < count; i++)
                json_put_text(&writer, NULL, *texts[i] ? texts[i] : " ");
        json_close_array(&writer);
        json_put_text(&writer, "encoding_format", "float");
        json_close_object(&writer);
}

static bool openai_embed_answer(const json_t *json, struct embedding *out)
{
        const json_t *list = json_object_get(json, "data"), *item;
        SCOPED_MEM bool *seen = mem_array(NULL, bool, out->count + 1);
        size_t i;

        if (json_array_size(list) != out->count)
                return false;
        out->tokens = json_get_int(json_object_get(json, "usage"), "prompt_tokens", 0);
        json_array_foreach (list, i, item) {
                size_t index = (size_t)json_get_int(item, "index", (int64_t)i);

                if (index >= out->count || seen[index] ||
                    !llm_embedding_take(out, index, json_object_get(item, "embedding")))
                        return false;
                seen[index] = true;
        }
        return true;
}

/* --- Check -------------------------------------------------------------------------------------
 */

static char *openai_check_url(const void *ctx, const struct endpoint *endpoint)
{
        return mem_printf(ctx, "%s/models", endpoint->base_url);
}

/* Only OpenAI's own list is complete: others answer to names that they do not list. */
static enum status openai_check_answer(const struct endpoint *endpoint, const json_t *json,
                                       struct error *err)
{
        const json_t *list = json_object_get(json, "data"), *item;
        size_t i;

        if (!json_is_array(list))
                return error_set(err, STATUS_UPSTREAM,
                                 "%s did not answer like an OpenAI-compatible server: check the "
                                 "base URL",
                                 endpoint->title);
        json_array_foreach (list, i, item) {
                if (strcmp(json_get_text(item, "id", ""), endpoint->model) == 0)
                        return STATUS_OK;
        }
        if (!endpoint->own_base)
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE, "%s has no model '%.100s' for this key",
                         endpoint->title, endpoint->model);
}

const struct dialect openai_dialect = {
        .prepare = openai_prepare,
        .key_header = openai_key_header,
        .chat_url = openai_chat_url,
        .chat_body = openai_chat_body,
        .chat_adapt = openai_chat_adapt,
        .chat_event = openai_chat_event,
        .chat_end = openai_chat_end,
        .batch_max = OPENAI_BATCH,
        .batch_bytes = OPENAI_BATCH_BYTES,
        .embed_url = openai_embed_url,
        .embed_body = openai_embed_body,
        .embed_answer = openai_embed_answer,
        .check_url = openai_check_url,
        .check_answer = openai_check_answer,
        .explain = openai_explain,
};
