/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: attempts begun, ended, timed out and tried again. */
#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine_internal.h"
#include "engine/value_text.h"

enum { PAUSE_FIRST_MS = 500, PAUSE_MAX_MS = 60000, PAUSE_ASKED_MAX_MS = 300000 };

/* --- Ends --------------------------------------------------------------------------------------*/
/* The JSON of an output, below the draft: for row, event and result. */
static enum status write_output(struct run *run, struct node_state *state, struct error *err)
{
        struct buffer text = BUFFER_INIT(run_draft(run), OUTPUT_MAX);

        value_append(&text, state->output);
        if (buffer_check(&text, "The node's output", err))
                return err->status;
        state->output_text = text.data;
        return STATUS_OK;
}

static void set_error(struct run *run, struct node_state *state, const struct error *err)
{
        if (!state->error)
                state->error = mem_new(run, struct error);
        *state->error = *err;
}

void run_fail_node(struct run *run, size_t node, const struct error *err)
{
        struct node_state *state = &run->nodes[node];
        const struct graph_node *at = &run->graph->nodes[node];
        struct error unused = ERROR_INIT;

        set_error(run, state, err);
        state->error_text = error_json(run_draft(run), err, NULL);
        state->usage_text = usage_json(run_draft(run), &state->usage);
        if (at->on_error == ON_ERROR_DEFAULT) {
                json_decref(state->output);
                state->output = json_deep_copy(at->default_output);
                if (write_output(run, state, &unused))
                        state->output_text = NULL;
        }
        run_node_ended(run, node, NODE_FAILED);
}

/* Tokens of all attempts; the time to the first token is that of the last one that had one. */
static void add_usage(struct node_state *state, const struct node_usage *usage)
{
        if (!usage->has_tokens)
                return;
        state->usage.input_tokens += usage->input_tokens;
        state->usage.output_tokens += usage->output_tokens;
        state->usage.cost_dollars += usage->cost_dollars;
        state->usage.time_to_first_token_ms = usage->time_to_first_token_ms;
        state->usage.has_tokens = true;
}

static void complete_node(struct run *run, size_t node, json_t *output)
{
        struct node_state *state = &run->nodes[node];
        struct error err = ERROR_INIT;

        state->output = json_incref(output);
        state->usage_text = usage_json(run_draft(run), &state->usage);
        if (write_output(run, state, &err)) {
                json_decref(state->output);
                state->output = NULL;
                run_fail_node(run, node, &err);
                return;
        }
        run_node_ended(run, node, NODE_COMPLETED);
        if (state->uses == 0) {
                json_decref(state->output);
                state->output = NULL;
        }
}

void run_instant_node(struct run *run, size_t node)
{
        struct node_state *state = &run->nodes[node];
        struct attempt *attempt;
        struct error err = ERROR_INIT;
        json_t *inputs = NULL, *params = NULL;

        state->attempt++;
        state->started_at = clock_wall_ms();
        state->started_us = clock_monotonic_us();
        state->input_text = run_input_text(run, node);
        if (run_gather(run, node, &inputs, &params, &err)) {
                run_fail_node(run, node, &err);
                return;
        }
        attempt = attempt_new(run, node, inputs, params);
        run_release_sources(run, node);
        attempt_run_instant(attempt);
        add_usage(state, &attempt->usage);
        if (attempt->failed)
                run_fail_node(run, node, attempt->error);
        else
                complete_node(run, node, attempt->output);
        attempt_free(attempt);
}

/* Doubled each time, at least half of it, so that many that failed together do not return together. */
static int64_t pause_ms(unsigned attempt, unsigned asked_ms)
{
        int64_t full = PAUSE_FIRST_MS;

        for (unsigned i = 1; i < attempt && full < PAUSE_MAX_MS; i++)
                full *= 2;
        full = full / 2 + randombytes_uniform((uint32_t)full / 2 + 1);
        if (asked_ms > PAUSE_ASKED_MAX_MS)
                asked_ms = PAUSE_ASKED_MAX_MS;
        return full > asked_ms ? full : asked_ms;
}

static void fail_attempt(struct run *run, size_t node, const struct error *err, bool retryable)
{
        struct node_state *state = &run->nodes[node];

        state->current = NULL;
        if (!retryable || state->attempt >= run->graph->nodes[node].max_attempts || run->stopping) {
                run_fail_node(run, node, err);
                return;
        }
        int64_t delay_ms = pause_ms(state->attempt, err->retry_after_ms);

        set_error(run, state, err);
        state->status = NODE_PAUSING;
        report_retry(run, node, delay_ms);
        alarm_set(&state->retry, run, MESSAGE_RETRY, delay_ms * 1000);
}

/* --- Attempts ----------------------------------------------------------------------------------*/
void run_start_attempt(struct run *run, size_t node)
{
        struct node_state *state = &run->nodes[node];
        struct error err = ERROR_INIT;
        json_t *inputs = NULL, *params = NULL;

        state->status = NODE_RUNNING;
        if (!state->started_us)
                state->started_us = clock_monotonic_us();
        report_node_started(run, node);
        if (run_gather(run, node, &inputs, &params, &err)) {
                fail_attempt(run, node, &err, err.status == STATUS_UNAVAILABLE);
                return;
        }
        struct attempt *attempt = attempt_new(run, node, inputs, params);

        run_release_sources(run, node);
        state->current = attempt;
        run->attempts++;
        run->in_flight++;
        alarm_set(&attempt->timeout, run, MESSAGE_TIMEOUT, (int64_t)attempt->run.timeout_ms * 1000);
        run_schedule_attempt(attempt);
}

/* Freed when both its end and its alarm, if that rang, were handled. */
static void let_go(struct attempt *attempt)
{
        struct run *run = attempt->owner;

        if (!attempt->over || !alarm_cancel(&attempt->timeout))
                return;
        run->attempts--;
        attempt_free(attempt);
}

void run_abandon_attempt(struct run *run, size_t node)
{
        struct attempt *attempt = run->nodes[node].current;

        run->nodes[node].current = NULL;
        run->in_flight--;
        attempt->abandoned = true;
        alarm_cancel(&attempt->timeout);
        attempt_cancel(attempt);
}

void run_attempt_ended(struct run *run, struct attempt *attempt)
{
        attempt->over = true;
        if (!attempt->abandoned) {
                run->nodes[attempt->node].current = NULL;
                run->in_flight--;
                add_usage(&run->nodes[attempt->node], &attempt->usage);
                if (attempt->failed)
                        fail_attempt(run, attempt->node, attempt->error, attempt->retryable);
                else
                        complete_node(run, attempt->node, attempt->output);
        }
        let_go(attempt);
}

void run_attempt_timed_out(struct run *run, struct attempt *attempt)
{
        struct error err = ERROR_INIT;
        size_t node = attempt->node;

        attempt->timeout.set = false;
        if (!attempt->abandoned && !attempt->over) {
                run_abandon_attempt(run, node);
                error_set(&err, STATUS_TIMEOUT, "The node took longer than its limit of %g seconds",
                          attempt->run.timeout_ms / 1000.0);
                fail_attempt(run, node, &err, true);
        }
        let_go(attempt);
}

void run_retry(struct run *run, struct node_state *state)
{
        if (state->status != NODE_PAUSING || run->stopping)
                return;
        state->status = NODE_STARTING;
        state->attempt++;
        run_draft_node(run, (size_t)(state - run->nodes));
}
