/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: which executions run, which wait, and their beginning and end.
 *
 * So many run at once; more wait in the order in which they came. One mutex covers table, queue and
 * counts; nothing blocks under it, and it may be taken within no other lock. */
#include "engine/engine.h"

#include <errno.h>
#include <search.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "engine/engine_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum {
        CONCURRENCY_DEFAULT = 10000,
        QUEUE_DEFAULT = 100000,
        WORKERS_MIN = 4,
        BLOCKING_THREADS = 16,
        POOL_QUEUE = 1, /* continuations are not bounded by it */
};

static int compare_runs(const void *a, const void *b)
{
        return strcmp(((const struct run *)a)->id, ((const struct run *)b)->id);
}

/* --- Life --------------------------------------------------------------------------------------*/
static size_t worker_count(unsigned asked)
{
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        if (asked)
                return asked;
        return cores > WORKERS_MIN ? (size_t)cores : WORKERS_MIN;
}

static void init_lock(struct engine *engine)
{
        pthread_condattr_t attributes;

        pthread_mutex_init(&engine->lock, NULL);
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&engine->gone, &attributes);
        pthread_condattr_destroy(&attributes);
}

enum status engine_new(const struct engine_options *options, struct engine **ret, struct error *err)
{
        struct engine *engine = mem_new(NULL, struct engine);

        engine->services = options->services;
        engine->events = options->events;
        engine->concurrency = options->concurrency ? options->concurrency : CONCURRENCY_DEFAULT;
        engine->queue_max = options->queue_max ? options->queue_max : QUEUE_DEFAULT;
        engine->graphs = graph_cache_new(GRAPH_CACHE_MAX);
        uuid_new(engine->owner);
        init_lock(engine);
        if (timers_new(&engine->timers, err) ||
            pool_new("engine", worker_count(options->workers), POOL_QUEUE, &engine->pool, err) ||
            engine_recover(engine, err)) {
                engine_free(engine);
                return err->status;
        }
        *ret = engine;
        return STATUS_OK;
}

static void post_all(struct engine *engine, bool abandon)
{
        pthread_mutex_lock(&engine->lock);
        engine->stopping = true;
        for (struct run *run = engine->all; run; run = run->all_next)
                run_post(run, abandon ? &run->abandon : &run->stop);
        pthread_mutex_unlock(&engine->lock);
}

/* Waits until all runs are freed; false after `ms` (0: however long it takes). */
static bool wait_for_all(struct engine *engine, unsigned ms)
{
        int64_t deadline_us = clock_monotonic_us() + (int64_t)ms * 1000;
        const struct timespec when = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
        bool in_time = true;

        pthread_mutex_lock(&engine->lock);
        while (engine->alive > 0 && in_time) {
                if (!ms)
                        pthread_cond_wait(&engine->gone, &engine->lock);
                else
                        in_time = pthread_cond_timedwait(&engine->gone, &engine->lock, &when) !=
                                  ETIMEDOUT;
        }
        pthread_mutex_unlock(&engine->lock);
        return in_time;
}

void engine_stop(struct engine *engine, unsigned grace_ms)
{
        if (engine->stopping)
                return;
        post_all(engine, /* abandon= */ false);
        if (grace_ms && wait_for_all(engine, grace_ms))
                return;
        post_all(engine, /* abandon= */ true);
        wait_for_all(engine, 0);
}

struct engine *engine_free(struct engine *engine)
{
        if (!engine)
                return NULL;
        engine_stop(engine, 0);
        pool_free(engine->blocking);
        timers_free(engine->timers);
        pool_free(engine->pool);
        graph_cache_free(engine->graphs);
        pthread_cond_destroy(&engine->gone);
        pthread_mutex_destroy(&engine->lock);
        return mem_free(engine);
}

void engine_block(struct engine *engine, pool_fn *fn, void *arg)
{
        struct error err = ERROR_INIT;
        struct pool *pool;

        pthread_mutex_lock(&engine->lock);
        if (!engine->blocking &&
            pool_new("engine-wait", BLOCKING_THREADS, POOL_QUEUE, &engine->blocking, &err))
                engine->blocking = NULL;
        pool = engine->blocking ? engine->blocking : engine->pool;
        pthread_mutex_unlock(&engine->lock);
        pool_continue(pool, fn, arg);
}

/* --- Slots and queue (the caller holds the lock) -----------------------------------------------*/
static void count_running(struct engine *engine, int change)
{
        engine->running += (size_t)change;
        metric_add(METRIC_workflow_executions_running, change);
}

static void count_queued(struct engine *engine, int change)
{
        engine->queued += (size_t)change;
        metric_add(METRIC_workflow_executions_queued, change);
}

static void queue_append(struct engine *engine, struct run *run)
{
        run->in_queue = true;
        run->queue_previous = engine->queue_last;
        if (run->queue_previous)
                run->queue_previous->queue_next = run;
        else
                engine->queue_first = run;
        engine->queue_last = run;
}

static void queue_remove(struct engine *engine, struct run *run)
{
        run->in_queue = false;
        if (run->queue_previous)
                run->queue_previous->queue_next = run->queue_next;
        else
                engine->queue_first = run->queue_next;
        if (run->queue_next)
                run->queue_next->queue_previous = run->queue_previous;
        else
                engine->queue_last = run->queue_previous;
        run->queue_next = run->queue_previous = NULL;
        count_queued(engine, -1);
}

static void admit_next(struct engine *engine)
{
        while (engine->queue_first && engine->running < engine->concurrency && !engine->stopping) {
                struct run *run = engine->queue_first;

                queue_remove(engine, run);
                run->admitted = true;
                count_running(engine, 1);
                run_post(run, &run->activate);
        }
}

/* --- Slots and queue ---------------------------------------------------------------------------*/
enum status engine_admit(struct engine *engine, struct run *run, struct error *err)
{
        pthread_mutex_lock(&engine->lock);
        if (engine->running < engine->concurrency && engine->queued == 0) {
                run->admitted = true;
                count_running(engine, 1);
        } else if (engine->queued < engine->queue_max) {
                run->reserved = true;
                count_queued(engine, 1);
        } else {
                error_set(err, STATUS_UNAVAILABLE, "%zu executions are waiting; try again later",
                          engine->queued);
                err->retry_after_ms = 5000;
        }
        pthread_mutex_unlock(&engine->lock);
        return err->status;
}

bool engine_enter_queue(struct engine *engine, struct run *run)
{
        bool at_once;

        pthread_mutex_lock(&engine->lock);
        if (!run->reserved)
                count_queued(engine, 1);
        run->reserved = false;
        at_once =
                engine->running < engine->concurrency && !engine->queue_first && !engine->stopping;
        if (at_once) {
                run->admitted = true;
                count_queued(engine, -1);
                count_running(engine, 1);
        } else {
                queue_append(engine, run);
        }
        pthread_mutex_unlock(&engine->lock);
        return at_once;
}

bool engine_add(struct engine *engine, struct run *run)
{
        bool open;

        pthread_mutex_lock(&engine->lock);
        open = !engine->stopping;
        if (open) {
                tsearch(run, &engine->table, compare_runs);
                run->in_table = true;
                run->all_next = engine->all;
                if (run->all_next)
                        run->all_next->all_previous = run;
                engine->all = run;
                engine->alive++;
        }
        pthread_mutex_unlock(&engine->lock);
        return open;
}

struct waiter *engine_leave(struct engine *engine, struct run *run)
{
        struct waiter *waiters;

        pthread_mutex_lock(&engine->lock);
        if (run->in_table)
                tdelete(run, &engine->table, compare_runs);
        run->in_table = false;
        if (run->in_queue)
                queue_remove(engine, run);
        if (run->reserved)
                count_queued(engine, -1);
        if (run->admitted)
                count_running(engine, -1);
        run->reserved = run->admitted = false;
        waiters = run->waiters;
        run->waiters = NULL;
        admit_next(engine);
        pthread_mutex_unlock(&engine->lock);
        return waiters;
}

void engine_forget(struct engine *engine, struct run *run)
{
        pthread_mutex_lock(&engine->lock);
        if (run->all_previous)
                run->all_previous->all_next = run->all_next;
        else
                engine->all = run->all_next;
        if (run->all_next)
                run->all_next->all_previous = run->all_previous;
        pthread_mutex_unlock(&engine->lock);
        run_free(run);
        pthread_mutex_lock(&engine->lock);
        engine->alive--;
        pthread_cond_broadcast(&engine->gone);
        pthread_mutex_unlock(&engine->lock);
}

/* --- Requests ----------------------------------------------------------------------------------*/
static void copy_history(struct run *run, const struct engine_request *request)
{
        if (!request->history_count)
                return;
        run->history = mem_array(run, struct llm_message, request->history_count);
        run->history_count = request->history_count;
        for (size_t i = 0; i < request->history_count; i++)
                run->history[i] = (struct llm_message){
                        .role = mem_strdup(run, request->history[i].role),
                        .content = mem_strdup(run, request->history[i].content),
                };
}

static enum status read_context(struct run *run, const char *context, struct error *err)
{
        if (!context)
                return STATUS_OK;
        if (json_read(context, strlen(context), &run->context, err))
                return error_prefix(err, "context");
        if (!json_is_object(run->context))
                return error_set(err, STATUS_INVALID, "context must be an object");
        run->context_text = mem_strdup(run, context);
        return STATUS_OK;
}

static enum status fill_run(struct run *run, const struct engine_request *request,
                            struct error *err)
{
        uuid_new(run->id);
        trace_set(run->workflow_id, request->workflow->id);
        trace_set(run->user_id, request->user_id);
        trace_set(run->trace.user_id, request->user_id);
        trace_set(run->trace.workflow_id, run->workflow_id);
        trace_set(run->trace.execution_id, run->id);
        run->workflow_version = request->workflow->version;
        if (!utf8_valid(request->user_input, strlen(request->user_input)))
                return error_set(err, STATUS_INVALID, "user_input is not valid UTF-8");
        run->user_input = mem_strdup(run, request->user_input);
        copy_history(run, request);
        run->created_at = clock_wall_ms();
        run->started_us = clock_monotonic_us();
        return read_context(run, request->context, err);
}

/* The first nodes run here already, so that they are part of the first write. */
static void begin(struct run *run, const struct engine_request *request)
{
        TRACE_SCOPE(&run->trace);

        if (run->admitted) {
                run->started_at = run->created_at;
                run_prepare(run);
                run_begin(run);
        }
        run_commit_insert(run, request);
}

static enum status prepare(struct engine *engine, struct run *run,
                           const struct engine_request *request, struct problems *problems,
                           struct error *err)
{
        const struct workflow *workflow = request->workflow;

        if (fill_run(run, request, err) ||
            graph_cache_get(engine->graphs, workflow->id, workflow->version, workflow->graph,
                            problems, &run->graph, err) ||
            run_open_log(run, err) || engine_admit(engine, run, err))
                return err->status;
        if (engine_add(engine, run))
                return STATUS_OK;
        /* It was never in the table: nobody waits for it. */
        (void)!engine_leave(engine, run);
        return error_set(err, STATUS_UNAVAILABLE, "The server is shutting down");
}

enum status engine_start(struct engine *engine, const struct engine_request *request,
                         const struct engine_callbacks *callbacks, void *arg,
                         struct problems *problems, struct error *err)
{
        struct trace fresh = {0};
        struct run *run;

        if (!request->trace)
                trace_begin(&fresh, NULL);
        run = run_new(engine, request->trace ? request->trace : &fresh);
        run->callbacks = *callbacks;
        run->callback_arg = arg;
        if (prepare(engine, run, request, problems, err)) {
                run_free(run);
                return err->status;
        }
        begin(run, request);
        run_hand_over(run);
        return STATUS_OK;
}

/* The caller holds the lock. */
static struct run *find(struct engine *engine, const char *execution_id)
{
        struct run key, **found;

        trace_set(key.id, execution_id);
        found = tfind(&key, &engine->table, compare_runs);
        return found ? *found : NULL;
}

enum status engine_cancel(struct engine *engine, const char *execution_id, struct error *err)
{
        struct run *run;

        pthread_mutex_lock(&engine->lock);
        run = find(engine, execution_id);
        if (run && !atomic_exchange(&run->cancel_asked, true))
                run_post(run, &run->cancel);
        pthread_mutex_unlock(&engine->lock);
        if (run)
                return STATUS_OK;
        return error_set(err, STATUS_NOT_FOUND, "The execution is not running");
}

void engine_when_finished(struct engine *engine, const char *execution_id, pool_fn *done, void *arg)
{
        struct run *run;

        pthread_mutex_lock(&engine->lock);
        run = find(engine, execution_id);
        if (run) {
                struct waiter *waiter = mem_new(NULL, struct waiter);

                *waiter = (struct waiter){run->waiters, done, arg};
                run->waiters = waiter;
        }
        pthread_mutex_unlock(&engine->lock);
        if (!run)
                done(arg);
}

size_t engine_running(struct engine *engine)
{
        size_t running;

        pthread_mutex_lock(&engine->lock);
        running = engine->running;
        pthread_mutex_unlock(&engine->lock);
        return running;
}

size_t engine_queued(struct engine *engine)
{
        size_t queued;

        pthread_mutex_lock(&engine->lock);
        queued = engine->queued;
        pthread_mutex_unlock(&engine->lock);
        return queued;
}
