/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "llm/test_chat.h"

#include <cmocka.h>

#define STREAM "/g/v1beta/models/m-1:streamGenerateContent"
#define WHOLE  "/g/v1beta/models/m-1:generateContent"

/* As the real service sends it: cumulative usage, thoughts, a last chunk without text. */
static const char good_stream[] =
        "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"secret "
        "musings\",\"thought\":true},{\"text\":\"Because \"}]},\"index\":0}],\"usageMetadata\":{"
        "\"promptTokenCount\":8,\"candidatesTokenCount\":2,\"totalTokenCount\":10},"
        "\"modelVersion\":"
        "\"gemini-3.8-flash\"}\r\n\r\n"
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"caf\xC3\xA9 \"},{\"text\":"
        "\"\xF0\x9F\x98\x80.\"}]}}],\"usageMetadata\":{\"promptTokenCount\":8,"
        "\"candidatesTokenCount\":6,\"thoughtsTokenCount\":50,\"totalTokenCount\":64}}\r\n\r\n"
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\",\"thoughtSignature\":"
        "\"c2ln\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":8,"
        "\"candidatesTokenCount\":7,\"thoughtsTokenCount\":50,\"totalTokenCount\":65},"
        "\"modelVersion\":\"gemini-3.8-flash\"}\r\n\r\n";

static void streams_an_answer(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;
        char *sent;

        chat_stream(fixture, STREAM, good_stream);
        request.temperature = 0.25;
        request.max_tokens = 99;
        outcome = chat(fixture, &request, true);
        assert_int_equal(outcome->err.status, STATUS_OK);
        assert_string_equal(outcome->text, "Because caf\xC3\xA9 \xF0\x9F\x98\x80.");
        assert_string_equal(buffer_string(&outcome->streamed), outcome->text);
        assert_int_equal(outcome->tokens, 2);
        assert_string_equal(outcome->finish, "stop");
        assert_string_equal(outcome->model, "gemini-3.8-flash");
        assert_int_equal(outcome->usage.input_tokens, 8);
        assert_int_equal(outcome->usage.output_tokens, 57);
        assert_false(outcome->usage.estimated);
        assert_true(fabs(outcome->usage.cost_dollars - (8 * 0.75 + 57 * 3.75) / 1e6) < 1e-12);
        assert_true(outcome->usage.time_to_first_token_ms > 0);
        sent = stub_request(fixture->stub, fixture, 0);
        assert_non_null(strstr(sent, "POST " STREAM "?alt=sse HTTP/1.1"));
        assert_non_null(strstr(sent, "x-goog-api-key: key-7\r\n"));
        assert_non_null(strstr(sent, "\r\ntraceparent: 00-"));
        assert_null(strstr(sent, "Authorization"));
        assert_non_null(strstr(sent, "\r\n\r\n{\"systemInstruction\":{\"parts\":[{\"text\":\"Be "
                                     "brief.\"}]},\"contents\":[{\"role\":\"user\",\"parts\":[{"
                                     "\"text\":\"Why?\"}]}],\"generationConfig\":{\"temperature\":"
                                     "0.25,\"maxOutputTokens\":99}}"));
}

static void sends_history_with_gemini_roles(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_message messages[] = {{"user", "a"}, {"assistant", "b"}, {"user", "c"}};
        struct llm_request request = chat_request("gemini");
        char *sent;

        chat_reply(fixture, WHOLE, 200,
                   "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ok\"}]},\"finishReason\":"
                   "\"STOP\"}]}");
        request.messages = messages;
        request.message_count = 3;
        request.system = NULL;
        request.json_output = true;
        request.target.model = "models/m-1";
        assert_int_equal(chat(fixture, &request, false)->err.status, STATUS_OK);
        sent = stub_request(fixture->stub, fixture, 0);
        assert_non_null(strstr(sent,
                               "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]},"
                               "{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]},{\"role\":"
                               "\"user\",\"parts\":[{\"text\":\"c\"}]}],\"generationConfig\":{"
                               "\"responseMimeType\":\"application/json\"}}"));
}

static void whole_answers_have_no_first_token(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;

        chat_reply(fixture, WHOLE, 200,
                   "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"twelve letters\"}]},"
                   "\"finishReason\":\"MAX_TOKENS\"}]}");
        outcome = chat(fixture, &request, false);
        assert_string_equal(outcome->text, "twelve letters");
        assert_string_equal(outcome->finish, "length");
        assert_true(outcome->usage.estimated);
        assert_int_equal(outcome->usage.output_tokens, 4);
        assert_true(outcome->usage.input_tokens > 0);
        assert_true(outcome->usage.time_to_first_token_ms < 0);
}

/* A prompt that holds the passages, and one that does not, lead to the same quote. */
static void markers_become_citations(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_passage passages[] = {{.document_id = "d",
                                                .chunk_id = "c",
                                                .filename = "f",
                                                .text = "One.\n\n\"Caf\u00E9\" cats purr. Two."}};
        const struct llm_message with[] = {
                {"user", "[1] f\nOne.\n\n\"Caf\u00E9\" cats purr. Two.\n\nWhy?"}};
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;

        chat_reply(fixture, WHOLE, 200,
                   "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Cats purr [1].\"}]},"
                   "\"finishReason\":\"STOP\"}]}");
        request.passages = passages;
        request.passage_count = 1;
        for (int i = 0; i < 2; i++) {
                outcome = chat(fixture, &request, false);
                assert_string_equal(
                        json_get_text(json_path(outcome->citations, "[0]"), "quote", ""),
                        "\"Caf\u00E9\" cats purr.");
                request.messages = with;
        }
}

struct refusal_case {
        unsigned http;
        const char *json;
        enum status status;
        bool retryable;
        const char *words;
        unsigned requests; /* sent in all */
};

#define ERROR_JSON(code, status, message, details)                                                 \
        "{\"error\":{\"code\":" #code ",\"message\":\"" message "\",\"status\":\"" status          \
        "\",\"details\":[" details "]}}"

static const struct refusal_case refusals[] = {
        {400,
         ERROR_JSON(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
                    "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":"
                    "\"API_KEY_INVALID\"}"),
         STATUS_UNPROCESSABLE, false, "refused the API key: check it under Settings", 1},
        {403, ERROR_JSON(403, "PERMISSION_DENIED", "no access", ""), STATUS_UNPROCESSABLE, false,
         "does not let this API key use the model m-1", 1},
        {404, ERROR_JSON(404, "NOT_FOUND", "models/m-1 is not found", ""), STATUS_UNPROCESSABLE,
         false, "has no model 'm-1'", 1},
        {400, ERROR_JSON(400, "FAILED_PRECONDITION", "User location is not supported", ""),
         STATUS_UNPROCESSABLE, false, "country", 1},
        {400,
         ERROR_JSON(400, "INVALID_ARGUMENT",
                    "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                    ""),
         STATUS_UNPROCESSABLE, false, "too long", 1},
        {400, ERROR_JSON(400, "INVALID_ARGUMENT", "Invalid value at key-7", ""),
         STATUS_UNPROCESSABLE, false, "did not accept the request: Invalid value at ***", 1},
        {429,
         ERROR_JSON(
                 429, "RESOURCE_EXHAUSTED", "quota",
                 "{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{"
                 "\"quotaId\":\"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"}]},{\"@type\":"
                 "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"0.01s\"}"),
         STATUS_RATE_LIMITED, false, "is used up", 1},
        {429,
         ERROR_JSON(429, "RESOURCE_EXHAUSTED", "slow down",
                    "{\"@type\":\"type.googleapis.com/"
                    "google.rpc.RetryInfo\",\"retryDelay\":\"0.02s\"}"),
         STATUS_RATE_LIMITED, true, "asked too often", 3},
        {429,
         ERROR_JSON(429, "RESOURCE_EXHAUSTED", "slow down",
                    "{\"@type\":\"type.googleapis.com/"
                    "google.rpc.RetryInfo\",\"retryDelay\":\"3600s\"}"),
         STATUS_RATE_LIMITED, true, "asked too often", 1},
        {503, ERROR_JSON(503, "UNAVAILABLE", "overloaded", ""), STATUS_UNAVAILABLE, true,
         "overloaded", 3},
        {500, ERROR_JSON(500, "INTERNAL", "oops", ""), STATUS_UPSTREAM, true,
         "failed on its own side: oops", 3},
        {502, "<html>Bad gateway</html>", STATUS_UPSTREAM, true, "on its own side", 3},
        {404, "<html>nginx</html>", STATUS_UPSTREAM, true, "check the base URL", 3},
        {500, ("[" ERROR_JSON(500, "INTERNAL", "wrapped", "") "]"), STATUS_UPSTREAM, true,
         "wrapped", 3},
};

static void refusals_are_told_in_plain_words(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");

        for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++) {
                const struct refusal_case *expected = &refusals[i];
                const struct chat_outcome *outcome;

                stub_reset(fixture->stub);
                chat_reply(fixture, STREAM, expected->http, expected->json);
                outcome = chat(fixture, &request, true);
                if (outcome->err.status != expected->status ||
                    outcome->retryable != expected->retryable ||
                    !strstr(outcome->err.message, expected->words))
                        fail_msg("%zu: %d %d %s", i, outcome->err.status, outcome->retryable,
                                 outcome->err.message);
                assert_int_equal(stub_requests(fixture->stub), expected->requests);
                assert_null(strstr(outcome->err.message, "key-7"));
                assert_int_equal(outcome->usage.input_tokens, 0);
        }
}

static void a_retry_can_succeed(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;

        chat_reply(fixture, STREAM, 503, "{}");
        chat_reply(fixture, STREAM, 429, "{}");
        chat_stream(fixture, STREAM, good_stream);
        outcome = chat(fixture, &request, true);
        assert_int_equal(outcome->err.status, STATUS_OK);
        assert_int_equal(outcome->tokens, 2);
        assert_int_equal(stub_requests(fixture->stub), 3);
}

static const char withheld_part[] =
        "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Part\"}]},\"finishReason\":"
        "\"RECITATION\"}]}";

static void withheld_answers_say_why(void **state)
{
        static const char *const bodies[] = {
                "{\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"}}",
                "{\"candidates\":[{\"finishReason\":\"SAFETY\",\"safetyRatings\":[]}]}",
                withheld_part,
        };
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");

        for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
                const struct chat_outcome *outcome;

                stub_reset(fixture->stub);
                chat_reply(fixture, WHOLE, 200, bodies[i]);
                outcome = chat(fixture, &request, false);
                assert_int_equal(outcome->err.status, STATUS_UNPROCESSABLE);
                assert_non_null(strstr(outcome->err.message, "withheld the answer"));
                assert_false(outcome->retryable);
                assert_int_equal(stub_requests(fixture->stub), 1);
        }
}

static void thinking_can_eat_the_budget(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;

        chat_reply(fixture, WHOLE, 200,
                   "{\"candidates\":[{\"content\":{\"role\":\"model\"},\"finishReason\":\"MAX_"
                   "TOKENS\"}]"
                   ",\"usageMetadata\":{\"promptTokenCount\":5,\"thoughtsTokenCount\":20}}");
        outcome = chat(fixture, &request, false);
        assert_int_equal(outcome->err.status, STATUS_UNPROCESSABLE);
        assert_non_null(strstr(outcome->err.message, "used all its tokens"));
        assert_int_equal(outcome->usage.output_tokens, 20);
}

/* Without a finishReason nobody knows what is missing. */
static void cut_streams_are_errors(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const enum stub_framing framings[] = {STUB_CHUNKED, STUB_CLOSE, STUB_LENGTH};

        for (size_t i = 0; i < ARRAY_LENGTH(framings); i++) {
                const struct chat_outcome *outcome;

                stub_reset(fixture->stub);
                stub_add(fixture->stub,
                         &(struct stub_reply){.path = STREAM,
                                              .headers = "Content-Type: text/event-stream\r\n",
                                              .body = good_stream,
                                              .framing = framings[i],
                                              .piece = 7,
                                              .stop_after = 400,
                                              .cut = true});
                outcome = chat(fixture, &request, true);
                assert_int_equal(outcome->err.status, STATUS_UPSTREAM);
                assert_non_null(strstr(outcome->err.message, "broke off in mid-answer"));
                assert_true(outcome->retryable);
                assert_string_equal(buffer_string(&outcome->streamed), "Because ");
                /* A token was delivered: the call is not made again. */
                assert_int_equal(stub_requests(fixture->stub), 1);
        }
}

static void errors_inside_a_stream_count(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;

        chat_stream(fixture, STREAM,
                    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"So\"}]}}]}\n\n"
                    "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"gone\"\n  }\n}\n");
        outcome = chat(fixture, &request, true);
        assert_int_equal(outcome->err.status, STATUS_UNAVAILABLE);
        assert_string_equal(outcome->text, "So");
}

static void malformed_answers_are_errors(void **state)
{
        static const char *const bodies[] = {"{\"candidates\":[",  "not json", "[]",  "",
                                             "{\"candidates\":7}", "{}",       "null"};
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");

        for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
                const struct chat_outcome *outcome;
                SCOPED_MEM char *event = mem_printf(NULL, "data: %s\n\n", bodies[i]);

                stub_reset(fixture->stub);
                chat_reply(fixture, WHOLE, 200, bodies[i]);
                outcome = chat(fixture, &request, false);
                assert_int_equal(outcome->err.status, STATUS_UPSTREAM);
                chat_stream(fixture, STREAM, event);
                outcome = chat(fixture, &request, true);
                assert_int_equal(outcome->err.status, STATUS_UPSTREAM);
        }
}

static void a_stalled_stream_can_be_cancelled(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        struct chat_outcome *outcome;
        int64_t asked_us;

        stub_add(fixture->stub,
                 &(struct stub_reply){.path = STREAM,
                                      .headers = "Content-Type: text/event-stream\r\n",
                                      .body = good_stream,
                                      .framing = STUB_CHUNKED,
                                      .stop_after = 400,
                                      .hang = true});
        outcome = chat_start(fixture, &request, true);
        chat_wait_tokens(outcome, 1);
        asked_us = clock_monotonic_us();
        chat_cancel(outcome);
        chat_wait(outcome);
        assert_int_equal(outcome->err.status, STATUS_CANCELLED);
        assert_false(outcome->retryable);
        assert_true(outcome->done_us - asked_us < 100000);
        assert_int_equal(outcome->usage.output_tokens, 2);
        assert_true(stub_wait_hangups(fixture->stub, 1));
}

static void a_wait_between_attempts_can_be_cancelled(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        struct chat_outcome *outcome;
        int64_t asked_us;

        stub_add(fixture->stub, &(struct stub_reply){.path = STREAM,
                                                     .status = 429,
                                                     .headers = "Retry-After: 30\r\n",
                                                     .body = "{}"});
        outcome = chat_start(fixture, &request, true);
        assert_true(stub_wait_requests(fixture->stub, 1));
        asked_us = clock_monotonic_us();
        chat_cancel(outcome);
        chat_wait(outcome);
        assert_int_equal(outcome->err.status, STATUS_CANCELLED);
        assert_true(outcome->done_us - asked_us < 100000);
}

static void the_deadline_covers_all_attempts(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;
        int64_t start_us = clock_monotonic_us();

        chat_reply(fixture, STREAM, 503, "{}");
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = STREAM, .body = "never", .hang = true});
        request.timeout_ms = 300;
        outcome = chat(fixture, &request, true);
        assert_int_equal(outcome->err.status, STATUS_UPSTREAM_TIMEOUT);
        assert_true(outcome->done_us - start_us < 700000);
}

static void bad_targets_are_refused_before_the_network(void **state)
{
        static const struct llm_target targets[] = {
                {.provider = "gemini", .model = "../../x", .api_key = "k"},
                {.provider = "gemini", .model = "m?key=1", .api_key = "k"},
                {.provider = "gemini",
                 .base_url = "https://generativelanguage.googleapis.com/v1beta"},
                {.provider = "gemini", .api_key = "k", .base_url = "ftp://x"},
                {.provider = "gemini", .api_key = "k", .base_url = "http://"},
                {.provider = "gemini", .api_key = "k", .base_url = "http://h/?q"},
                {.provider = "claude"},
                {.provider = NULL},
                {.provider = "openai", .base_url = "https://api.openai.com", .api_key = " \n"},
        };
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");

        for (size_t i = 0; i < ARRAY_LENGTH(targets); i++) {
                const struct chat_outcome *outcome;

                request.target = targets[i];
                outcome = chat(fixture, &request, true);
                if (outcome->err.status != STATUS_UNPROCESSABLE || outcome->retryable)
                        fail_msg("%zu: %s", i, outcome->err.message);
        }
        assert_int_equal(stub_requests(fixture->stub), 0);
}

static void unreachable_servers_are_named(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("gemini");
        const struct chat_outcome *outcome;

        request.target.base_url = "http://127.0.0.1:1";
        outcome = chat(fixture, &request, true);
        assert_int_equal(outcome->err.status, STATUS_UPSTREAM);
        assert_string_equal(outcome->err.message, "Gemini: connection refused by "
                                                  "127.0.0.1:1: is it running?");
        assert_true(outcome->retryable);
}

/* --- Embeddings -------------------------------------------------------------------------------- */

#define EMBED "/g/v1beta/models/gemini-embedding-2:batchEmbedContents"

static char *vectors_json(void *ctx, size_t count)
{
        struct buffer out = BUFFER_INIT(ctx, 1 << 20);

        buffer_text(&out, "{\"embeddings\":[");
        for (size_t i = 0; i < count; i++)
                buffer_printf(&out, "%s{\"values\":[%zu,4]}", i ? "," : "", i % 2 ? (size_t)3 : 0);
        buffer_text(&out, "]}");
        return mem_strdup(ctx, buffer_string(&out));
}

static void embeds_in_batches_of_a_hundred(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_target target = {.provider = "gemini", .api_key = "key-7"};
        const char *texts[130];
        struct error err = ERROR_INIT;
        float *vectors;
        size_t dims;

        for (size_t i = 0; i < 130; i++)
                texts[i] = i == 129 ? "" : "text";
        chat_reply(fixture, EMBED, 200, vectors_json(fixture, 100));
        chat_reply(fixture, EMBED, 200, vectors_json(fixture, 30));
        assert_int_equal(llm_embed(fixture->llm, fixture, &target, LLM_EMBED_DOCUMENT, texts, 130,
                                   &vectors, &dims, &err),
                         STATUS_OK);
        assert_int_equal(dims, 2);
        assert_float_equal(vectors[258], 0.6F, 1e-6F);
        assert_float_equal(vectors[259], 0.8F, 1e-6F);
        assert_float_equal(vectors[257], 1, 1e-6F);
        assert_int_equal(stub_requests(fixture->stub), 2);
        assert_non_null(
                strstr(stub_request(fixture->stub, fixture, 0),
                       "{\"requests\":[{\"model\":\"models/gemini-embedding-2\",\"content\":{"
                       "\"parts\":[{\"text\":\"title: none | text: text\"}]},"
                       "\"outputDimensionality\":768}"));
}

static void older_models_take_the_task_as_a_field(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_target target = {
                .provider = "gemini", .model = "gemini-embedding-001", .api_key = "key-7"};
        const char *texts[] = {"q"};
        struct error err = ERROR_INIT;
        float *vectors;
        size_t dims;

        chat_reply(fixture, "/g/v1beta/models/gemini-embedding-001:batchEmbedContents", 200,
                   vectors_json(fixture, 1));
        assert_int_equal(llm_embed(fixture->llm, fixture, &target, LLM_EMBED_QUERY, texts, 1,
                                   &vectors, &dims, &err),
                         STATUS_OK);
        assert_non_null(strstr(stub_request(fixture->stub, fixture, 0),
                               "{\"text\":\"q\"}]},\"taskType\":\"RETRIEVAL_QUERY\""));
}

static void bad_vectors_are_refused(void **state)
{
        static const char *const bodies[] = {
                "{\"embeddings\":[]}",
                "{\"embeddings\":[{\"values\":[1]},{\"values\":[1]},{\"values\":[1]}]}",
                "{\"embeddings\":[{\"values\":[1,2]},{\"values\":[1]}]}",
                "{\"embeddings\":[{\"values\":[0,0]},{\"values\":[1,1]}]}",
                "{\"embeddings\":[{\"values\":[\"a\"]},{\"values\":[1]}]}",
                "{\"embeddings\":[{},{}]}",
                "[]",
        };
        struct chat_fixture *fixture = *state;
        const struct llm_target target = {.provider = "gemini", .api_key = "key-7"};
        const char *texts[] = {"a", "b"};
        float *vectors = NULL;
        size_t dims;

        for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
                struct error err = ERROR_INIT;

                stub_reset(fixture->stub);
                chat_reply(fixture, EMBED, 200, bodies[i]);
                assert_int_equal(llm_embed(fixture->llm, fixture, &target, LLM_EMBED_DOCUMENT,
                                           texts, 2, &vectors, &dims, &err),
                                 STATUS_UPSTREAM);
                assert_null(vectors);
        }
}

static void embedding_retries_and_gives_up(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_target target = {.provider = "gemini", .api_key = "key-7"};
        const struct llm_target local = {.provider = "local"};
        const char *texts[] = {"a"};
        struct error err = ERROR_INIT;
        float *vectors;
        size_t dims;

        chat_reply(fixture, EMBED, 503, "{}");
        chat_reply(fixture, EMBED, 200, vectors_json(fixture, 1));
        assert_int_equal(llm_embed(fixture->llm, fixture, &target, LLM_EMBED_QUERY, texts, 1,
                                   &vectors, &dims, &err),
                         STATUS_OK);
        stub_reset(fixture->stub);
        chat_reply(fixture, EMBED, 403, "{\"error\":{\"message\":\"no\"}}");
        assert_int_equal(llm_embed(fixture->llm, fixture, &target, LLM_EMBED_QUERY, texts, 1,
                                   &vectors, &dims, &err),
                         STATUS_UNPROCESSABLE);
        assert_int_equal(stub_requests(fixture->stub), 1);
        assert_int_equal(llm_embed(fixture->llm, fixture, &local, LLM_EMBED_QUERY, texts, 1,
                                   &vectors, &dims, &err),
                         STATUS_UNPROCESSABLE);
}

static void check_asks_for_the_model(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_target target = {.provider = "gemini", .model = "m-1", .api_key = "key-7"};
        struct error err = ERROR_INIT;

        chat_reply(fixture, "/g/v1beta/models/m-1", 200, "{\"name\":\"models/m-1\"}");
        chat_reply(fixture, "/g/v1beta/models/m-1", 404, "{\"error\":{\"message\":\"none\"}}");
        assert_int_equal(llm_check(fixture->llm, &target, &err), STATUS_OK);
        assert_int_equal(llm_check(fixture->llm, &target, &err), STATUS_UNPROCESSABLE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, chat_set_up, chat_tear_down)
        const struct CMUnitTest tests[] = {
                TEST(streams_an_answer),
                TEST(sends_history_with_gemini_roles),
                TEST(whole_answers_have_no_first_token),
                TEST(markers_become_citations),
                TEST(refusals_are_told_in_plain_words),
                TEST(a_retry_can_succeed),
                TEST(withheld_answers_say_why),
                TEST(thinking_can_eat_the_budget),
                TEST(cut_streams_are_errors),
                TEST(errors_inside_a_stream_count),
                TEST(malformed_answers_are_errors),
                TEST(a_stalled_stream_can_be_cancelled),
                TEST(a_wait_between_attempts_can_be_cancelled),
                TEST(the_deadline_covers_all_attempts),
                TEST(bad_targets_are_refused_before_the_network),
                TEST(unreachable_servers_are_named),
                TEST(embeds_in_batches_of_a_hundred),
                TEST(older_models_take_the_task_as_a_field),
                TEST(bad_vectors_are_refused),
                TEST(embedding_retries_and_gives_up),
                TEST(check_asks_for_the_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
