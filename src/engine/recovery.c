/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: executions that an earlier engine left unfinished are queued again and go on from their
 * last committed step. A step that was in flight is tried again under the next attempt number; one
 * that ended is never run again. */
#include <string.h>

#include "base/clock.h"
#include "engine/engine_internal.h"
#include "observe/log.h"

/* --- At the engine's start ---------------------------------------------------------------------*/
static struct trace recovered_trace(const struct execution *row)
{
        struct trace trace = {0};

        trace_begin(&trace, NULL);
        trace_set(trace.user_id, row->user_id);
        trace_set(trace.workflow_id, row->workflow_id);
        trace_set(trace.execution_id, row->id);
        return trace;
}

static enum status recover_one(struct engine *engine, const struct execution *row,
                               struct error *err)
{
        const struct trace trace = recovered_trace(row);
        struct run *run = run_new(engine, &trace);

        trace_set(run->id, row->id);
        trace_set(run->workflow_id, row->workflow_id);
        trace_set(run->user_id, row->user_id);
        run->workflow_version = row->workflow_version;
        run->user_input = mem_strdup(run, row->user_input ? row->user_input : "");
        run->context_text = mem_strdup(run, row->context);
        run->context = row->context ? json_loads(row->context, 0, NULL) : NULL;
        run->created_at = row->created_at;
        run->started_at = row->started_at;
        run->recovered = true;
        run->phase = RUN_QUEUED;
        if (run_open_log(run, err)) {
                run_free(run);
                return err->status;
        }
        engine_add(engine, run);
        if (engine_enter_queue(engine, run))
                run_post(run, &run->activate);
        run_hand_over(run);
        return STATUS_OK;
}

enum status engine_recover(struct engine *engine, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct execution *rows = NULL;
        size_t count = 0;

        if (store_unfinished_executions(engine->services.store, ctx, &rows, &count, err))
                return err->status;
        for (size_t i = 0; i < count; i++)
                if (recover_one(engine, &rows[i], err))
                        return err->status;
        if (count)
                log_info(LOG_workflow_execution, "unfinished executions taken up",
                         LOG_INT("executions", count));
        return STATUS_OK;
}

/* --- With a slot -------------------------------------------------------------------------------*/
static enum status load_graph(struct run *run, const void *ctx, struct error *err)
{
        struct graph_cache *cache = run->engine->graphs;
        struct workflow_version version = {0};

        run->graph = graph_cache_find(cache, run->workflow_id, run->workflow_version);
        if (run->graph)
                return STATUS_OK;
        if (store_get_version(run->engine->services.store, ctx, NULL, run->workflow_id,
                              run->workflow_version, &version, err))
                return err->status;
        return graph_cache_get(cache, run->workflow_id, run->workflow_version, version.graph, NULL,
                               &run->graph, err);
}

static enum node_status ended_status(const char *status)
{
        if (strcmp(status, "completed") == 0)
                return NODE_COMPLETED;
        if (strcmp(status, "failed") == 0)
                return NODE_FAILED;
        return strcmp(status, "skipped") == 0 ? NODE_SKIPPED : NODE_PENDING;
}

static void load_error(struct run *run, struct node_state *state, const char *text)
{
        SCOPED_JSON json_t *json = json_loads(text ? text : "", 0, NULL);

        state->error = mem_new(run, struct error);
        error_set(state->error, STATUS_UPSTREAM, "%s",
                  json_get_text(json, "message", "The node failed"));
}

static void load_usage(struct node_state *state, const char *text)
{
        SCOPED_JSON json_t *json = text ? json_loads(text, 0, NULL) : NULL;

        if (!json)
                return;
        state->usage = (struct node_usage){
                .input_tokens = json_get_int(json, "input_tokens", 0),
                .output_tokens = json_get_int(json, "output_tokens", 0),
                .cost_dollars = json_get_real(json, "cost_dollars", 0),
                .time_to_first_token_ms = json_get_real(json, "time_to_first_token_ms", -1),
                .has_tokens = true,
        };
}

/* If nobody was told of the execution's beginning, the step is told with it: so it is written anew. */
static void load_texts(struct run *run, size_t i, const struct step *step)
{
        struct node_state *state = &run->nodes[i];
        struct commit *draft = run_draft(run);

        state->input_text = mem_strdup(run, step->input);
        state->output_text = mem_strdup(draft, step->output);
        state->usage_text = mem_strdup(draft, step->usage);
        state->error_text = mem_strdup(draft, step->error);
        run_draft_node(run, i);
}

static enum status load_step(struct run *run, size_t i, const struct step *step, struct error *err)
{
        struct node_state *state = &run->nodes[i];

        state->attempt = (unsigned)step->attempt;
        state->started_at = step->started_at;
        state->finished_at = step->finished_at;
        state->interrupted = strcmp(step->status, "running") == 0;
        state->status = ended_status(step->status);
        state->skip_reason = "Its inputs come from branches that were not taken";
        if (!node_has_ended(state)) {
                state->started_at = 0;
                return STATUS_OK;
        }
        if (state->status == NODE_FAILED)
                load_error(run, state, step->error);
        load_usage(state, step->usage);
        if (step->output && json_read(step->output, strlen(step->output), &state->output, err))
                return error_prefix(err, "The output of step \"%s\"", step->node_id);
        state->output_text = step->output;
        run_count_ended(run, i);
        state->output_text = NULL;
        if (!run->told)
                load_texts(run, i, step);
        return STATUS_OK;
}

static enum status load_steps(struct run *run, const void *ctx, struct error *err)
{
        struct step *steps = NULL;
        size_t count = 0;

        if (store_get_steps(run->engine->services.store, ctx, run->id, &steps, &count, err))
                return err->status;
        for (size_t i = 0; i < run->graph->node_count; i++) {
                const struct graph_node *node = &run->graph->nodes[i];

                for (size_t s = 0; s < count; s++) {
                        if (strcmp(steps[s].node_id, node->id) != 0)
                                continue;
                        if (node->type->flags & NODE_START)
                                run_read_start_input(run, steps[s].input);
                        if (load_step(run, i, &steps[s], err))
                                return err->status;
                        break;
                }
        }
        return STATUS_OK;
}

/* Whether anyone may know of the execution already. */
static enum status load_told(struct run *run, const void *ctx, struct error *err)
{
        struct event_batch *batches = NULL;
        size_t count = 0;

        if (store_get_events(run->engine->services.store, ctx, run->workflow_id, run->id, 0, 1,
                             &batches, &count, err))
                return err->status;
        run->told = count > 0;
        return STATUS_OK;
}

static enum status load(struct run *run, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();

        if (!run->recovered) {
                run_prepare(run);
                return STATUS_OK;
        }
        if (load_told(run, ctx, err) || load_graph(run, ctx, err))
                return err->status;
        run_prepare(run);
        return load_steps(run, ctx, err);
}

void run_load(struct run *run)
{
        struct error err = ERROR_INIT;

        if (run->phase != RUN_QUEUED)
                return;
        if (run->stopping) {
                run_over(run);
                return;
        }
        run->phase = RUN_ACTIVE;
        run->row_due = true;
        run->started_us = clock_monotonic_us();
        if (!run->started_at)
                run->started_at = clock_wall_ms();
        if (load(run, &err))
                run_fail(run, &err);
        else
                run_begin(run);
}
