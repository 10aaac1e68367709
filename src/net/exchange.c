/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a request: head, admission, body, handler, answer, end.
 *
 * libmicrohttpd calls exchange_proceed once for the head, for each piece of body, once after it,
 * and again when a suspended connection was resumed. It takes a response only for the first and
 * after the body; a response to the first closes the connection. So a refusal waits for the rest of
 * a small body, and closes on a large one. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/server_internal.h"
#include "observe/metrics.h"

static int exchange_destroy(struct exchange *exchange)
{
        if (exchange->built)
                MHD_destroy_response(exchange->built);
        pthread_mutex_destroy(&exchange->lock);
        return 0;
}

struct exchange *exchange_new(struct peer *peer, struct MHD_Connection *mhd, const char *target)
{
        struct exchange *exchange = mem_new(NULL, struct exchange);

        exchange->server = peer->server;
        atomic_fetch_add(&exchange->server->references, 1);
        exchange->peer = peer;
        exchange->loop = peer->loop;
        exchange->mhd = mhd;
        exchange->raw_target = mem_strdup(exchange, target);
        exchange->target_end = target + strlen(target);
        exchange->references = 1;
        pthread_mutex_init(&exchange->lock, NULL);
        talloc_set_destructor(exchange, exchange_destroy);
        exchange->req = (struct request){
                .ctx = exchange,
                .path = "",
                .body = "",
                .start_us = clock_monotonic_us(),
                .app = peer->server->options.app,
                .exchange = exchange,
        };
        memcpy(exchange->req.peer, peer->address, sizeof(peer->address));
        peer->exchange = exchange;
        return exchange;
}

void exchange_release(struct exchange *exchange)
{
        struct server *server = exchange->server;

        if (atomic_fetch_sub(&exchange->references, 1) != 1)
                return;
        mem_free(exchange);
        server_unref(server);
}

static struct MHD_Response *stopped_response(struct exchange *exchange)
{
        exchange->status = 503;
        return problem_build(503, "The server is stopping", exchange->req.trace.request_id);
}

/* Queues what was built; a finisher may still hold an abandoned exchange, so nothing of its reply
 * is touched. */
static enum MHD_Result answer(struct exchange *exchange)
{
        struct MHD_Response *response;
        enum MHD_Result result;

        exchange->phase = PHASE_SENDING;
        if (exchange->abandoned) {
                response = stopped_response(exchange);
        } else {
                response = exchange->built;
                exchange->built = NULL;
                exchange->status = exchange->response->status;
                exchange->bytes = exchange->response->length;
                if (exchange->response->kind == RESPONSE_STREAM)
                        stream_attach(exchange->response->stream, exchange);
        }
        result = response ? refuse_queue(exchange->mhd, exchange->status, response) : MHD_NO;
        if (response)
                MHD_destroy_response(response);
        return result;
}

enum MHD_Result exchange_answer(struct exchange *exchange, struct reply reply)
{
        exchange->response = reply.response;
        exchange->built = response_build(exchange);
        return answer(exchange);
}

enum MHD_Result exchange_refuse(struct exchange *exchange, const struct error *err)
{
        TRACE_SCOPE(&exchange->req.trace);
        struct reply reply = reply_error(&exchange->req, err);

        if (err->status == STATUS_METHOD_NOT_ALLOWED)
                reply = reply_header(reply, "Allow", route_allow(exchange, &exchange->match));
        return exchange_answer(exchange, reply);
}

/* Answers although the body is still to come. */
static enum MHD_Result refuse_closing(struct exchange *exchange, const struct error *err)
{
        exchange->peer->linger = true;
        return exchange_refuse(exchange, err);
}

void exchange_fail_later(struct exchange *exchange, const struct error *err)
{
        exchange->failure = mem_dup(exchange, err, sizeof(*err));
}

/* True if what is left of the body is worth reading to keep the connection. */
static bool discardable(const struct exchange *exchange)
{
        if (request_header(&exchange->req, "Expect"))
                return false;
        return exchange->framing.chunked ||
               exchange->framing.length - exchange->received <= DISCARD_MAX;
}

/* Within a body the library takes no response, so a refusal that cannot wait bypasses it. */
static enum MHD_Result fail_in_body(struct exchange *exchange, const struct error *err)
{
        if (!exchange->framing.chunked && discardable(exchange)) {
                exchange_fail_later(exchange, err);
                return MHD_YES;
        }
        refuse_raw(exchange, status_http(err->status), err->message);
        return MHD_NO;
}

/* OPTIONS has no route. */
static size_t body_max(const struct exchange *exchange)
{
        return exchange->req.route ? exchange->req.route->body_max : 0;
}

static enum status body_too_large(const struct exchange *exchange, struct error *err)
{
        size_t max = body_max(exchange);

        if (max == 0)
                return error_set(err, STATUS_TOO_LARGE, "This request takes no body");
        return error_set(err, STATUS_TOO_LARGE, "The body is larger than %zu bytes", max);
}

/* A body may be slow, not endless: each KiB buys a second. */
static void extend_deadline(struct exchange *exchange)
{
        int64_t seconds = exchange->server->options.idle_seconds +
                          (int64_t)(exchange->received / BODY_RATE_MIN);

        exchange->peer->deadline_us = exchange->body_start_us + seconds * 1000000;
}

static enum status take_piece(struct exchange *exchange, const char *data, size_t size,
                              struct error *err)
{
        const struct route *route = exchange->req.route;

        if (exchange->received > body_max(exchange))
                return body_too_large(exchange, err);
        if (route->sink)
                return route->sink->piece(&exchange->req, data, size, err);
        buffer_append(&exchange->body, data, size);
        return STATUS_OK;
}

static enum MHD_Result take_body(struct exchange *exchange, const char *data, size_t *size)
{
        TRACE_SCOPE(&exchange->req.trace);
        struct error err = ERROR_INIT;
        size_t length = *size;

        *size = 0;
        exchange->received += length;
        extend_deadline(exchange);
        if (exchange->failure) {
                /* Only a chunked body can get here: its length is not known beforehand. */
                if (exchange->received <= DISCARD_MAX || !exchange->framing.chunked)
                        return MHD_YES;
                refuse_raw(exchange, status_http(exchange->failure->status),
                           exchange->failure->message);
                return MHD_NO;
        }
        if (take_piece(exchange, data, length, &err))
                return fail_in_body(exchange, &err);
        return MHD_YES;
}

static enum MHD_Result expect_body(struct exchange *exchange)
{
        const struct route *route = exchange->req.route;
        struct error err = ERROR_INIT;

        exchange->phase = PHASE_BODY;
        exchange->body_start_us = clock_monotonic_us();
        exchange->body = BUFFER_INIT(exchange, body_max(exchange));
        extend_deadline(exchange);
        if (!route || !route->sink || !route->sink->begin || exchange->failure)
                return MHD_YES;
        TRACE_SCOPE(&exchange->req.trace);
        if (!route->sink->begin(&exchange->req, &err))
                return MHD_YES;
        if (exchange->framing.body && !discardable(exchange))
                return refuse_closing(exchange, &err);
        exchange_fail_later(exchange, &err);
        return MHD_YES;
}

static enum MHD_Result admitted(struct exchange *exchange)
{
        exchange_unlist(exchange);
        if (exchange->failure && exchange->framing.body && !discardable(exchange))
                return refuse_closing(exchange, exchange->failure);
        return expect_body(exchange);
}

static enum status check_body(struct exchange *exchange, struct error *err)
{
        const struct http_framing *framing = &exchange->framing;

        if (framing->body && !framing->chunked && framing->length > body_max(exchange))
                return body_too_large(exchange, err);
        return STATUS_OK;
}

static void begin_counting(struct exchange *exchange)
{
        exchange->counted = true;
        atomic_fetch_add(&exchange->server->exchanges, 1);
        metric_add(METRIC_http_requests_in_flight, 1);
}

static enum MHD_Result begin(struct exchange *exchange, const char *method, const char *version)
{
        struct error err = ERROR_INIT;

        begin_counting(exchange);
        if (exchange_read_head(exchange, method, version, &err))
                return refuse_closing(exchange, &err);
        if (exchange_find_route(exchange, &err) || check_body(exchange, &err)) {
                if (exchange->framing.body && !discardable(exchange))
                        return refuse_closing(exchange, &err);
                exchange_fail_later(exchange, &err);
        } else if (exchange->req.route && exchange->req.route->sink &&
                   exchange_needs_authorize(exchange)) {
                return exchange_admit(exchange);
        }
        return expect_body(exchange);
}

enum MHD_Result exchange_proceed(struct exchange *exchange, const char *method, const char *version,
                                 const char *data, size_t *size)
{
        switch (exchange->phase) {
        case PHASE_HEADERS:
                return begin(exchange, method, version);
        case PHASE_ADMISSION:
                return admitted(exchange);
        case PHASE_BODY:
                return *size ? take_body(exchange, data, size) : exchange_handle(exchange);
        case PHASE_READY:
                exchange_unlist(exchange);
                return answer(exchange);
        case PHASE_HANDLING:
        case PHASE_SENDING:
                break;
        }
        return MHD_YES;
}

/* The library gave up before an answer: too slow, gone, or refused by it. */
static void settle_unanswered(struct exchange *exchange, enum MHD_RequestTerminationCode code)
{
        if (!exchange->req.trace.request_id[0])
                trace_begin(&exchange->req.trace, NULL);
        if (code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED || exchange->peer->expired)
                refuse_raw(exchange, 408, "The request came too slowly");
        else
                exchange->status = 499;
}

void exchange_complete(struct exchange *exchange, enum MHD_RequestTerminationCode code)
{
        struct server *server = exchange->server;
        struct peer *peer = exchange->peer;

        /* A client that went away meanwhile is noticed before its answer is asked for. */
        if (exchange->phase != PHASE_SENDING)
                exchange_unlist(exchange);
        if (exchange->status == 0)
                settle_unanswered(exchange, code);
        exchange_record(exchange, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
        peer->exchange = NULL;
        peer->deadline_us = clock_monotonic_us() + (server->options.idle_seconds + 2) * 1000000LL;
        if (exchange->counted) {
                metric_add(METRIC_http_requests_in_flight, -1);
                if (atomic_fetch_sub(&server->exchanges, 1) == 1 && server->draining) {
                        pthread_mutex_lock(&server->lock);
                        pthread_cond_broadcast(&server->calm);
                        pthread_mutex_unlock(&server->lock);
                }
        }
        exchange_release(exchange);
}
