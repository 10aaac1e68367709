/* SPDX-License-Identifier: Apache-2.0 */
/* The engine runs executions.
 *
 * An execution is an actor: its messages (started, step committed, node ended, timer, cancel) are
 * handled one at a time on the engine's pool, so its state needs no locks and waits cost no thread.
 * The row is written before anything runs, and each finished step is committed before its
 * successors start (NODE_INSTANT nodes, pure and quick, ride in the commit of what made them ready);
 * after a crash the next start goes on from the last committed step, with the step that was in
 * flight tried again under the next attempt number. */
#pragma once

#include "base/pool.h"
#include "engine/events.h"
#include "engine/graph.h"
#include "store/workflows.h"

struct engine;

struct engine_options {
        struct node_services services;
        struct events *events;
        unsigned workers;   /* 0: cores, at least 4 */
        size_t concurrency; /* executions running at once; 0: 10,000; more wait as `queued` */
        size_t queue_max;   /* executions waiting; 0: 100,000; then UNAVAILABLE */
};

/* Takes up unfinished executions of an earlier run. */
enum status engine_new(const struct engine_options *options, struct engine **ret,
                       struct error *err) MUST_USE;
/* Stops starting nodes and executions (engine_start then answers UNAVAILABLE), waits up to grace_ms
 * for nodes in flight, cancels the rest, commits what ended; what is left is taken up by the next
 * start. After it no callback comes any more. */
void engine_stop(struct engine *engine, unsigned grace_ms);
/* Stops if that was not done. Takes NULL, returns NULL. */
struct engine *engine_free(struct engine *engine);

struct engine_request {
        const char *user_id;
        const struct workflow *workflow; /* with graph */
        const char *user_input;
        const char *context; /* JSON object text, may be NULL */
        const struct llm_message *history;
        size_t history_count;
        const char *idempotency_key; /* NULL: none */
        const char *fingerprint;
        const struct trace *trace;
};

struct engine_callbacks {
        /* The row is committed (or `err` says why not); `existing` when an idempotency key named an
         * earlier execution: then nothing new runs. Once, first. */
        void (*started)(void *arg, const char *execution_id, bool existing,
                        const struct error *err);
        /* The final state is committed; or the engine stops first, and the row says so; or it was
         * deleted. Once; not after a failed start nor for an existing one. NULL allowed. */
        void (*finished)(void *arg, const char *execution_id);
};

/* All is copied. Graph problems are STATUS_UNPROCESSABLE with `problems` (may be NULL) filled, at
 * once; other outcomes come by the callbacks, on engine threads that must not be blocked. */
enum status engine_start(struct engine *engine, const struct engine_request *request,
                         const struct engine_callbacks *callbacks, void *arg,
                         struct problems *problems, struct error *err) MUST_USE;

/* Asks a running execution to stop; takes effect at once, also in the middle of a model call.
 * NOT_FOUND if it is not active here. */
enum status engine_cancel(struct engine *engine, const char *execution_id,
                          struct error *err) MUST_USE;
/* Calls done(arg) once the execution has ended (at once if it is not active). Any thread. */
void engine_when_finished(struct engine *engine, const char *execution_id, pool_fn *done,
                          void *arg);

size_t engine_running(struct engine *engine);
size_t engine_queued(struct engine *engine);
