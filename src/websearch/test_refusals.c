/* SPDX-License-Identifier: Apache-2.0 */
/* Every way in which a provider gives no results: the status, whether to try again, the words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/utf8.h"
#include "websearch/websearch_internal.h"

#include <cmocka.h>

static struct question question_for(const struct websearch_ops *ops)
{
        return (struct question){.ops = ops,
                                 .base_url = "http://x",
                                 .api_key = ops->needs_key ? "secret-4711" : NULL,
                                 .query = "private question",
                                 .results = 20};
}

static struct refusal refusal_of(const struct websearch_ops *ops, struct answer answer)
{
        const struct question question = question_for(ops);
        struct refusal refusal;
        json_t *results = NULL;

        answer.length = answer.length ? answer.length : strlen(answer.body);
        assert_int_not_equal(websearch_answer_read(&question, &answer, &results, &refusal),
                             STATUS_OK);
        assert_null(results);
        assert_non_null(strstr(refusal.error.message, ops->title));
        assert_null(strstr(refusal.error.message, "secret-4711"));
        assert_null(strstr(refusal.detail, "secret-4711"));
        assert_null(strstr(refusal.error.message, "private question"));
        assert_null(strstr(refusal.detail, "private question"));
        assert_null(strpbrk(refusal.error.message, "{}<>\n"));
        return refusal;
}

struct refusal_case {
        struct answer answer;
        enum status status;
        bool retryable;
        unsigned retry_after_ms;
        const char *words;
};

/* Status, body, and other members by name. */
#define ANSWER(code, ...)                                                                          \
        {                                                                                          \
                .status = (code), .body = __VA_ARGS__                                              \
        }
#define BRAVE_ERROR(code, meta)                                                                    \
        "{\"type\":\"ErrorResponse\",\"error\":{\"status\":422,\"code\":\"" code                   \
        "\",\"detail\":\"about secret-4711\",\"meta\":{" meta "}}}"
#define LIMITED                    BRAVE_ERROR("RATE_LIMITED", "")
#define QUOTA(current)             BRAVE_ERROR("RATE_LIMITED", "\"quota_limit\":20,\"quota_current\":" #current)
#define LIMITS(limit, left, reset) .rate_limit = (limit), .rate_left = (left), .rate_reset = (reset)
#define MONTH_LEFT                 LIMITS("1, 15000", "0, 1000", "1, 1419704")
#define MONTH_USED                 LIMITS("1, 15000", "0, 0", "1, 1419704")
#define SERPAPI_ERROR(text)        "{\"error\":\"" text "\"}"

static const struct refusal_case brave_cases[] = {
        {ANSWER(422, BRAVE_ERROR("SUBSCRIPTION_TOKEN_INVALID", "")), STATUS_UPSTREAM, 0, 0,
         "API key"},
        {ANSWER(401, "{}"), STATUS_UPSTREAM, 0, 0, "API key"},
        {ANSWER(403, "<html>"), STATUS_UPSTREAM, 0, 0, "API key"},
        {ANSWER(422, BRAVE_ERROR("VALIDATION", "")), STATUS_UPSTREAM, 0, 0, "about ***"},
        {ANSWER(400, BRAVE_ERROR("OPTION_NOT_IN_PLAN", "")), STATUS_UPSTREAM, 0, 0, "plan"},
        {ANSWER(402, "{}"), STATUS_RATE_LIMITED, 0, 0, "used up"},
        {ANSWER(429, LIMITED, MONTH_LEFT), STATUS_RATE_LIMITED, 1, 1000, "too often"},
        {ANSWER(429, LIMITED, MONTH_USED), STATUS_RATE_LIMITED, 0, 0, "used up"},
        {ANSWER(429, "", LIMITS("50, 0", "0, 0", "7, 9")), STATUS_RATE_LIMITED, 1, 7000,
         "too often"},
        {ANSWER(429, "", LIMITS("x", ",", "99999999999999999999, 1")), STATUS_RATE_LIMITED, 1, 1000,
         "too often"},
        {ANSWER(429, "", LIMITS("1", "0", "9")), STATUS_RATE_LIMITED, 1, 1000, "too often"},
        {ANSWER(429, "{}", .retry_after_ms = 2500), STATUS_RATE_LIMITED, 1, 2500, "too often"},
        {ANSWER(429, QUOTA(20), MONTH_LEFT), STATUS_RATE_LIMITED, 0, 0, "used up"},
        {ANSWER(429, QUOTA(15), MONTH_USED), STATUS_RATE_LIMITED, 1, 1000, "too often"},
        {ANSWER(500, BRAVE_ERROR("INTERNAL", "")), STATUS_UPSTREAM, 1, 0, "about ***"},
        {ANSWER(503, "", .retry_after_ms = 4000), STATUS_UNAVAILABLE, 1, 4000, "overloaded"},
        {ANSWER(404, "{}"), STATUS_UPSTREAM, 0, 0, "address"},
        {ANSWER(301, ""), STATUS_UPSTREAM, 0, 0, "another address"},
        {ANSWER(200, "{\"type\":\"other\"}"), STATUS_UPSTREAM, 0, 0, "web results"},
        {ANSWER(200, "{\"type\":\"search\",\"web\":{\"results\":7}}"), STATUS_UPSTREAM, 0, 0,
         "web results"},
        {ANSWER(200, "[]"), STATUS_UPSTREAM, 0, 0, "web results"},
        {ANSWER(200, "null"), STATUS_UPSTREAM, 0, 0, "web results"},
};

static const struct refusal_case serpapi_cases[] = {
        {ANSWER(401, SERPAPI_ERROR("Invalid API key.")), STATUS_UPSTREAM, 0, 0, "API key"},
        {ANSWER(429, SERPAPI_ERROR("Your account has run out of searches.")), STATUS_RATE_LIMITED,
         0, 0, "used up"},
        {ANSWER(429, SERPAPI_ERROR("You have exceeded your hourly limit.")), STATUS_RATE_LIMITED, 1,
         0, "too often"},
        {ANSWER(429, "<html>", .retry_after_ms = 5000), STATUS_RATE_LIMITED, 1, 5000, "too often"},
        {ANSWER(400, SERPAPI_ERROR("Bad `private question` for xsecret-4711.")), STATUS_UPSTREAM, 0,
         0, "Bad `***` for x***."},
        {ANSWER(503, SERPAPI_ERROR("x")), STATUS_UNAVAILABLE, 1, 0, "overloaded"},
        {ANSWER(500, "oops"), STATUS_UPSTREAM, 1, 0, "HTTP status 500"},
        {ANSWER(200, SERPAPI_ERROR("Your account has run out of searches.")), STATUS_RATE_LIMITED,
         0, 0, "used up"},
        {ANSWER(200, SERPAPI_ERROR("No luck. <b>Try</b> later.")), STATUS_UPSTREAM, 1, 0,
         "luck. Try later."},
        {ANSWER(200, "{\"search_metadata\":{\"status\":\"Queued\"}}"), STATUS_UPSTREAM, 0, 0,
         "organic"},
        {ANSWER(200, "{\"organic_results\":{}}"), STATUS_UPSTREAM, 0, 0, "organic"},
};

static const struct refusal_case searxng_cases[] = {
        {ANSWER(403, "<h1>Forbidden</h1>"), STATUS_UPSTREAM, 0, 0, "settings.yml"},
        {ANSWER(429, "Too Many Requests", .retry_after_ms = 9000), STATUS_RATE_LIMITED, 1, 9000,
         "limiter"},
        {ANSWER(401, ""), STATUS_UPSTREAM, 0, 0, "refused access"},
        {ANSWER(400, "{\"error\":\"Invalid value\"}"), STATUS_UPSTREAM, 0, 0, "Invalid value"},
        {ANSWER(302, ""), STATUS_UPSTREAM, 0, 0, "another address"},
        {ANSWER(500, "<html>"), STATUS_UPSTREAM, 1, 0, "HTTP status 500"},
        {ANSWER(200, "{\"results\":null}"), STATUS_UPSTREAM, 0, 0, "list of results"},
        {ANSWER(200, "<html>Welcome", .content_type = "text/html"), STATUS_UPSTREAM, 1, 0,
         "text/html"},
        {ANSWER(200, "{\"results\":[{\"tit"), STATUS_UPSTREAM, 1, 0, "no stated type"},
        {ANSWER(200, "{\"results\":[{\"tit", .content_type = "application/json"), STATUS_UPSTREAM,
         1, 0, "garbled"},
        {ANSWER(200, ""), STATUS_UPSTREAM, 1, 0, "empty"},
        {ANSWER(204, ""), STATUS_UPSTREAM, 1, 0, "empty"},
        {ANSWER(200, "\xff\xfe"), STATUS_UPSTREAM, 1, 0, "something else"},
};

static void explain_all(const struct websearch_ops *ops, const struct refusal_case *cases,
                        size_t count)
{
        for (size_t i = 0; i < count; i++) {
                const struct refusal refusal = refusal_of(ops, cases[i].answer);

                if (!strstr(refusal.error.message, cases[i].words) ||
                    refusal.error.status != cases[i].status ||
                    refusal.retryable != cases[i].retryable ||
                    refusal.error.retry_after_ms != cases[i].retry_after_ms)
                        fail_msg("%s %zu: %s, %d, %u ms: %s", ops->name, i,
                                 status_name(refusal.error.status), refusal.retryable,
                                 refusal.error.retry_after_ms, refusal.error.message);
        }
}

static void explains_refusals(void **state)
{
        (void)state;
        explain_all(&brave_ops, brave_cases, ARRAY_LENGTH(brave_cases));
        explain_all(&serpapi_ops, serpapi_cases, ARRAY_LENGTH(serpapi_cases));
        explain_all(&searxng_ops, searxng_cases, ARRAY_LENGTH(searxng_cases));
}

/* A word of the query inside another word is not blotted out. */
static void blots_out_whole_words_only(void **state)
{
        struct question question = question_for(&searxng_ops);
        struct refusal refusal = {0};

        (void)state;
        question.query = "a";
        websearch_refuse(&refusal, REFUSED_REQUEST, &question, "a bad value: 'a' or aa");
        assert_string_equal(refusal.detail, "*** bad value: '***' or aa");
}

static void keeps_long_words_short(void **state)
{
        struct question question = question_for(&searxng_ops);
        struct refusal refusal = {0};
        SCOPED_MEM void *ctx = mem_root();
        struct buffer words = BUFFER_INIT(ctx, 1 << 20);

        (void)state;
        for (int i = 0; i < 5000; i++)
                buffer_text(&words, "xé<b>");
        websearch_refuse(&refusal, REFUSED_SERVER, &question, words.data);
        assert_in_range(strlen(refusal.detail), WEBSEARCH_DETAIL_MAX - 3, WEBSEARCH_DETAIL_MAX - 1);
        assert_true(utf8_valid(refusal.detail, strlen(refusal.detail)));
}

static void explains_transfers(void **state)
{
        static const struct {
                enum status from, to;
                bool retryable;
        } cases[] = {
                {STATUS_UPSTREAM, STATUS_UPSTREAM, true},
                {STATUS_UPSTREAM_TIMEOUT, STATUS_UPSTREAM_TIMEOUT, true},
                {STATUS_UNAVAILABLE, STATUS_UNAVAILABLE, true},
                {STATUS_TOO_LARGE, STATUS_UPSTREAM, false},
                {STATUS_FORBIDDEN, STATUS_UPSTREAM, false},
                {STATUS_INVALID, STATUS_UNPROCESSABLE, false},
                {STATUS_CANCELLED, STATUS_CANCELLED, false},
        };
        const struct question question = question_for(&brave_ops);

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
                struct error err = ERROR_INIT;
                struct refusal refusal;

                error_set(&err, cases[i].from, "host went away");
                websearch_refuse_transfer(&refusal, &question, &err);
                assert_int_equal(refusal.error.status, cases[i].to);
                assert_int_equal(refusal.retryable, cases[i].retryable);
                assert_true(cases[i].to == STATUS_CANCELLED ||
                            strstr(refusal.error.message, "Brave"));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(explains_refusals),
                cmocka_unit_test(blots_out_whole_words_only),
                cmocka_unit_test(keeps_long_words_short),
                cmocka_unit_test(explains_transfers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
