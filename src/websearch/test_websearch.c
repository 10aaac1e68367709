/* SPDX-License-Identifier: Apache-2.0 */
/* Searches over HTTP, against a scripted server: what goes out, how a search ends, and that it
 * ends once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/test_stub_server.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/test_log_folder.h"
#include "websearch/websearch.h"

#include <cmocka.h>

#define BRAVE_PATH    "/res/v1/web/search"
#define SERPAPI_PATH  "/search.json"
#define SEARXNG_PATH  "/sx/search"
#define BRAVE_BODY    "{\"type\":\"search\",\"web\":{\"results\":[{\"url\":\"https://a.example/\"}]}}"
#define SERPAPI_BODY  "{\"organic_results\":[{\"link\":\"https://b.example/\"}]}"
#define SEARXNG_BODY  "{\"results\":[{\"url\":\"https://c.example/\",\"title\":\"C\"}]}"
#define SEARXNG_EMPTY "{\"results\":[]}"

struct fixture {
        struct stub *stub;
        struct http_client *client;
        struct cache *cache;
        struct websearch *websearch;
};

/* How a search ended, watched from the test's thread. */
struct outcome {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        size_t done;
        json_t *results;
        struct error err;
        bool retryable;
        pthread_t thread;
        struct websearch_call *call;
};

static void open_websearch(struct fixture *fixture, struct cache *cache)
{
        const struct websearch_options options = {
                .client = fixture->client,
                .cache = cache,
                .brave_base_url = stub_url(fixture->stub, fixture, ""),
                .serpapi_base_url = stub_url(fixture->stub, fixture, "/"),
                .searxng_url = stub_url(fixture->stub, fixture, "/sx"),
        };
        struct error err = ERROR_INIT;

        websearch_free(fixture->websearch);
        assert_int_equal(websearch_new(&options, &fixture->websearch, &err), STATUS_OK);
}

static int set_up(void **state)
{
        struct fixture *fixture = mem_new(NULL, struct fixture);
        struct error err = ERROR_INIT;

        fixture->stub = stub_start();
        fixture->cache = cache_new(&(struct cache_options){.bytes_max = 1 << 20});
        if (http_client_new(&fixture->client, &err))
                return -1;
        open_websearch(fixture, NULL);
        *state = fixture;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *fixture = *state;

        websearch_free(fixture->websearch);
        http_client_free(fixture->client);
        cache_free(fixture->cache);
        stub_stop(fixture->stub);
        mem_free(fixture);
        return 0;
}

static void on_done(json_t *results, const struct error *err, bool retryable, void *arg)
{
        struct outcome *outcome = arg;

        pthread_mutex_lock(&outcome->lock);
        outcome->results = json_incref(results);
        if (err)
                outcome->err = *err;
        outcome->retryable = retryable;
        outcome->thread = pthread_self();
        outcome->done++;
        pthread_cond_broadcast(&outcome->changed);
        pthread_mutex_unlock(&outcome->lock);
}

/* talloc would need the test's thread alone; results are dropped here. */
static int outcome_free(struct outcome *outcome)
{
        json_decref(outcome->results);
        pthread_mutex_destroy(&outcome->lock);
        pthread_cond_destroy(&outcome->changed);
        return 0;
}

static struct outcome *start(struct fixture *fixture, const struct websearch_query *query)
{
        struct outcome *outcome = mem_new(fixture, struct outcome);

        pthread_mutex_init(&outcome->lock, NULL);
        pthread_cond_init(&outcome->changed, NULL);
        talloc_set_destructor(outcome, outcome_free);
        pthread_mutex_lock(&outcome->lock);
        outcome->call = websearch_start(fixture->websearch, query, on_done, outcome);
        pthread_mutex_unlock(&outcome->lock);
        return outcome;
}

static struct outcome *wait_for(struct outcome *outcome)
{
        pthread_mutex_lock(&outcome->lock);
        while (outcome->done == 0)
                pthread_cond_wait(&outcome->changed, &outcome->lock);
        pthread_mutex_unlock(&outcome->lock);
        assert_int_equal(outcome->done, 1);
        assert_true((outcome->results != NULL) == (outcome->err.status == STATUS_OK));
        return outcome;
}

static struct websearch_query query_to(const char *provider)
{
        return (struct websearch_query){.provider = provider,
                                        .api_key = "secret-4711",
                                        .query = "private otters",
                                        .results = 5,
                                        .timeout_ms = 10000};
}

static struct outcome *search(struct fixture *fixture, const char *provider)
{
        const struct websearch_query query = query_to(provider);

        return wait_for(start(fixture, &query));
}

static void reply(struct fixture *fixture, const char *path, unsigned status, const char *headers,
                  const char *body)
{
        stub_add(fixture->stub,
                 &(struct stub_reply){
                         .path = path, .status = status, .headers = headers, .body = body});
}

static void assert_sent(struct fixture *fixture, const char *text)
{
        const char *request = stub_request(fixture->stub, fixture, 0);

        if (!strcasestr(request, text))
                fail_msg("%s is not in: %s", text, request);
}

static void assert_found(const struct outcome *outcome, const char *url)
{
        if (outcome->err.status)
                fail_msg("%s", outcome->err.message);
        assert_string_equal(json_get_text(json_array_get(outcome->results, 0), "url", ""), url);
}

static void asks_each_provider(void **state)
{
        struct fixture *fixture = *state;

        reply(fixture, BRAVE_PATH, 200, NULL, BRAVE_BODY);
        reply(fixture, SERPAPI_PATH, 200, NULL, SERPAPI_BODY);
        reply(fixture, SEARXNG_PATH, 200, NULL, SEARXNG_BODY);
        assert_found(search(fixture, "brave"), "https://a.example/");
        assert_sent(fixture, "GET " BRAVE_PATH "?q=private%20otters&count=5&");
        assert_sent(fixture, "\r\nX-Subscription-Token: secret-4711\r\n");
        assert_sent(fixture, "\r\nAccept-Encoding: ");
        assert_found(search(fixture, "serpapi"), "https://b.example/");
        assert_sent(fixture, "GET " SERPAPI_PATH "?q=private%20otters&engine=google&api_key=");
        assert_found(search(fixture, "searxng"), "https://c.example/");
        assert_sent(fixture, "GET " SEARXNG_PATH "?q=private%20otters&format=json ");
        assert_null(strstr(stub_request(fixture->stub, fixture, 0), "secret-4711"));
}

static void asks_where_the_query_says(void **state)
{
        struct fixture *fixture = *state;
        struct websearch_query query = query_to("searxng");

        reply(fixture, "/other/search", 200, NULL, SEARXNG_BODY);
        query.base_url = stub_url(fixture->stub, fixture, "/other");
        assert_found(wait_for(start(fixture, &query)), "https://c.example/");
}

static void ends_on_the_clients_thread_whatever_happens(void **state)
{
        struct fixture *fixture = *state;
        struct websearch_query unknown = query_to("altavista"), keyless = query_to("brave");
        struct outcome *good, *bad, *also_bad;

        keyless.api_key = NULL;
        reply(fixture, SEARXNG_PATH, 200, NULL, SEARXNG_EMPTY);
        good = search(fixture, "searxng");
        bad = wait_for(start(fixture, &unknown));
        also_bad = wait_for(start(fixture, &keyless));
        assert_int_equal(json_array_size(good->results), 0);
        assert_int_equal(bad->err.status, STATUS_INVALID);
        assert_int_equal(also_bad->err.status, STATUS_UNPROCESSABLE);
        assert_false(bad->retryable || also_bad->retryable);
        assert_false(pthread_equal(good->thread, pthread_self()));
        assert_true(pthread_equal(bad->thread, good->thread));
        assert_true(pthread_equal(also_bad->thread, good->thread));
        assert_int_equal(stub_requests(fixture->stub), 1);
}

static void reads_limits_from_headers(void **state)
{
        struct fixture *fixture = *state;
        struct outcome *outcome;

        reply(fixture, BRAVE_PATH, 429,
              "X-RateLimit-Limit: 1, 15000\r\nX-RateLimit-Remaining: 0, 9\r\n"
              "X-RateLimit-Reset: 7, 1419704\r\n",
              "{}");
        outcome = search(fixture, "brave");
        assert_int_equal(outcome->err.status, STATUS_RATE_LIMITED);
        assert_true(outcome->retryable);
        assert_int_equal(outcome->err.retry_after_ms, 7000);
        reply(fixture, BRAVE_PATH, 429,
              "X-RateLimit-Limit: 1, 15000\r\nX-RateLimit-Remaining: 0, 0\r\n", "{}");
        /* The last reply of a path stays, so the first one is gone now. */
        search(fixture, "brave");
        outcome = search(fixture, "brave");
        assert_int_equal(outcome->err.status, STATUS_RATE_LIMITED);
        assert_false(outcome->retryable);
        reply(fixture, SEARXNG_PATH, 429, "Retry-After: 9\r\n", "slow down");
        outcome = search(fixture, "searxng");
        assert_true(outcome->retryable);
        assert_int_equal(outcome->err.retry_after_ms, 9000);
}

static void assert_failure(const struct outcome *outcome, enum status status, bool retryable,
                           const char *words)
{
        if (outcome->err.status != status || outcome->retryable != retryable ||
            !strstr(outcome->err.message, words) || !strstr(outcome->err.message, "SearXNG"))
                fail_msg("%s, %d: %s", status_name(outcome->err.status), outcome->retryable,
                         outcome->err.message);
        assert_null(strpbrk(outcome->err.message, "<>{}"));
}

static void survives_bad_answers(void **state)
{
        struct fixture *fixture = *state;
        const struct {
                struct stub_reply reply;
                bool retryable;
                const char *words;
        } cases[] = {
                {{.body = ""}, true, "empty"},
                {{.body = "{\"results\":[{\"tit"}, true, "garbled"},
                {{.body = "<html>Log in", .headers = "Content-Type: text/html\r\n"},
                 true,
                 "text/html"},
                {{.body = SEARXNG_BODY, .cut = true, .stop_after = 10}, true, "broke off"},
                {{.body = SEARXNG_BODY, .cut = true}, true, "SearXNG"},
                {{.body = "not HTTP at all", .framing = STUB_RAW}, true, "HTTP"},
                {{.status = 302, .headers = "Location: /elsewhere\r\n", .body = ""},
                 false,
                 "another address"},
                {{.status = 500, .body = "{}"}, true, "its own side"},
        };

        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
                struct stub_reply answer = cases[i].reply;

                stub_reset(fixture->stub);
                answer.path = SEARXNG_PATH;
                stub_add(fixture->stub, &answer);
                assert_failure(search(fixture, "searxng"), STATUS_UPSTREAM, cases[i].retryable,
                               cases[i].words);
                assert_int_equal(stub_requests(fixture->stub), 1);
        }
}

static void bounds_answers(void **state)
{
        struct fixture *fixture = *state;
        struct buffer body = BUFFER_INIT(fixture, 4 << 20);

        buffer_text(&body, "{\"padding\":\"");
        while (body.length < 3 << 20)
                buffer_text(&body, "much too much text ");
        buffer_text(&body, "\"}");
        reply(fixture, SEARXNG_PATH, 200, NULL, body.data);
        assert_failure(search(fixture, "searxng"), STATUS_UPSTREAM, false, "2 MiB");
}

static void tells_what_the_network_does(void **state)
{
        struct fixture *fixture = *state;
        struct websearch_query query = query_to("searxng");
        struct outcome *outcome;

        query.base_url = "http://127.0.0.1:1";
        assert_failure(wait_for(start(fixture, &query)), STATUS_UPSTREAM, true, "refused");
        query.base_url = NULL;
        query.timeout_ms = 100;
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = SEARXNG_PATH, .body = SEARXNG_BODY, .hang = true});
        outcome = wait_for(start(fixture, &query));
        assert_failure(outcome, STATUS_UPSTREAM_TIMEOUT, true, "0.1 s");
}

/* As an owner must: no cancelling once done was called. */
static void cancel(struct outcome *outcome)
{
        pthread_mutex_lock(&outcome->lock);
        if (outcome->done == 0)
                websearch_cancel(outcome->call);
        pthread_mutex_unlock(&outcome->lock);
}

static void cancels_at_once(void **state)
{
        struct fixture *fixture = *state;
        struct websearch_query query = query_to("searxng");
        struct outcome *outcome;

        query.timeout_ms = 10 * 60 * 1000;
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = SEARXNG_PATH, .body = SEARXNG_BODY, .hang = true});
        outcome = start(fixture, &query);
        assert_true(stub_wait_requests(fixture->stub, 1));
        cancel(outcome);
        cancel(outcome);
        assert_int_equal(wait_for(outcome)->err.status, STATUS_CANCELLED);
        assert_false(outcome->retryable);
        assert_true(stub_wait_hangups(fixture->stub, 1));
}

/* Whenever a cancellation comes, done comes once. */
static void ends_once_however_late_it_is_cancelled(void **state)
{
        struct fixture *fixture = *state;
        const struct websearch_query query = query_to("searxng"), bad = query_to("altavista");
        struct outcome *outcomes[300];

        reply(fixture, SEARXNG_PATH, 200, NULL, SEARXNG_BODY);
        for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
                outcomes[i] = start(fixture, i % 3 ? &query : &bad);
                if (i >= 20)
                        cancel(outcomes[i - 20]);
                if (i % 2)
                        cancel(outcomes[i]);
        }
        for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
                enum status status = wait_for(outcomes[i])->err.status;

                assert_true(status == STATUS_CANCELLED ||
                            status == (i % 3 ? STATUS_OK : STATUS_INVALID));
        }
}

/* Holds up the client's thread until the test lets it go. */
static void hold(json_t *results, const struct error *err, bool retryable, void *arg)
{
        (void)results;
        (void)err;
        (void)retryable;
        pthread_mutex_lock(arg);
        pthread_mutex_unlock(arg);
}

static void cancels_what_has_its_end_already(void **state)
{
        struct fixture *fixture = *state;
        const struct websearch_query bad = query_to("altavista"), query = query_to("searxng");
        pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        struct outcome *refused, *cached;

        open_websearch(fixture, fixture->cache);
        reply(fixture, SEARXNG_PATH, 200, NULL, SEARXNG_BODY);
        search(fixture, "searxng");
        pthread_mutex_lock(&gate);
        websearch_start(fixture->websearch, &bad, hold, &gate);
        refused = start(fixture, &bad);
        cached = start(fixture, &query);
        cancel(refused);
        cancel(cached);
        pthread_mutex_unlock(&gate);
        assert_int_equal(wait_for(refused)->err.status, STATUS_CANCELLED);
        assert_int_equal(wait_for(cached)->err.status, STATUS_CANCELLED);
        fixture->websearch = websearch_free(fixture->websearch);
        pthread_mutex_destroy(&gate);
}

static void cancels_what_is_under_way_when_freed(void **state)
{
        struct fixture *fixture = *state;
        struct websearch_query query = query_to("searxng");
        struct outcome *outcomes[10];

        query.timeout_ms = 10 * 60 * 1000;
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = SEARXNG_PATH, .body = SEARXNG_BODY, .hang = true});
        for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
                outcomes[i] = start(fixture, &query);
        assert_true(stub_wait_requests(fixture->stub, ARRAY_LENGTH(outcomes)));
        fixture->websearch = websearch_free(fixture->websearch);
        for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
                assert_int_equal(outcomes[i]->done, 1);
                assert_int_equal(outcomes[i]->err.status, STATUS_CANCELLED);
        }
}

/* --- Cache -------------------------------------------------------------------------------------*/
static void keeps_good_answers(void **state)
{
        struct fixture *fixture = *state;
        struct websearch_query query = query_to("brave");
        struct outcome *first, *second;

        open_websearch(fixture, fixture->cache);
        reply(fixture, BRAVE_PATH, 200, NULL, BRAVE_BODY);
        first = wait_for(start(fixture, &query));
        query.query = "  private   otters ";
        second = wait_for(start(fixture, &query));
        assert_found(second, "https://a.example/");
        assert_true(json_equal(first->results, second->results));
        assert_true(pthread_equal(first->thread, second->thread));
        assert_int_equal(stub_requests(fixture->stub), 1);
        query.api_key = "other-key";
        wait_for(start(fixture, &query));
        assert_int_equal(stub_requests(fixture->stub), 2);
        query.results = 6;
        wait_for(start(fixture, &query));
        assert_int_equal(stub_requests(fixture->stub), 3);
        open_websearch(fixture, NULL);
        wait_for(start(fixture, &query));
        assert_int_equal(stub_requests(fixture->stub), 4);
}

static void keeps_no_failures(void **state)
{
        struct fixture *fixture = *state;

        open_websearch(fixture, fixture->cache);
        reply(fixture, SEARXNG_PATH, 500, NULL, "{}");
        reply(fixture, SEARXNG_PATH, 200, NULL, "{\"res");
        reply(fixture, SEARXNG_PATH, 200, NULL, SEARXNG_EMPTY);
        reply(fixture, SEARXNG_PATH, 200, NULL, SEARXNG_BODY);
        assert_int_equal(search(fixture, "searxng")->err.status, STATUS_UPSTREAM);
        assert_int_equal(search(fixture, "searxng")->err.status, STATUS_UPSTREAM);
        assert_int_equal(json_array_size(search(fixture, "searxng")->results), 0);
        assert_found(search(fixture, "searxng"), "https://c.example/");
        assert_found(search(fixture, "searxng"), "https://c.example/");
        assert_int_equal(stub_requests(fixture->stub), 4);
}

/* --- What is seen from outside -----------------------------------------------------------------*/
static double requests(const char *provider, const char *status)
{
        char sample[120];

        snprintf(sample, sizeof(sample),
                 "flowgenix_web_search_requests_total{provider=\"%s\",status=\"%s\"}", provider,
                 status);
        return metric_value(sample);
}

static void counts_searches(void **state)
{
        struct fixture *fixture = *state;
        const char *observed =
                "flowgenix_web_search_request_duration_seconds_count{provider=\"brave\"}";
        double successes = requests("brave", "success"), errors = requests("brave", "error");
        double limited = requests("brave", "rate_limited"), durations = metric_value(observed);
        double unknown = requests("unknown", "error");

        open_websearch(fixture, fixture->cache);
        reply(fixture, BRAVE_PATH, 429, "", "{}");
        reply(fixture, BRAVE_PATH, 500, "", "{}");
        reply(fixture, BRAVE_PATH, 200, "", BRAVE_BODY);
        for (int i = 0; i < 4; i++)
                search(fixture, "brave");
        search(fixture, "altavista");
        assert_int_equal(requests("brave", "success") - successes, 1); /* and one from the cache */
        assert_int_equal(requests("brave", "error") - errors, 1);
        assert_int_equal(requests("brave", "rate_limited") - limited, 1);
        assert_int_equal(requests("unknown", "error") - unknown, 1);
        assert_int_equal(metric_value(observed) - durations, 3);
}

static const json_t *searches(json_t *records)
{
        for (size_t i = json_array_size(records); i > 0; i--) {
                const json_t *record = json_array_get(records, i - 1);

                if (strcmp(json_get_text(record, "event_type", ""), "web_search") != 0)
                        json_array_remove(records, i - 1);
        }
        return records;
}

static void log_three_searches(struct fixture *fixture)
{
        static const struct trace trace = {.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                                           .span_id = "00f067aa0ba902b7",
                                           .sampled = true};
        struct websearch_query query = query_to("serpapi");

        query.trace = &trace;
        reply(fixture, SERPAPI_PATH, 200, NULL, SERPAPI_BODY);
        assert_found(wait_for(start(fixture, &query)), "https://b.example/");
        assert_sent(fixture, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-");
        wait_for(start(fixture, &query));
        stub_reset(fixture->stub);
        query.results = 6;
        reply(fixture, SERPAPI_PATH, 400, NULL,
              "{\"error\":\"secret-4711 may not ask: private otters\"}");
        wait_for(start(fixture, &query));
}

static void logs_one_line_each(void **state)
{
        struct fixture *fixture = *state;
        struct log_folder log;

        log_folder_make(&log);
        log_folder_start(&log, 0, 0);
        open_websearch(fixture, fixture->cache);
        log_three_searches(fixture);
        open_websearch(fixture, NULL); /* waits for the last search's end */
        log_stop();
        SCOPED_JSON json_t *records = log_folder_records(&log);
        const char *text = file_text(fixture, log.file);

        assert_null(strstr(text, "secret-4711"));
        assert_null(strstr(text, "otters"));
        assert_int_equal(json_array_size(searches(records)), 3);
        assert_string_equal(json_string_value(json_path(records, "[0].provider")), "serpapi");
        assert_string_equal(json_string_value(json_path(records, "[0].status")), "success");
        assert_string_equal(json_string_value(json_path(records, "[0].level")), "INFO");
        assert_string_equal(json_string_value(json_path(records, "[0].trace_id")),
                            "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_int_equal(json_integer_value(json_path(records, "[0].results")), 1);
        assert_true(json_is_number(json_path(records, "[0].duration_ms")));
        assert_false(json_is_true(json_path(records, "[0].cached")));
        assert_true(json_is_true(json_path(records, "[1].cached")));
        assert_string_equal(json_string_value(json_path(records, "[2].status")), "error");
        assert_string_equal(json_string_value(json_path(records, "[2].level")), "WARN");
        assert_string_equal(json_string_value(json_path(records, "[2].detail")),
                            "*** may not ask: ***");
        assert_non_null(strstr(json_string_value(json_path(records, "[2].error.message")),
                               "SerpAPI did not accept the search"));
        log_folder_remove(&log);
}

static void knows_its_providers(void **state)
{
        bool needs_key = false;

        (void)state;
        assert_true(websearch_provider_known("brave", &needs_key) && needs_key);
        assert_true(websearch_provider_known("searxng", &needs_key) && !needs_key);
        assert_true(websearch_provider_known("serpapi", &needs_key) && needs_key);
        assert_false(websearch_provider_known("altavista", &needs_key));
        assert_false(websearch_provider_known(NULL, &needs_key));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(asks_each_provider),
                TEST(asks_where_the_query_says),
                TEST(ends_on_the_clients_thread_whatever_happens),
                TEST(reads_limits_from_headers),
                TEST(survives_bad_answers),
                TEST(bounds_answers),
                TEST(tells_what_the_network_does),
                TEST(cancels_at_once),
                TEST(ends_once_however_late_it_is_cancelled),
                TEST(cancels_what_has_its_end_already),
                TEST(cancels_what_is_under_way_when_freed),
                TEST(keeps_good_answers),
                TEST(keeps_no_failures),
                TEST(counts_searches),
                TEST(logs_one_line_each),
                TEST(knows_its_providers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
