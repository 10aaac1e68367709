/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts: one run of a node's function, and what the node may call.
 *
 * The function may return before or after the node's end is known, on another thread; the attempt's
 * message goes out when both are there, so that it is never freed under either. */
#include <assert.h>
#include <string.h>

#include "engine/engine_internal.h"

static struct attempt *attempt_of(struct node_run *run)
{
        return CONTAINER(run, struct attempt, run);
}

static void lock_init(pthread_mutex_t *lock)
{
        pthread_mutexattr_t attributes;

        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
        pthread_mutex_init(lock, &attributes);
        pthread_mutexattr_destroy(&attributes);
}

struct attempt *attempt_new(struct run *run, size_t node, json_t *inputs, json_t *params)
{
        const struct graph_node *at = &run->graph->nodes[node];
        struct attempt *attempt = mem_new(NULL, struct attempt);

        attempt->owner = run;
        attempt->node = node;
        attempt->number = run->nodes[node].attempt;
        attempt->inputs = inputs;
        attempt->params = params;
        attempt->ended.kind = MESSAGE_ENDED;
        attempt->release.kind = MESSAGE_RELEASE;
        attempt->trace = run->trace;
        trace_set(attempt->trace.node_id, at->id);
        lock_init(&attempt->lock);
        attempt->run = (struct node_run){
                .ctx = attempt,
                .node_id = at->id,
                .services = &run->engine->services,
                .params = params ? params : at->params,
                .inputs = inputs,
                .user_input = run->user_input,
                .context = run->context,
                .user_id = run->user_id,
                .workflow_id = run->workflow_id,
                .execution_id = run->id,
                .history = run->history,
                .history_count = run->history_count,
                .timeout_ms = at->timeout_ms,
                .trace = &attempt->trace,
                .idempotency_key = mem_printf(attempt, "%s:%s", run->id, at->id),
        };
        return attempt;
}

void attempt_release(struct attempt *attempt)
{
        json_decref(attempt->inputs);
        json_decref(attempt->params);
        attempt->inputs = attempt->params = NULL;
}

struct attempt *attempt_free(struct attempt *attempt)
{
        attempt_release(attempt);
        json_decref(attempt->output);
        mem_free(attempt->error);
        pthread_mutex_destroy(&attempt->lock);
        return mem_free(attempt);
}

/* --- Running -----------------------------------------------------------------------------------*/
/* The function is through: cancels what it left if that was asked meanwhile. */
static void returned(struct attempt *attempt)
{
        const struct node_type *type = attempt->owner->graph->nodes[attempt->node].type;
        bool told;

        pthread_mutex_lock(&attempt->lock);
        if (attempt->cancel_asked && !attempt->told && type->cancel)
                type->cancel(&attempt->run);
        attempt->returned = true;
        told = attempt->told;
        pthread_mutex_unlock(&attempt->lock);
        if (told)
                run_post(attempt->owner, &attempt->ended);
}

static void begin_deferred(void *arg)
{
        struct attempt *attempt = arg;
        TRACE_SCOPE(&attempt->trace);

        attempt->deferred(&attempt->run);
        returned(attempt);
}

void attempt_begin(struct attempt *attempt)
{
        const struct node_type *type = attempt->owner->graph->nodes[attempt->node].type;
        TRACE_SCOPE(&attempt->trace);

        type->run(&attempt->run);
        if (attempt->deferred)
                engine_block(attempt->owner->engine, begin_deferred, attempt);
        else
                returned(attempt);
}

void attempt_run_instant(struct attempt *attempt)
{
        const struct node_type *type = attempt->owner->graph->nodes[attempt->node].type;
        TRACE_SCOPE(&attempt->trace);

        type->run(&attempt->run);
        assert(attempt->told);
}

void attempt_cancel(struct attempt *attempt)
{
        const struct node_type *type = attempt->owner->graph->nodes[attempt->node].type;

        atomic_store(&attempt->cancelled, true);
        pthread_mutex_lock(&attempt->lock);
        if (!attempt->cancel_asked && !attempt->told && attempt->returned && type->cancel)
                type->cancel(&attempt->run);
        attempt->cancel_asked = true;
        pthread_mutex_unlock(&attempt->lock);
}

/* --- What nodes call ---------------------------------------------------------------------------*/
void node_release_inputs(struct node_run *run)
{
        struct attempt *attempt = attempt_of(run);

        run->params = run->inputs = run->context = NULL;
        /* Ahead of MESSAGE_ENDED, which is not posted before the function returned. */
        run_post(attempt->owner, &attempt->release);
}

void node_defer(struct node_run *run, void (*work)(struct node_run *run))
{
        attempt_of(run)->deferred = work;
}

bool node_cancelled(const struct node_run *run)
{
        return atomic_load(&CONTAINER(run, const struct attempt, run)->cancelled);
}

void node_token(struct node_run *run, const char *text, size_t length)
{
        struct attempt *attempt = attempt_of(run);

        if (length == 0)
                return;
        pthread_mutex_lock(&attempt->lock);
        if (!attempt->told && !atomic_load(&attempt->cancelled))
                event_emit_token(attempt->owner->log, run->node_id, text, length);
        pthread_mutex_unlock(&attempt->lock);
}

static void tell(struct attempt *attempt)
{
        bool over;

        assert(!attempt->told);
        attempt->told = true;
        over = attempt->returned;
        pthread_mutex_unlock(&attempt->lock);
        if (over)
                run_post(attempt->owner, &attempt->ended);
}

void node_used(struct node_run *run, const struct node_usage *usage)
{
        struct attempt *attempt = attempt_of(run);

        pthread_mutex_lock(&attempt->lock);
        attempt->usage = *usage;
        pthread_mutex_unlock(&attempt->lock);
}

void node_succeed(struct node_run *run, json_t *output, const struct node_usage *usage)
{
        struct attempt *attempt = attempt_of(run);
        struct error err = ERROR_INIT;

        if (!json_is_object(output)) {
                json_decref(output);
                error_set(&err, STATUS_INTERNAL, "The node gave no output that is valid JSON");
                node_fail(run, &err, false);
                return;
        }
        pthread_mutex_lock(&attempt->lock);
        attempt->output = output;
        if (usage)
                attempt->usage = *usage;
        tell(attempt);
}

void node_fail(struct node_run *run, const struct error *err, bool retryable)
{
        struct attempt *attempt = attempt_of(run);

        pthread_mutex_lock(&attempt->lock);
        attempt->failed = true;
        attempt->retryable = retryable;
        attempt->error = mem_dup(NULL, err, sizeof(*err));
        tell(attempt);
}
