/* SPDX-License-Identifier: Apache-2.0 */
/* What a finished exchange leaves behind: one log line and its metrics. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/server_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

/* Only known methods are label values: a client must not make up series. */
static const char *method_label(const struct exchange *exchange)
{
        if (exchange->head)
                return "HEAD";
        if (!exchange->method)
                return "other";
        if (strcmp(exchange->method, "OPTIONS") == 0)
                return "OPTIONS";
        return exchange->req.method < METHOD_MAX ? method_name(exchange->req.method) : "other";
}

/* Probes and scrapes come every few seconds and say nothing. */
static bool routine(const char *path)
{
        return strncmp(path, "/health", 7) == 0 || strcmp(path, "/metrics") == 0;
}

static enum log_level level_of(const struct exchange *exchange)
{
        if (exchange->status >= 500)
                return LOG_LEVEL_ERROR;
        return exchange->req.path && routine(exchange->req.path) ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

void exchange_record(struct exchange *exchange, bool whole)
{
        TRACE_SCOPE(&exchange->req.trace);
        double seconds = metric_seconds_since(exchange->req.start_us);
        const char *method = method_label(exchange);
        const char *route = exchange->entry ? exchange->entry->route->path : "(none)";
        /* An abandoned reply may be in the making on another thread. */
        bool stream = !exchange->abandoned && exchange->response &&
                      exchange->response->kind == RESPONSE_STREAM;
        char status[12];

        snprintf(status, sizeof(status), "%u", exchange->status);
        metric_add(METRIC_http_requests_total, 1, method, route, status);
        /* The life of a stream is no latency. */
        if (!stream)
                metric_observe(METRIC_http_request_duration_seconds, seconds, method, route);
        LOG_AT(level_of(exchange), LOG_http_request, "request served", LOG_STR("method", method),
               LOG_STR("route", route), LOG_STR("path", exchange->req.path),
               LOG_INT("status", exchange->status), LOG_REAL("duration_ms", seconds * 1000),
               LOG_INT("bytes", exchange->bytes), LOG_STR("peer", exchange->req.peer),
               LOG_BOOL("complete", whole));
}
