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

static void unlist(struct exchange *exchange)
{
        struct server *server = exchange->server;

        pthread_mutex_lock(&server->lock);
        if (exchange->is_waiting)
                TAILQ_REMOVE(&server->waiting, exchange, waiting);
        exchange->is_waiting = false;
        pthread_mutex_unlock(&server->lock);
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

static enum MHD_Result answer_now(struct exchange *exchange, struct reply reply)
{
        exchange->response = reply.response;
        exchange->built = response_build(exchange);
        return answer(exchange);
}

static enum MHD_Result refuse(struct exchange *exchange, const struct error *err)
{
        TRACE_SCOPE(&exchange->req.trace);
        struct reply reply = reply_error(&exchange->req, err);

        if (err->status == STATUS_METHOD_NOT_ALLOWED)
                reply = reply_header(reply, "Allow", route_allow(exchange, &exchange->match));
        return answer_now(exchange, reply);
}

/* Answers although the body is still to come. */
static enum MHD_Result refuse_closing(struct exchange *exchange, const struct error *err)
{
        exchange->peer->linger = true;
        return refuse(exchange, err);
}

/* Hands the exchange back to its loop, unless a stopping server took it already. */
static void resume(struct exchange *exchange, enum exchange_phase phase)
{
        pthread_mutex_lock(&exchange->lock);
        if (!exchange->abandoned) {
                exchange->phase = phase;
                MHD_resume_connection(exchange->mhd);
        }
        pthread_mutex_unlock(&exchange->lock);
}

static bool list_waiting(struct exchange *exchange)
{
        struct server *server = exchange->server;

        if (server->stopping)
                return false;
        TAILQ_INSERT_TAIL(&server->waiting, exchange, waiting);
        exchange->is_waiting = true;
        return true;
}

void exchange_abandon_all(struct server *server)
{
        struct exchange_list taken = TAILQ_HEAD_INITIALIZER(taken);
        struct exchange *exchange;

        pthread_mutex_lock(&server->lock);
        TAILQ_CONCAT(&taken, &server->waiting, waiting);
        TAILQ_FOREACH(exchange, &taken, waiting)
        {
                exchange->is_waiting = false;
                atomic_fetch_add(&exchange->references, 1);
        }
        pthread_mutex_unlock(&server->lock);
        while ((exchange = TAILQ_FIRST(&taken))) {
                TAILQ_REMOVE(&taken, exchange, waiting);
                pthread_mutex_lock(&exchange->lock);
                if (exchange->phase == PHASE_HANDLING) {
                        exchange->abandoned = true;
                        exchange->phase = PHASE_READY;
                        MHD_resume_connection(exchange->mhd);
                }
                pthread_mutex_unlock(&exchange->lock);
                exchange_release(exchange);
        }
}

/* Suspends the connection and runs `job` on a worker, which owns two references. */
static enum MHD_Result dispatch(struct exchange *exchange, pool_fn *job, enum exchange_phase phase)
{
        struct server *server = exchange->server;
        struct error err = ERROR_INIT;

        exchange->phase = phase;
        atomic_fetch_add(&exchange->references, 2);
        MHD_suspend_connection(exchange->mhd);
        pthread_mutex_lock(&server->lock);
        if (!list_waiting(exchange))
                error_set(&err, STATUS_UNAVAILABLE, "The server is stopping");
        else
                (void)!pool_submit(server->pool, job, exchange, &err);
        pthread_mutex_unlock(&server->lock);
        if (err.status) {
                TRACE_SCOPE(&exchange->req.trace);
                atomic_fetch_sub(&exchange->references, 2);
                exchange->response = reply_error(&exchange->req, &err).response;
                exchange->built = response_build(exchange);
                resume(exchange, PHASE_READY);
        }
        return MHD_YES;
}

static bool needs_authorize(const struct exchange *exchange)
{
        return exchange->server->options.authorize && !(exchange->req.route->flags & ROUTE_PUBLIC);
}

static struct reply run_handler(struct exchange *exchange)
{
        TRACE_SCOPE(&exchange->req.trace);
        struct request *req = &exchange->req;
        struct error err = ERROR_INIT;

        exchange->outstanding = 2;
        if (exchange->server->stopping) {
                error_set(&err, STATUS_UNAVAILABLE, "The server is stopping");
                return reply_error(req, &err);
        }
        /* A streamed body was admitted before it came. */
        if (!req->route->sink && needs_authorize(exchange) &&
            exchange->server->options.authorize(req, &err))
                return reply_error(req, &err);
        return req->route->handler(req);
}

static void run_on_worker(void *arg)
{
        struct exchange *exchange = arg;
        struct reply reply = run_handler(exchange);

        if (reply.response->kind == RESPONSE_LATER) {
                if (atomic_fetch_sub(&exchange->outstanding, 1) == 1)
                        resume(exchange, PHASE_READY);
        } else {
                exchange->response = reply.response;
                exchange->built = response_build(exchange);
                resume(exchange, PHASE_READY);
                exchange_release(exchange); /* for the finish that will not come */
        }
        exchange_release(exchange);
}

void request_finish(struct request *req, struct reply reply)
{
        struct exchange *exchange = req->exchange;

        assert(reply.response->kind != RESPONSE_LATER);
        exchange->response = reply.response;
        exchange->built = response_build(exchange);
        if (atomic_fetch_sub(&exchange->outstanding, 1) == 1)
                resume(exchange, PHASE_READY);
        exchange_release(exchange);
}

/* An inline handler will finish later: suspend only now, the finish waits for us by `outstanding`.
 */
static enum MHD_Result wait_inline(struct exchange *exchange)
{
        bool stopping;

        exchange->phase = PHASE_HANDLING;
        MHD_suspend_connection(exchange->mhd);
        pthread_mutex_lock(&exchange->server->lock);
        stopping = !list_waiting(exchange);
        pthread_mutex_unlock(&exchange->server->lock);
        if (stopping) {
                pthread_mutex_lock(&exchange->lock);
                exchange->abandoned = true;
                exchange->phase = PHASE_READY;
                MHD_resume_connection(exchange->mhd);
                pthread_mutex_unlock(&exchange->lock);
        }
        if (atomic_fetch_sub(&exchange->outstanding, 1) == 1)
                resume(exchange, PHASE_READY);
        return MHD_YES;
}

static enum MHD_Result run_inline(struct exchange *exchange)
{
        struct reply reply;

        atomic_fetch_add(&exchange->references, 1);
        reply = run_handler(exchange);
        if (reply.response->kind == RESPONSE_LATER)
                return wait_inline(exchange);
        exchange_release(exchange);
        return answer_now(exchange, reply);
}

static enum MHD_Result answer_options(struct exchange *exchange)
{
        struct request *req = &exchange->req;
        const char *allow =
                exchange->match.entries ? route_allow(exchange, &exchange->match) : "OPTIONS";
        struct reply reply = reply_header(reply_empty(req, 204), "Allow", allow);

        if (exchange->cors_origin && request_header(req, "Access-Control-Request-Method")) {
                reply = reply_header(reply, "Access-Control-Allow-Methods", allow);
                reply = reply_header(reply, "Access-Control-Allow-Headers",
                                     "Authorization, Content-Type, Idempotency-Key, If-None-Match, "
                                     "Last-Event-ID, traceparent");
                reply = reply_header(reply, "Access-Control-Max-Age", "600");
        }
        return answer_now(exchange, reply);
}

static enum MHD_Result handle(struct exchange *exchange)
{
        struct request *req = &exchange->req;

        exchange->peer->deadline_us = 0;
        if (exchange->failure)
                return refuse(exchange, exchange->failure);
        if (!req->route)
                return answer_options(exchange);
        req->body = buffer_string(&exchange->body);
        req->body_length = exchange->body.length;
        if (req->route->flags & ROUTE_INLINE)
                return run_inline(exchange);
        return dispatch(exchange, run_on_worker, PHASE_HANDLING);
}

static void keep_failure(struct exchange *exchange, const struct error *err)
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
                keep_failure(exchange, err);
                return MHD_YES;
        }
        refuse_raw(exchange, status_http(err->status), err->message);
        return MHD_NO;
}

static enum status body_too_large(const struct exchange *exchange, struct error *err)
{
        size_t max = exchange->req.route->body_max;

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

        if (exchange->received > route->body_max)
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
        exchange->body = BUFFER_INIT(exchange, route ? route->body_max : 0);
        extend_deadline(exchange);
        if (!route || !route->sink || !route->sink->begin || exchange->failure)
                return MHD_YES;
        TRACE_SCOPE(&exchange->req.trace);
        if (!route->sink->begin(&exchange->req, &err))
                return MHD_YES;
        if (exchange->framing.body && !discardable(exchange))
                return refuse_closing(exchange, &err);
        keep_failure(exchange, &err);
        return MHD_YES;
}

static void admit_on_worker(void *arg)
{
        struct exchange *exchange = arg;
        TRACE_SCOPE(&exchange->req.trace);
        struct error err = ERROR_INIT;

        if (exchange->server->options.authorize(&exchange->req, &err))
                keep_failure(exchange, &err);
        resume(exchange, PHASE_ADMISSION);
        exchange_release(exchange);
        exchange_release(exchange);
}

static enum MHD_Result admitted(struct exchange *exchange)
{
        unlist(exchange);
        if (exchange->failure && exchange->framing.body && !discardable(exchange))
                return refuse_closing(exchange, exchange->failure);
        return expect_body(exchange);
}

static enum status check_body(struct exchange *exchange, struct error *err)
{
        const struct http_framing *framing = &exchange->framing;
        const struct route *route = exchange->req.route;

        if (route && framing->body && !framing->chunked && framing->length > route->body_max)
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
                keep_failure(exchange, &err);
        } else if (exchange->req.route && exchange->req.route->sink && needs_authorize(exchange)) {
                exchange->peer->deadline_us = 0;
                return dispatch(exchange, admit_on_worker, PHASE_ADMISSION);
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
                return *size ? take_body(exchange, data, size) : handle(exchange);
        case PHASE_READY:
                unlist(exchange);
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
                unlist(exchange);
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
