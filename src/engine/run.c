/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: the inbox, the turn that empties it, and the life of a run.
 *
 * A worker that just took a turn begins one of the attempts the turn started itself, and takes the
 * turn that attempt's end asks for: a chain of quick nodes needs no wake-up of another thread. */
#include <string.h>

#include "base/clock.h"
#include "engine/engine_internal.h"

/* --- Life --------------------------------------------------------------------------------------*/
/* In place of the inbox's list: no turn is under way nor scheduled. */
static struct message idle;

struct run *run_new(struct engine *engine, const struct trace *trace)
{
        struct run *run = mem_new(NULL, struct run);

        run->engine = engine;
        run->trace = *trace;
        run->error_node = SIZE_MAX;
        run->cancel.kind = MESSAGE_CANCEL;
        run->stop.kind = MESSAGE_STOP;
        run->abandon.kind = MESSAGE_ABANDON;
        run->activate.kind = MESSAGE_ACTIVATE;
        run->full.kind = MESSAGE_FULL;
        /* As if a turn were under way: that of its maker. */
        atomic_init(&run->inbox, NULL);
        return run;
}

struct run *run_free(struct run *run)
{
        run->log = mem_free(run->log);
        for (size_t i = 0; run->nodes && i < run->graph->node_count; i++)
                json_decref(run->nodes[i].output);
        json_decref(run->context);
        graph_unref(run->graph);
        mem_free(run->draft);
        mem_free(run->commit);
        return mem_free(run);
}

/* Under the channel's lock. */
static void log_is_full(void *arg)
{
        struct run *run = arg;

        if (!atomic_exchange(&run->full_asked, true))
                run_post(run, &run->full);
}

enum status run_open_log(struct run *run, struct error *err)
{
        return event_log_new(run->engine->events, run, run->workflow_id, run->id, log_is_full, run,
                             &run->log, err);
}

void run_prepare(struct run *run)
{
        const struct graph *graph = run->graph;

        run->nodes = mem_array(run, struct node_state, graph->node_count);
        run->ended = mem_array(run, size_t, graph->node_count);
        for (size_t i = 0; i < graph->node_count; i++) {
                const struct graph_node *node = &graph->nodes[i];

                run->nodes[i].undecided = node->incoming_count;
                run->nodes[i].uses += node->outgoing_count;
                for (size_t n = 0; n < node->named_count; n++)
                        run->nodes[node->named[n]].uses++;
        }
}

/* --- Workers -----------------------------------------------------------------------------------*/
/* What this thread does next after the job at hand. */
struct worker {
        struct run *run;
        struct attempt *attempt;
};
static _Thread_local struct worker *current;

static void work(void *arg);

static void begin_attempt(void *arg)
{
        struct worker worker = {.attempt = arg};

        work(&worker);
}

static void take_turn(void *arg)
{
        struct worker worker = {.run = arg};

        work(&worker);
}

static void schedule(struct run *run)
{
        if (current && !current->run)
                current->run = run;
        else
                pool_continue(run->engine->pool, take_turn, run);
}

void run_schedule_attempt(struct attempt *attempt)
{
        if (!current->attempt)
                current->attempt = attempt;
        else
                pool_continue(attempt->owner->engine->pool, begin_attempt, attempt);
}

/* --- Inbox -------------------------------------------------------------------------------------*/
void run_post(struct run *run, struct message *message)
{
        struct message *before = atomic_load_explicit(&run->inbox, memory_order_relaxed);

        do {
                message->next = before == &idle ? NULL : before;
        } while (!atomic_compare_exchange_weak_explicit(
                &run->inbox, &before, message, memory_order_acq_rel, memory_order_relaxed));
        if (before == &idle)
                schedule(run);
}

/* All messages, oldest first. */
static struct message *take_messages(struct run *run)
{
        struct message *newest = atomic_exchange_explicit(&run->inbox, NULL, memory_order_acq_rel);
        struct message *list = NULL;

        while (newest) {
                struct message *next = newest->next;

                newest->next = list;
                list = newest;
                newest = next;
        }
        return list;
}

/* False if messages came meanwhile. */
static bool rest(struct run *run)
{
        struct message *empty = NULL;

        return atomic_compare_exchange_strong_explicit(&run->inbox, &empty, &idle,
                                                       memory_order_acq_rel, memory_order_acquire);
}

void run_hand_over(struct run *run)
{
        if (!rest(run))
                pool_continue(run->engine->pool, take_turn, run);
}

/* --- Alarms ------------------------------------------------------------------------------------*/
static void ring(struct timer *timer)
{
        struct alarm *alarm = CONTAINER(timer, struct alarm, timer);

        run_post(alarm->run, &alarm->message);
}

void alarm_set(struct alarm *alarm, struct run *run, enum message_kind kind, int64_t delay_us)
{
        alarm->timer.fire = ring;
        alarm->run = run;
        alarm->message.kind = kind;
        alarm->set = true;
        timers_arm(run->engine->timers, &alarm->timer, delay_us);
}

bool alarm_cancel(struct alarm *alarm)
{
        if (alarm->set && timers_cancel(alarm->run->engine->timers, &alarm->timer))
                alarm->set = false;
        return !alarm->set;
}

/* --- The turn ----------------------------------------------------------------------------------*/
static void abandon_attempts(struct run *run)
{
        for (size_t i = 0; run->nodes && i < run->graph->node_count; i++)
                if (run->nodes[i].current)
                        run_abandon_attempt(run, i);
}

/* What is in flight is taken up by the next engine: it must not end as cancelled or failed here. */
static void abandon_run(struct run *run)
{
        run->stopping = true;
        abandon_attempts(run);
        if (run->commit_again.set && alarm_cancel(&run->commit_again)) {
                run->commit = mem_free(run->commit);
                run_over(run);
        }
}

void run_over(struct run *run)
{
        struct waiter *waiters;

        if (run->phase == RUN_OVER)
                return;
        run->phase = RUN_OVER;
        abandon_attempts(run);
        waiters = engine_leave(run->engine, run);
        if (run->began && run->callbacks.finished)
                run->callbacks.finished(run->callback_arg, run->id);
        while (waiters) {
                struct waiter *next = waiters->next;

                waiters->done(waiters->arg);
                mem_free(waiters);
                waiters = next;
        }
}

static void handle(struct run *run, struct message *message)
{
        switch (message->kind) {
        case MESSAGE_COMMITTED:
                run_committed(run);
                break;
        case MESSAGE_COMMIT_AGAIN:
                CONTAINER(message, struct alarm, message)->set = false;
                run_commit_again(run);
                break;
        case MESSAGE_ENDED:
                run_attempt_ended(run, CONTAINER(message, struct attempt, ended));
                break;
        case MESSAGE_RELEASE:
                attempt_release(CONTAINER(message, struct attempt, release));
                break;
        case MESSAGE_TIMEOUT:
                run_attempt_timed_out(run, CONTAINER(CONTAINER(message, struct alarm, message),
                                                     struct attempt, timeout));
                break;
        case MESSAGE_RETRY:
                CONTAINER(message, struct alarm, message)->set = false;
                run_retry(run, CONTAINER(CONTAINER(message, struct alarm, message),
                                         struct node_state, retry));
                break;
        case MESSAGE_FULL:
                run_draft(run);
                atomic_store(&run->full_asked, false);
                break;
        case MESSAGE_ACTIVATE:
                run_load(run);
                break;
        case MESSAGE_CANCEL:
                run_cancel(run);
                break;
        case MESSAGE_STOP:
                run->stopping = true;
                if (run->phase == RUN_QUEUED)
                        run_over(run);
                break;
        case MESSAGE_ABANDON:
                abandon_run(run);
                break;
        }
}

static bool may_go(const struct run *run)
{
        return run->phase == RUN_OVER && run->attempts == 0 && !run->commit;
}

/* Only messages that nobody waits for are left, and nobody is left to post. */
static void drain_and_free(struct run *run)
{
        struct engine *engine = run->engine;

        run->log = mem_free(run->log);
        alarm_cancel(&run->commit_again);
        for (size_t i = 0; run->nodes && i < run->graph->node_count; i++)
                alarm_cancel(&run->nodes[i].retry);
        take_messages(run);
        engine_forget(engine, run);
}

/* The run may be gone afterwards. */
static void turn(struct run *run)
{
        do {
                for (struct message *next, *message = take_messages(run); message; message = next) {
                        TRACE_SCOPE(&run->trace);

                        next = message->next;
                        handle(run, message);
                }
                TRACE_SCOPE(&run->trace);

                run_advance(run);
                if (may_go(run)) {
                        drain_and_free(run);
                        return;
                }
        } while (!rest(run));
}

static void work(void *arg)
{
        struct worker *worker = arg;

        current = worker;
        while (worker->run || worker->attempt) {
                struct run *run = worker->run;
                struct attempt *attempt = worker->attempt;

                /* The turn first: an attempt holds up this thread. */
                if (run) {
                        worker->run = NULL;
                        turn(run);
                } else {
                        worker->attempt = NULL;
                        attempt_begin(attempt);
                }
        }
        current = NULL;
}
