/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a search, on the client's thread: results or a refusal, metrics, one log line, the
 * cache, and the caller's done. */
#include <string.h>

#include "base/clock.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "websearch/websearch_call.h"

enum { CACHE_TTL_MS = 5 * 60 * 1000 };

static void read_answer(struct websearch_call *call, struct http_call *http,
                        const struct http_result *result)
{
        const struct answer answer = {
                .status = result->status,
                .body = result->body,
                .length = result->body_length,
                .content_type = result->content_type,
                .rate_limit = http_call_header(http, "X-RateLimit-Limit"),
                .rate_left = http_call_header(http, "X-RateLimit-Remaining"),
                .rate_reset = http_call_header(http, "X-RateLimit-Reset"),
                .retry_after_ms = result->retry_after_ms,
        };

        /* A failure is in the refusal. */
        if (websearch_answer_read(&call->question, &answer, &call->results, &call->refusal))
                return;
        /* Nothing found may be a passing weakness of a SearXNG whose engines did not answer. */
        if (call->cache_key && json_array_size(call->results) > 0) {
                const char *text = json_write(call, call->results);

                cache_put(call->websearch->cache, call->cache_key, text, strlen(text),
                          CACHE_TTL_MS);
        }
}

/* Cancelling wins over whatever came meanwhile. */
static void settle(struct websearch_call *call)
{
        bool cancelled;

        pthread_mutex_lock(&call->websearch->lock);
        cancelled = call->cancelled;
        pthread_mutex_unlock(&call->websearch->lock);
        if (!cancelled)
                return;
        call->refusal = (struct refusal){0};
        error_set(&call->refusal.error, STATUS_CANCELLED, "The search was cancelled");
}

static bool failed(const struct websearch_call *call)
{
        return call->refusal.error.status != STATUS_OK;
}

/* Values of the metric's label `status`, few and fixed. */
static const char *status_label(const struct websearch_call *call)
{
        if (!failed(call))
                return "success";
        if (call->refusal.error.status == STATUS_CANCELLED)
                return "cancelled";
        if (call->refusal.error.status == STATUS_RATE_LIMITED)
                return "rate_limited";
        if (call->refusal.error.status == STATUS_UPSTREAM_TIMEOUT)
                return "timeout";
        return "error";
}

static const char *provider_label(const struct websearch_call *call)
{
        return call->question.ops ? call->question.ops->name : "unknown";
}

/* An answer from the cache was no request to the provider. */
static void count(const struct websearch_call *call, const char *status)
{
        if (call->cached && !failed(call))
                return;
        metric_add(METRIC_web_search_requests_total, 1, provider_label(call), status);
        metric_observe(METRIC_web_search_request_duration_seconds,
                       metric_seconds_since(call->start_us), provider_label(call));
}

static void log_search(const struct websearch_call *call, const char *status)
{
        bool bad = failed(call) && call->refusal.error.status != STATUS_CANCELLED;
        const struct log_field fields[] = {
                LOG_STR("provider", provider_label(call)),
                LOG_STR("status", status),
                LOG_INT("results", failed(call) ? 0 : json_array_size(call->results)),
                LOG_REAL("duration_ms", (double)(clock_monotonic_us() - call->start_us) / 1000),
                LOG_BOOL("cached", call->cached),
                LOG_STR("detail", *call->refusal.detail ? call->refusal.detail : NULL),
        };

        log_write(bad ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, LOG_web_search,
                  bad ? "web search failed" : "web search finished",
                  bad ? &call->refusal.error : NULL, fields, ARRAY_LENGTH(fields));
}

static void report(struct websearch_call *call)
{
        if (failed(call))
                call->done(NULL, &call->refusal.error, call->refusal.retryable, call->arg);
        else
                call->done(call->results, NULL, false, call->arg);
}

static void forget(struct websearch_call *call)
{
        struct websearch *websearch = call->websearch;

        json_decref(call->results);
        pthread_mutex_lock(&websearch->lock);
        LIST_REMOVE(call, list);
        /* Under the lock: websearch may be gone as soon as it is released. */
        if (LIST_EMPTY(&websearch->calls))
                pthread_cond_signal(&websearch->idle);
        pthread_mutex_unlock(&websearch->lock);
        mem_free(call);
}

/* From here on a cancellation only leaves its mark: the transfer is over. */
static struct http_call *take_http(struct websearch_call *call)
{
        struct http_call *http;

        pthread_mutex_lock(&call->websearch->lock);
        http = call->http;
        call->http = NULL;
        pthread_mutex_unlock(&call->websearch->lock);
        return http;
}

static void on_done(const struct http_result *result, const struct error *err, void *arg)
{
        struct websearch_call *call = arg;
        TRACE_SCOPE(&call->trace);
        struct http_call *http = take_http(call);

        if (!call->results && !failed(call)) {
                if (err)
                        websearch_refuse_transfer(&call->refusal, &call->question, err);
                else
                        read_answer(call, http, result);
        }
        settle(call);

        const char *status = status_label(call);

        count(call, status);
        log_search(call, status);
        report(call);
        forget(call);
}

const struct http_handlers websearch_handlers = {.done = on_done};
