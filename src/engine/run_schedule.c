/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling: a node is ready when each of its incoming edges is decided. An edge is live if its
 * source ended in the way that its port stands for; a node whose edges are all dead, or one of
 * whose required inputs has dead edges only, is skipped.
 *
 * Nodes that are pure and quick run at once and ride in the commit of what made them ready; all
 * others start when the commit that says so is done. */
#include <string.h>

#include "base/clock.h"
#include "engine/engine_internal.h"
#include "observe/log.h"

bool node_has_ended(const struct node_state *state)
{
        return state->status == NODE_COMPLETED || state->status == NODE_FAILED ||
               state->status == NODE_SKIPPED;
}

bool run_edge_is_live(const struct run *run, const struct graph_edge *edge)
{
        const struct node_state *source = &run->nodes[edge->source];
        bool error_port = strcmp(edge->source_port, "error") == 0;

        if (source->status == NODE_COMPLETED)
                return !error_port;
        if (source->status != NODE_FAILED)
                return false;
        switch (run->graph->nodes[edge->source].on_error) {
        case ON_ERROR_FAIL:
                return false;
        case ON_ERROR_DEFAULT:
                return !error_port;
        case ON_ERROR_BRANCH:
                return error_port;
        }
        return false;
}

/* --- Readiness ---------------------------------------------------------------------------------*/
static bool port_is_dead(const struct run *run, const struct graph_node *node, const char *port)
{
        bool joined = false;

        for (size_t e = 0; e < node->incoming_count; e++) {
                const struct graph_edge *edge = &run->graph->edges[node->incoming[e]];

                if (strcmp(edge->target_port, port) != 0)
                        continue;
                if (run_edge_is_live(run, edge))
                        return false;
                joined = true;
        }
        return joined;
}

static bool must_skip(const struct run *run, size_t i)
{
        const struct graph_node *node = &run->graph->nodes[i];
        bool live = node->incoming_count == 0;

        for (size_t e = 0; e < node->incoming_count && !live; e++)
                live = run_edge_is_live(run, &run->graph->edges[node->incoming[e]]);
        if (!live)
                return true;
        for (const struct node_port *port = node->type->inputs; port->id; port++)
                if (port->required && port_is_dead(run, node, port->id))
                        return true;
        return false;
}

/* A step that takes the program down with it must not do so at every start for ever. */
static bool fails_for_good(struct run *run, size_t i)
{
        const struct node_state *state = &run->nodes[i];
        struct error err = ERROR_INIT;

        if (state->attempt < run->graph->nodes[i].max_attempts + INTERRUPTED_MAX) {
                report_interrupted(run, i);
                return false;
        }
        error_set(&err, STATUS_INTERNAL, "The program ended while this node ran, %u times",
                  state->attempt);
        run_fail_node(run, i, &err);
        return true;
}

static void start(struct run *run, size_t i)
{
        struct node_state *state = &run->nodes[i];

        if (run->stopping) {
                run->held_back = true;
                return;
        }
        if (state->interrupted && fails_for_good(run, i))
                return;
        state->status = NODE_STARTING;
        state->attempt++;
        state->started_at = clock_wall_ms();
        state->input_text = run_input_text(run, i);
        run->busy++;
        run_draft_node(run, i);
}

static void make_ready(struct run *run, size_t i)
{
        struct node_state *state = &run->nodes[i];

        if (node_has_ended(state))
                return;
        if (must_skip(run, i)) {
                run_release_sources(run, i);
                state->skip_reason = "Its inputs come from branches that were not taken";
                run_node_ended(run, i, NODE_SKIPPED);
        } else if (run->graph->nodes[i].type->flags & NODE_INSTANT) {
                run_instant_node(run, i);
        } else {
                start(run, i);
        }
}

/* --- Ends --------------------------------------------------------------------------------------*/
static void take_result(struct run *run, size_t i)
{
        const struct node_state *state = &run->nodes[i];

        if (!(run->graph->nodes[i].type->flags & NODE_RESULT) || !state->output_text ||
            (run->result && run->result_node < i))
                return;
        mem_free((void *)(uintptr_t)run->result);
        run->result = mem_strdup(run, state->output_text);
        run->result_node = i;
}

/* The time to the first token is that of the model call that began first. */
static void add_usage(struct run *run, const struct node_state *state)
{
        struct node_usage *sum = &run->usage;

        if (!state->usage.has_tokens)
                return;
        sum->input_tokens += state->usage.input_tokens;
        sum->output_tokens += state->usage.output_tokens;
        sum->cost_dollars += state->usage.cost_dollars;
        if (!sum->has_tokens || state->started_at < run->first_token_at) {
                sum->time_to_first_token_ms = state->usage.time_to_first_token_ms;
                run->first_token_at = state->started_at;
        }
        sum->has_tokens = true;
}

static void settle(struct run *run, const char *status)
{
        run->settled = true;
        run->status = status;
}

static void keep_error(struct run *run, const struct error *err, size_t node)
{
        if (run->error)
                return;
        run->error = mem_dup(run, err, sizeof(*err));
        run->error_node = node;
}

static void end_one(struct run *run, size_t i, const struct error *why)
{
        struct node_state *state = &run->nodes[i];

        switch (state->status) {
        case NODE_RUNNING:
                run_abandon_attempt(run, i);
                run_fail_node(run, i, why);
                break;
        case NODE_PAUSING:
                alarm_cancel(&state->retry);
                run_fail_node(run, i, why);
                break;
        case NODE_STARTING:
                state->skip_reason = "The execution ended before it began";
                run_node_ended(run, i, NODE_SKIPPED);
                break;
        case NODE_PENDING:
        case NODE_COMPLETED:
        case NODE_FAILED:
        case NODE_SKIPPED:
                break;
        }
}

static void end_all(struct run *run, const char *status, const char *why)
{
        struct error err = ERROR_INIT;

        error_set(&err, STATUS_CANCELLED, "%s", why);
        settle(run, status);
        for (size_t i = 0; run->nodes && i < run->graph->node_count; i++)
                end_one(run, i, &err);
        run->ended_count = 0;
}

void run_cancel(struct run *run)
{
        if (run->settled || (run->phase != RUN_QUEUED && run->phase != RUN_ACTIVE))
                return;
        run->phase = RUN_ACTIVE;
        run->told = run->told || !run->nodes;
        end_all(run, "cancelled", "The execution was cancelled");
}

void run_fail(struct run *run, const struct error *err)
{
        keep_error(run, err, SIZE_MAX);
        end_all(run, "failed", "The execution cannot go on");
}

void run_count_ended(struct run *run, size_t i)
{
        const struct graph_node *node = &run->graph->nodes[i];

        take_result(run, i);
        add_usage(run, &run->nodes[i]);
        if (run->nodes[i].status == NODE_FAILED && node->on_error == ON_ERROR_FAIL)
                keep_error(run, run->nodes[i].error, i);
        for (size_t e = 0; e < node->outgoing_count; e++)
                run->nodes[run->graph->edges[node->outgoing[e]].target].undecided--;
}

void run_node_ended(struct run *run, size_t i, enum node_status status)
{
        struct node_state *state = &run->nodes[i];
        const struct graph_node *node = &run->graph->nodes[i];

        if (state->status == NODE_STARTING || state->status == NODE_RUNNING ||
            state->status == NODE_PAUSING)
                run->busy--;
        state->status = status;
        state->finished_at = clock_wall_ms();
        if (!state->started_at)
                state->started_at = state->finished_at;
        run->ended[run->ended_count++] = i;
        run_draft_node(run, i);
        take_result(run, i);
        add_usage(run, state);
        if (run->told)
                report_node_ended(run, i);
        if (status == NODE_FAILED && !run->settled && node->on_error == ON_ERROR_FAIL) {
                keep_error(run, state->error, i);
                end_all(run, "failed", "Another node of the execution failed");
        }
}

static void follow(struct run *run)
{
        for (size_t at = 0; at < run->ended_count && !run->settled; at++) {
                const struct graph_node *node = &run->graph->nodes[run->ended[at]];

                for (size_t e = 0; e < node->outgoing_count && !run->settled; e++) {
                        size_t target = run->graph->edges[node->outgoing[e]].target;

                        if (--run->nodes[target].undecided == 0)
                                make_ready(run, target);
                }
        }
        run->ended_count = 0;
}

void run_begin(struct run *run)
{
        if (run->error) {
                end_all(run, "failed", "Another node of the execution failed");
                return;
        }
        for (size_t i = 0; i < run->graph->node_count && !run->settled; i++)
                if (run->nodes[i].undecided == 0)
                        make_ready(run, i);
        follow(run);
}

/* Nothing runs and nothing will: with a result it completed, else it says what kept it from one. */
static void settle_by_result(struct run *run)
{
        struct error err = ERROR_INIT;

        if (run->result) {
                settle(run, "completed");
                return;
        }
        for (size_t i = 0; i < run->graph->node_count; i++)
                if (run->nodes[i].status == NODE_FAILED && run->nodes[i].error)
                        keep_error(run, run->nodes[i].error, i);
        error_set(&err, STATUS_UNPROCESSABLE, "No output was reached: its branch was not taken");
        keep_error(run, &err, SIZE_MAX);
        settle(run, "failed");
}

/* The engine stops: what was told is committed, the rest is for the next one. */
static void leave(struct run *run)
{
        if (!run->flushed)
                run_commit(run, /* final= */ false);
        run->flushed = true;
        if (!run->commit)
                run_over(run);
}

void run_advance(struct run *run)
{
        if (run->phase != RUN_ACTIVE)
                return;
        if (run->nodes)
                follow(run);
        if (run->nodes && !run->settled && run->busy == 0 && !run->held_back)
                settle_by_result(run);
        if (run->commit)
                return;
        if (run->settled && run->told)
                run_commit(run, /* final= */ true);
        else if (run->draft || run->row_due)
                run_commit(run, /* final= */ false);
        else if (run->stopping && run->in_flight == 0)
                leave(run);
}
