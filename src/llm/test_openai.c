/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "llm/test_chat.h"
#include "observe/log.h"
#include "observe/metrics.h"

#include <cmocka.h>

#define CHAT "/v1/chat/completions"

enum { MANY = 500 };

/* Roles first, reasoning apart, null usage until the last chunk, pings, no space after the colon. */
static const char good_stream[] =
        "data: {\"id\":\"c\",\"model\":\"gpt-4o-mini-2024\",\"choices\":[{\"index\":0,\"delta\":{"
        "\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n"
        ": ping\n\n"
        "data:{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\",\"reasoning\":\"hm\"}}]}\n\n"
        "data: {\"choices\":[{\"delta\":{\"content\":\"It \"}}],\"obfuscation\":\"xx\"}\n\n"
        "data: {\"choices\":[{\"delta\":{\"content\":\"is \xE2\x82\xAC.\"}}]}\n\n"
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":4,"
        "\"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\n"
        "data: [DONE]\n\n";

static const char good_answer[] =
        "{\"model\":\"m-1\",\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Yes.\","
        "\"refusal\":null},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
        "\"completion_tokens\":2}}";

static void streams_an_answer(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        const struct chat_outcome *outcome;
        char *sent;

        chat_stream(fixture, CHAT, good_stream);
        request.max_tokens = 50;
        request.temperature = 0;
        outcome = chat(fixture, &request, true);
        assert_int_equal(outcome->err.status, STATUS_OK);
        assert_string_equal(outcome->text, "It is \xE2\x82\xAC.");
        assert_string_equal(buffer_string(&outcome->streamed), outcome->text);
        assert_string_equal(outcome->finish, "stop");
        assert_string_equal(outcome->model, "gpt-4o-mini-2024");
        assert_int_equal(outcome->usage.input_tokens, 11);
        assert_int_equal(outcome->usage.output_tokens, 4);
        assert_true(fabs(outcome->usage.cost_dollars - (11 * 0.15 + 4 * 0.6) / 1e6) < 1e-12);
        sent = stub_request(fixture->stub, fixture, 0);
        assert_non_null(strstr(sent, "POST " CHAT " HTTP/1.1\r\n"));
        assert_non_null(strstr(sent, "Authorization: Bearer key-7\r\n"));
        assert_non_null(strstr(sent,
                               "\r\n\r\n{\"model\":\"m-1\",\"messages\":[{\"role\":\"system\","
                               "\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":"
                               "\"Why?\"}],\"stream\":true,\"stream_options\":{\"include_usage\":"
                               "true},\"temperature\":0,\"max_tokens\":50}"));
}

static void every_split_gives_the_same(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        static const size_t pieces[] = {1, 2, 3, 5, 17, 1000};

        for (size_t i = 0; i < ARRAY_LENGTH(pieces); i++) {
                stub_reset(fixture->stub);
                stub_add(fixture->stub,
                         &(struct stub_reply){.path = CHAT,
                                              .headers = "Content-Type: text/event-stream\r\n",
                                              .body = good_stream,
                                              .framing = STUB_CLOSE,
                                              .piece = pieces[i]});
                assert_string_equal(chat(fixture, &request, true)->text, "It is \xE2\x82\xAC.");
        }
}

static void base_urls_take_many_forms(void **state)
{
        static const char *const tails[] = {"",          "/", "/v1", "/v1/", "/v1/chat/completions",
                                            "/v1/models"};
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");

        chat_reply(fixture, CHAT, 200, good_answer);
        chat_reply(fixture, "/groq/openai/v1/chat/completions", 200, good_answer);
        request.target.api_key = NULL; /* Ollama needs none */
        for (size_t i = 0; i < ARRAY_LENGTH(tails); i++) {
                request.target.base_url = stub_url(fixture->stub, fixture, tails[i]);
                assert_string_equal(chat(fixture, &request, false)->text, "Yes.");
        }
        assert_null(strstr(stub_request(fixture->stub, fixture, 0), "Authorization"));
        request.target.base_url = stub_url(fixture->stub, fixture, "/groq/openai/v1");
        assert_string_equal(chat(fixture, &request, false)->text, "Yes.");
}

static void keys_are_trimmed(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");

        chat_reply(fixture, CHAT, 200, good_answer);
        request.target.api_key = "  key-7\n";
        assert_int_equal(chat(fixture, &request, false)->err.status, STATUS_OK);
        assert_non_null(strstr(stub_request(fixture->stub, fixture, 0), "Bearer key-7\r\n"));
}

static void json_mode_asks_for_json(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        char *sent;

        chat_reply(fixture, CHAT, 200, good_answer);
        request.json_output = true;
        assert_int_equal(chat(fixture, &request, false)->err.status, STATUS_OK);
        sent = stub_request(fixture->stub, fixture, 0);
        assert_non_null(strstr(sent, "Be brief.\\n\\nAnswer with one JSON object"));
        assert_non_null(strstr(sent, "\"response_format\":{\"type\":\"json_object\"}"));
        assert_null(strstr(sent, "null"));
}

static const char citing_answer[] =
        "{\"choices\":[{\"message\":{\"content\":\"Yes [1].\"},\"finish_reason\":\"stop\"}]}";

static void refused_fields_are_left_out_and_remembered(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_passage passages[] = {{.text = "Why?", .filename = "f"}};
        struct llm_request request = chat_request("openai");
        const struct chat_outcome *outcome;
        char *sent;

        chat_reply(fixture, CHAT, 400,
                   "{\"error\":{\"message\":\"Unsupported parameter: 'max_tokens'\",\"param\":"
                   "\"max_tokens\",\"code\":\"unsupported_parameter\"}}");
        chat_reply(fixture, CHAT, 400,
                   "{\"error\":{\"message\":\"'temperature' does not support 0.5\",\"param\":"
                   "\"temperature\",\"code\":\"unsupported_value\"}}");
        chat_reply(fixture, CHAT, 200, citing_answer);
        request.max_tokens = 50;
        request.temperature = 0.5;
        request.passages = passages;
        request.passage_count = 1;
        outcome = chat(fixture, &request, false);
        assert_string_equal(outcome->text, "Yes [1].");
        assert_string_equal(json_get_text(json_path(outcome->citations, "[0]"), "quote", ""),
                            "Why?");
        assert_int_equal(stub_requests(fixture->stub), 3);
        assert_string_equal(chat(fixture, &request, false)->text, "Yes [1].");
        assert_int_equal(stub_requests(fixture->stub), 4);
        sent = stub_request(fixture->stub, fixture, 0);
        assert_non_null(strstr(sent, "\"max_completion_tokens\":50"));
        assert_null(strstr(sent, "\"max_tokens\""));
        assert_null(strstr(sent, "temperature"));
}

/* A field that is known but has a bad value is not sent again and again. */
static void bad_values_are_not_quirks(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");

        chat_reply(
                fixture, CHAT, 400,
                "{\"error\":{\"message\":\"max_tokens is too large\",\"param\":\"max_tokens\"}}");
        request.max_tokens = 50;
        assert_int_equal(chat(fixture, &request, false)->err.status, STATUS_UNPROCESSABLE);
        assert_int_equal(stub_requests(fixture->stub), 1);
}

struct refusal_case {
        unsigned http;
        const char *json;
        enum status status;
        bool retryable;
        const char *words;
        unsigned requests;
};

static const struct refusal_case refusals[] = {
        {401,
         "{\"error\":{\"message\":\"Incorrect API key provided: key-7.\",\"code\":"
         "\"invalid_api_key\"}}",
         STATUS_UNPROCESSABLE, false, "refused the API key", 1},
        {403, "{\"error\":{\"message\":\"no\",\"code\":\"unsupported_country_region_territory\"}}",
         STATUS_UNPROCESSABLE, false, "country", 1},
        {404,
         "{\"error\":{\"message\":\"model \\\"m-1\\\" not found, try pulling it first\",\"type\":"
         "\"not_found_error\",\"code\":null}}",
         STATUS_UNPROCESSABLE, false, "has no model 'm-1'", 1},
        {404, "404 page not found", STATUS_UPSTREAM, true, "check the base URL", 3},
        {400,
         "{\"error\":{\"message\":\"This model's maximum context length is 8192\",\"code\":"
         "\"context_length_exceeded\"}}",
         STATUS_UNPROCESSABLE, false, "too long", 1},
        {422, "{\"object\":\"error\",\"message\":\"bad thing\"}", STATUS_UNPROCESSABLE, false,
         "did not accept the request: bad thing", 1},
        {429,
         "{\"error\":{\"message\":\"You exceeded your current quota\",\"code\":"
         "\"insufficient_quota\"}}",
         STATUS_RATE_LIMITED, false, "is used up", 1},
        {429, "{\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}",
         STATUS_RATE_LIMITED, true, "asked too often", 3},
        {503,
         "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
         STATUS_UNAVAILABLE, true, "still starting", 3},
        {500, "{\"error\":\"string error\"}", STATUS_UPSTREAM, true, "string error", 3},
};

static void refusals_are_told_in_plain_words(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");

        for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++) {
                const struct refusal_case *expected = &refusals[i];
                const struct chat_outcome *outcome;

                stub_reset(fixture->stub);
                chat_reply(fixture, CHAT, expected->http, expected->json);
                outcome = chat(fixture, &request, true);
                if (outcome->err.status != expected->status ||
                    outcome->retryable != expected->retryable ||
                    !strstr(outcome->err.message, expected->words) ||
                    !strstr(outcome->err.message, "model server at 127.0.0.1"))
                        fail_msg("%zu: %d %d %s", i, outcome->err.status, outcome->retryable,
                                 outcome->err.message);
                assert_int_equal(stub_requests(fixture->stub), expected->requests);
                assert_null(strstr(outcome->err.message, "key-7"));
        }
}

static void the_wait_asked_for_is_kept(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        const struct chat_outcome *outcome;
        int64_t start_us = clock_monotonic_us();

        stub_add(fixture->stub, &(struct stub_reply){.path = CHAT,
                                                     .status = 429,
                                                     .headers = "retry-after-ms: 250\r\n",
                                                     .body = "{}"});
        chat_reply(fixture, CHAT, 200, good_answer);
        outcome = chat(fixture, &request, false);
        assert_int_equal(outcome->err.status, STATUS_OK);
        assert_true(outcome->done_us - start_us >= 250000);
}

static void streams_end_in_many_ways(void **state)
{
        static const struct {
                const char *events;
                enum status status;
        } cases[] = {
                /* Only [DONE], no finish_reason. */
                {"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n",
                 STATUS_OK},
                /* Only finish_reason, no [DONE], no usage. */
                {"data: "
                 "{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}]}\n\n",
                 STATUS_OK},
                /* Neither. */
                {"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", STATUS_UPSTREAM},
                /* Nothing at all. */
                {"data: [DONE]\n\n", STATUS_UPSTREAM},
                {"", STATUS_UPSTREAM},
                {"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\nevent: error\ndata: "
                 "{\"error\":"
                 "{\"message\":\"boom\"}}\n\n",
                 STATUS_UPSTREAM},
                {"data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":"
                 "\"content_filter\"}]}\n\n",
                 STATUS_UNPROCESSABLE},
                {"data: "
                 "{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"x_groq\":{\"error\":\"e\"}}\n\n",
                 STATUS_UPSTREAM},
                {"data: {oops}\n\n", STATUS_UPSTREAM},
                /* A server that does not stream. */
                {"{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}",
                 STATUS_OK},
        };
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");

        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
                const struct chat_outcome *outcome;

                stub_reset(fixture->stub);
                chat_stream(fixture, CHAT, cases[i].events);
                outcome = chat(fixture, &request, true);
                if (outcome->err.status != cases[i].status)
                        fail_msg("%zu: %d %s", i, outcome->err.status, outcome->err.message);
        }
}

/* The answer is whole, though the connection then breaks. */
static void what_comes_after_done_does_not_matter(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");

        stub_add(fixture->stub,
                 &(struct stub_reply){.path = CHAT,
                                      .headers = "Content-Type: text/event-stream\r\n",
                                      .body = good_stream,
                                      .framing = STUB_CHUNKED,
                                      .stop_after = sizeof(good_stream),
                                      .cut = true});
        assert_int_equal(chat(fixture, &request, true)->err.status, STATUS_OK);
}

static void web_pages_are_not_answers(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        const struct chat_outcome *outcome;

        stub_add(fixture->stub, &(struct stub_reply){.path = CHAT,
                                                     .headers = "Content-Type: text/html\r\n",
                                                     .body = "<html>Log in</html>"});
        outcome = chat(fixture, &request, true);
        assert_int_equal(outcome->err.status, STATUS_UPSTREAM);
        assert_non_null(strstr(outcome->err.message, "a web page"));
}

static void oversized_answers_are_stopped(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        struct buffer body = BUFFER_INIT(fixture, 1 << 25);

        buffer_text(&body, "data: {\"choices\":[{\"delta\":{\"content\":\"");
        for (int i = 0; i < 6 << 10; i++)
                buffer_printf(&body, "%01024d", 0);
        buffer_text(&body, "\"}}]}\n\n");
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = CHAT,
                                      .headers = "Content-Type: text/event-stream\r\n",
                                      .body = body.data,
                                      .length = body.length,
                                      .framing = STUB_CLOSE});
        assert_true(chat(fixture, &request, true)->err.status != STATUS_OK);
}

static void embeds_and_sorts_by_index(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_target target = {.provider = "openai", .api_key = "key-7"};
        const char *texts[] = {"a", ""};
        struct error err = ERROR_INIT;
        float *vectors;
        size_t dims;

        chat_reply(
                fixture, "/v1/embeddings", 200,
                "{\"data\":[{\"index\":1,\"embedding\":[0,2]},{\"index\":0,\"embedding\":[2,0]}],"
                "\"usage\":{\"prompt_tokens\":5}}");
        assert_int_equal(llm_embed(fixture->llm, fixture, &target, LLM_EMBED_QUERY, texts, 2,
                                   &vectors, &dims, &err),
                         STATUS_OK);
        assert_float_equal(vectors[0], 1, 1e-6F);
        assert_float_equal(vectors[3], 1, 1e-6F);
        assert_non_null(strstr(stub_request(fixture->stub, fixture, 0),
                               "{\"model\":\"text-embedding-3-small\",\"input\":[\"a\",\" \"],"
                               "\"encoding_format\":\"float\"}"));
        stub_reset(fixture->stub);
        chat_reply(fixture, "/v1/embeddings", 200,
                   "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":0,\"embedding\":[1]}]}");
        assert_int_equal(llm_embed(fixture->llm, fixture, &target, LLM_EMBED_QUERY, texts, 2,
                                   &vectors, &dims, &err),
                         STATUS_UPSTREAM);
}

static void check_lists_the_models(void **state)
{
        struct chat_fixture *fixture = *state;
        const struct llm_target target = {.provider = "openai", .model = "x", .api_key = "key-7"};
        struct error err = ERROR_INIT;

        chat_reply(fixture, "/v1/models", 200, "{\"data\":[{\"id\":\"other\"}]}");
        chat_reply(fixture, "/v1/models", 401, "{\"error\":{\"message\":\"bad key\"}}");
        chat_reply(fixture, "/v1/models", 200, "{\"models\":[]}");
        assert_int_equal(llm_check(fixture->llm, &target, &err), STATUS_OK);
        assert_int_equal(llm_check(fixture->llm, &target, &err), STATUS_UNPROCESSABLE);
        assert_int_equal(llm_check(fixture->llm, &target, &err), STATUS_UPSTREAM);
}

/* --- The local engine as a provider ------------------------------------------------------------ */

static struct llm_request local_request(void)
{
        static const struct llm_passage passages[] = {{.document_id = "d",
                                                       .chunk_id = "c",
                                                       .filename = "f",
                                                       .text = "The lid is blue. Cats purr."}};
        struct llm_request request = chat_request("local");

        request.target.model = "";
        request.question = "What colour is the lid?";
        request.passages = passages;
        request.passage_count = 1;
        return request;
}

static void local_streams_words(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = local_request();
        const struct chat_outcome *outcome = chat(fixture, &request, true);

        assert_int_equal(outcome->err.status, STATUS_OK);
        assert_non_null(strstr(outcome->text, "The lid is blue."));
        assert_string_equal(buffer_string(&outcome->streamed), outcome->text);
        assert_true(outcome->tokens > 5);
        assert_string_equal(outcome->model, "extractive");
        assert_int_equal(json_array_size(outcome->citations), 1);
        assert_true(outcome->usage.estimated && outcome->usage.cost_dollars <= 0);
        assert_true(outcome->usage.time_to_first_token_ms >= 0);
        assert_int_equal(stub_requests(fixture->stub), 0);
}

static void local_gives_json_when_asked(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = local_request();
        const struct chat_outcome *outcome;
        SCOPED_JSON json_t *json = NULL;
        struct error err = ERROR_INIT;

        request.json_output = true;
        outcome = chat(fixture, &request, false);
        assert_int_equal(json_read(outcome->text, strlen(outcome->text), &json, &err), STATUS_OK);
        assert_non_null(strstr(json_get_text(json, "answer", ""), "The lid is blue."));
}

static void local_can_be_cancelled(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = local_request();

        for (int i = 0; i < 50; i++) {
                struct chat_outcome *outcome = chat_start(fixture, &request, true);

                chat_cancel(outcome);
                chat_wait(outcome);
                assert_int_equal(outcome->done, 1);
        }
}

/* --- Metrics, log, many calls ------------------------------------------------------------------ */

static bool exposes(void *ctx, const char *line)
{
        struct buffer out = BUFFER_INIT(ctx, 1 << 22);

        metrics_write(&out, METRICS_TEXT);
        return strstr(buffer_string(&out), line) != NULL;
}

static void calls_are_counted(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");

        chat_stream(fixture, CHAT, good_stream);
        chat_reply(fixture, CHAT, 401, "{}");
        request.target.model = "counted";
        chat(fixture, &request, true);
        chat(fixture, &request, true);
        assert_true(exposes(fixture,
                            "llm_requests_total{provider=\"openai\",model=\"counted\",status="
                            "\"success\"} 1\n"));
        assert_true(exposes(fixture,
                            "llm_requests_total{provider=\"openai\",model=\"counted\",status="
                            "\"refused\"} 1\n"));
        assert_true(exposes(fixture, "llm_tokens_total{provider=\"openai\",model=\"counted\",type="
                                     "\"input\"} 11\n"));
        assert_true(exposes(fixture, "llm_tokens_total{provider=\"openai\",model=\"counted\",type="
                                     "\"output\"} 4\n"));
        assert_true(exposes(fixture,
                            "llm_time_to_first_token_seconds_count{provider=\"openai\",model="
                            "\"counted\"} 1\n"));
        assert_true(exposes(fixture, "llm_request_duration_seconds_count{provider=\"openai\",model="
                                     "\"counted\"} 2\n"));
        assert_true(
                exposes(fixture, "llm_cost_dollars_total{provider=\"openai\",model=\"counted\"} "));
}

static char *read_all(void *ctx, const char *path)
{
        struct buffer out = BUFFER_INIT(ctx, 1 << 20);
        SCOPED_FILE FILE *file = fopen(path, "re");
        char bytes[4096];
        size_t got;

        assert_non_null(file);
        while ((got = fread(bytes, 1, sizeof(bytes), file)) > 0)
                buffer_append(&out, bytes, got);
        return mem_strdup(ctx, buffer_string(&out));
}

/* One line a call, with the provider's words but never key, prompt or answer. */
static void each_call_is_one_log_line(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        char path[] = "/tmp/flowgenix-log-XXXXXX";
        int fd = mkstemp(path);
        const struct log_options options = {.file = path, .level = LOG_LEVEL_INFO};
        struct error err = ERROR_INIT;
        char *log;

        close(fd);
        chat_stream(fixture, CHAT, good_stream);
        chat_reply(fixture, CHAT, 400, "{\"error\":{\"message\":\"odd key-7 thing\"}}");
        assert_int_equal(log_start(&options, &err), STATUS_OK);
        chat(fixture, &request, true);
        chat(fixture, &request, true);
        log_stop();
        log = read_all(fixture, path);
        unlink(path);
        assert_non_null(strstr(log, "\"event_type\":\"llm_request\""));
        assert_non_null(strstr(log, fixture->trace.request_id));
        assert_non_null(
                strstr(log, "\"provider\":\"openai\",\"model\":\"m-1\",\"status\":\"success\""));
        assert_non_null(strstr(log, "\"input_tokens\":11,\"output_tokens\":4"));
        assert_non_null(strstr(log, "\"detail\":\"odd *** thing\""));
        assert_null(strstr(log, "key-7"));
        assert_null(strstr(log, "Why?"));
        assert_null(strstr(log, "It is"));
        assert_null(strchr(strchr(strchr(log, '\n') + 1, '\n') + 1, '\n'));
}

static void many_calls_at_once(void **state)
{
        struct chat_fixture *fixture = *state;
        struct llm_request request = chat_request("openai");
        struct chat_outcome **outcomes = mem_array(fixture, struct chat_outcome *, MANY);

        stub_add(fixture->stub,
                 &(struct stub_reply){.path = CHAT,
                                      .headers = "Content-Type: text/event-stream\r\n",
                                      .body = good_stream,
                                      .framing = STUB_CHUNKED,
                                      .piece = 200,
                                      .delay_ms = 200});
        for (int i = 0; i < MANY; i++)
                outcomes[i] = chat_start(fixture, &request, true);
        for (int i = 0; i < MANY; i++) {
                if (i % 3 == 0)
                        chat_cancel(outcomes[i]);
        }
        for (int i = 0; i < MANY; i++) {
                chat_wait(outcomes[i]);
                assert_int_equal(outcomes[i]->err.status, i % 3 ? STATUS_OK : STATUS_CANCELLED);
        }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, chat_set_up, chat_tear_down)
        const struct CMUnitTest tests[] = {
                TEST(streams_an_answer),
                TEST(every_split_gives_the_same),
                TEST(base_urls_take_many_forms),
                TEST(keys_are_trimmed),
                TEST(json_mode_asks_for_json),
                TEST(refused_fields_are_left_out_and_remembered),
                TEST(bad_values_are_not_quirks),
                TEST(refusals_are_told_in_plain_words),
                TEST(the_wait_asked_for_is_kept),
                TEST(streams_end_in_many_ways),
                TEST(what_comes_after_done_does_not_matter),
                TEST(web_pages_are_not_answers),
                TEST(oversized_answers_are_stopped),
                TEST(embeds_and_sorts_by_index),
                TEST(check_lists_the_models),
                TEST(local_streams_words),
                TEST(local_gives_json_when_asked),
                TEST(local_can_be_cancelled),
                TEST(calls_are_counted),
                TEST(each_call_is_one_log_line),
                TEST(many_calls_at_once),
        };
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
