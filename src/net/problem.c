/* SPDX-License-Identifier: Apache-2.0 */
/* Errors on the wire: application/problem+json of RFC 9457.
 *
 * The rule: a client learns what it can act on. What went wrong inside is logged here, once, and
 * answered with the request id only. */
#include <stdio.h>
#include <string.h>

#include "base/json_writer.h"
#include "net/server_internal.h"
#include "observe/log.h"

enum { PROBLEM_MAX = 256 * 1024 };

static void write_problems(struct json_writer *json, const struct problems *problems)
{
        json_open_array(json, "errors");
        for (size_t i = 0; i < problems->count; i++) {
                const struct problem *problem = &problems->items[i];

                json_open_object(json, NULL);
                if (problem->node_id)
                        json_put_text(json, "node_id", problem->node_id);
                json_put_text(json, "path", problem->path);
                json_put_text(json, "message", problem->message);
                json_close_object(json);
        }
        json_close_array(json);
}

void problem_write(struct buffer *out, unsigned status, const char *detail, const char *request_id,
                   const struct problems *problems)
{
        struct json_writer json = JSON_WRITER(out);
        const char *title = MHD_get_reason_phrase_for(status);

        json_open_object(&json, NULL);
        json_put_text(&json, "type", "about:blank");
        json_put_text(&json, "title", title ? title : "");
        json_put_int(&json, "status", status);
        json_put_text(&json, "detail", detail);
        json_put_text(&json, "request_id", request_id);
        if (problems && problems->count)
                write_problems(&json, problems);
        json_close_object(&json);
}

struct MHD_Response *problem_build(unsigned status, const char *detail, const char *request_id)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, PROBLEM_MAX);
        struct MHD_Response *built;

        problem_write(&body, status, detail, request_id, NULL);
        built = MHD_create_response_from_buffer(body.length, body.data, MHD_RESPMEM_MUST_COPY);
        if (!built)
                return NULL;
        MHD_add_response_header(built, "Content-Type", "application/problem+json");
        MHD_add_response_header(built, "X-Request-ID", request_id);
        MHD_add_response_header(built, "X-Content-Type-Options", "nosniff");
        MHD_add_response_header(built, "Cache-Control", "no-store");
        if (status == 503)
                MHD_add_response_header(built, "Retry-After", "1");
        return built;
}

static bool detail_is_public(enum status status)
{
        return status_http(status) < 500 || status == STATUS_UNAVAILABLE ||
               status == STATUS_UPSTREAM || status == STATUS_UPSTREAM_TIMEOUT;
}

static void log_server_error(const struct request *req, const struct error *err)
{
        enum log_level level = err->status == STATUS_UNAVAILABLE ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR;

        log_failure(level, LOG_application_error, "request failed", err,
                    LOG_STR("route", req->route ? req->route->path : NULL),
                    LOG_STR("file", err->file), LOG_INT("line", err->line));
}

static struct reply add_retry(struct reply reply, const struct error *err)
{
        unsigned seconds = (err->retry_after_ms + 999) / 1000;
        char text[12];

        if (seconds == 0 && err->status == STATUS_UNAVAILABLE)
                seconds = 1;
        if (seconds == 0)
                return reply;
        snprintf(text, sizeof(text), "%u", seconds);
        return reply_header(reply, "Retry-After", text);
}

struct reply reply_error(struct request *req, const struct error *err)
{
        unsigned status = status_http(err->status);
        struct buffer body = BUFFER_INIT(req->ctx, PROBLEM_MAX);
        struct response *response = response_new(req, RESPONSE_BODY, status);
        struct reply reply = {response};

        if (status >= 500)
                log_server_error(req, err);
        problem_write(&body, status,
                      detail_is_public(err->status)
                              ? err->message
                              : "Something went wrong on the server; its log says more under this "
                                "request_id",
                      req->trace.request_id, req->exchange->problems);
        response->content_type = "application/problem+json";
        response->data = buffer_string(&body);
        response->length = body.length;
        if (err->status == STATUS_UNAUTHENTICATED)
                reply = reply_header(reply, "WWW-Authenticate", "Bearer");
        return add_retry(reply, err);
}
