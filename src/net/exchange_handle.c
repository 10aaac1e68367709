/* SPDX-License-Identifier: Apache-2.0 */
/* Running a handler: inline, on a worker while the connection is suspended, or answered later.
 *
 * A suspended connection is in the server's list from before it is handed on until its loop has it
 * back, so that a stopping server finds all of them. */
#include <assert.h>

#include "net/server_internal.h"

void exchange_unlist(struct exchange *exchange)
{
        struct server *server = exchange->server;

        pthread_mutex_lock(&server->lock);
        if (exchange->is_waiting)
                TAILQ_REMOVE(&server->waiting, exchange, waiting);
        exchange->is_waiting = false;
        pthread_mutex_unlock(&server->lock);
}

/* Hands the exchange back to its loop, unless a stopping server took it already. */
static void resume(struct exchange *exchange, enum exchange_phase phase)
{
        pthread_mutex_lock(&exchange->lock);
        if (!exchange->abandoned) {
                exchange->phase = phase;
                loop_resume(exchange->loop, exchange->mhd);
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
                        loop_resume(exchange->loop, exchange->mhd);
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

bool exchange_needs_authorize(const struct exchange *exchange)
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
        if (!req->route->sink && exchange_needs_authorize(exchange) &&
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

/* Suspending only now is early enough: a finish that came first waits for us by `outstanding`. */
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
                loop_resume(exchange->loop, exchange->mhd);
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
        return exchange_answer(exchange, reply);
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
        return exchange_answer(exchange, reply);
}

enum MHD_Result exchange_handle(struct exchange *exchange)
{
        struct request *req = &exchange->req;

        exchange->peer->deadline_us = 0;
        if (exchange->failure)
                return exchange_refuse(exchange, exchange->failure);
        if (!req->route)
                return answer_options(exchange);
        req->body = buffer_string(&exchange->body);
        req->body_length = exchange->body.length;
        if (req->route->flags & ROUTE_INLINE)
                return run_inline(exchange);
        return dispatch(exchange, run_on_worker, PHASE_HANDLING);
}

static void admit_on_worker(void *arg)
{
        struct exchange *exchange = arg;
        TRACE_SCOPE(&exchange->req.trace);
        struct error err = ERROR_INIT;

        if (exchange->server->options.authorize(&exchange->req, &err))
                exchange_fail_later(exchange, &err);
        resume(exchange, PHASE_ADMISSION);
        exchange_release(exchange);
        exchange_release(exchange);
}

enum MHD_Result exchange_admit(struct exchange *exchange)
{
        exchange->peer->deadline_us = 0;
        return dispatch(exchange, admit_on_worker, PHASE_ADMISSION);
}
