/* SPDX-License-Identifier: Apache-2.0 */
/* Reports: what happens to a run as events for those who watch, log lines and metrics. The engine is
 * the boundary of executions: their errors are logged here, once. */
#include <string.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "engine/engine_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { DATA_MAX = 64 * 1024 };

static double milliseconds_since(int64_t start_us)
{
        return start_us ? (double)(clock_monotonic_us() - start_us) / 1000.0 : 0;
}

static struct trace node_trace(const struct run *run, size_t node)
{
        struct trace trace = run->trace;

        trace_set(trace.node_id, run->graph->nodes[node].id);
        return trace;
}

/* --- The execution -----------------------------------------------------------------------------*/
void report_started(struct run *run)
{
        char data[64];

        snprintf(data, sizeof(data), "{\"workflow_version\":%lld}",
                 (long long)run->workflow_version);
        event_emit(run->log, "execution_started", NULL, data);
        log_info(LOG_workflow_execution, "execution started", LOG_STR("status", "running"),
                 LOG_INT("workflow_version", run->workflow_version));
}

void report_ending(struct run *run, const struct commit *commit)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer data = BUFFER_INIT(ctx, DATA_MAX);
        struct json_writer json = JSON_WRITER(&data);
        char type[40];

        snprintf(type, sizeof(type), "execution_%s", run->status);
        json_open_object(&json, NULL);
        if (commit->row.error)
                json_put_raw(&json, "error", commit->row.error);
        else if (commit->row.output)
                json_put_raw(&json, "usage", commit->row.usage);
        json_close_object(&json);
        event_emit_final(run->log, type, commit->row.output, buffer_string(&data));
}

void report_ended(struct run *run)
{
        double duration_ms = milliseconds_since(run->started_us);

        metric_add(METRIC_workflow_executions_total, 1, run->status);
        metric_observe(METRIC_workflow_execution_duration_seconds, duration_ms / 1000, run->status);
        if (strcmp(run->status, "failed") == 0)
                log_failure(LOG_LEVEL_WARN, LOG_workflow_execution, "execution ended", run->error,
                            LOG_STR("status", run->status), LOG_REAL("duration_ms", duration_ms));
        else
                log_info(LOG_workflow_execution, "execution ended", LOG_STR("status", run->status),
                         LOG_REAL("duration_ms", duration_ms),
                         LOG_INT("input_tokens", run->usage.input_tokens),
                         LOG_INT("output_tokens", run->usage.output_tokens),
                         LOG_REAL("cost_dollars", run->usage.cost_dollars));
}

/* --- Nodes -------------------------------------------------------------------------------------*/
void report_node_started(struct run *run, size_t node)
{
        const struct graph_node *at = &run->graph->nodes[node];
        char data[128];

        snprintf(data, sizeof(data), "{\"type\":\"%s\",\"attempt\":%u}", at->type->type,
                 run->nodes[node].attempt);
        event_emit(run->log, "node_started", at->id, data);
}

static void emit_completed(struct run *run, size_t node, double duration_ms)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct node_state *state = &run->nodes[node];
        struct buffer data = BUFFER_INIT(ctx, DATA_MAX);
        struct json_writer json = JSON_WRITER(&data);

        json_open_object(&json, NULL);
        json_put_raw(&json, "usage", state->usage_text);
        json_put_real(&json, "duration_ms", duration_ms);
        json_close_object(&json);
        event_emit_output(run->log, run->graph->nodes[node].id, state->output_text,
                          buffer_string(&data));
}

static void emit_failed(struct run *run, size_t node)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct node_state *state = &run->nodes[node];

        event_emit(run->log, "node_failed", run->graph->nodes[node].id,
                   mem_printf(ctx, "{\"error\":%s,\"attempt\":%u}",
                              error_json(ctx, state->error, NULL), state->attempt));
}

static void emit_skipped(struct run *run, size_t node)
{
        char data[128];

        snprintf(data, sizeof(data), "{\"reason\":\"%s\"}", run->nodes[node].skip_reason);
        event_emit(run->log, "node_skipped", run->graph->nodes[node].id, data);
}

static void log_node(struct run *run, size_t node, const char *status, double duration_ms)
{
        const struct node_state *state = &run->nodes[node];
        const char *type = run->graph->nodes[node].type->type;
        const struct trace trace = node_trace(run, node);
        TRACE_SCOPE(&trace);

        metric_add(METRIC_node_executions_total, 1, type, status);
        if (state->status != NODE_SKIPPED)
                metric_observe(METRIC_node_execution_duration_seconds, duration_ms / 1000, type);
        if (state->status == NODE_FAILED)
                log_failure(LOG_LEVEL_WARN, LOG_node_execution, "node ended", state->error,
                            LOG_STR("node_type", type), LOG_STR("status", status),
                            LOG_INT("attempt", state->attempt),
                            LOG_REAL("duration_ms", duration_ms));
        else
                log_info(LOG_node_execution, "node ended", LOG_STR("node_type", type),
                         LOG_STR("status", status), LOG_INT("attempt", state->attempt),
                         LOG_REAL("duration_ms", duration_ms));
}

void report_node_ended(struct run *run, size_t node)
{
        double duration_ms = milliseconds_since(run->nodes[node].started_us);

        switch (run->nodes[node].status) {
        case NODE_COMPLETED:
                if (run->graph->nodes[node].type->flags & NODE_INSTANT)
                        report_node_started(run, node);
                emit_completed(run, node, duration_ms);
                log_node(run, node, "completed", duration_ms);
                break;
        case NODE_FAILED:
                emit_failed(run, node);
                log_node(run, node, "failed", duration_ms);
                break;
        case NODE_SKIPPED:
                emit_skipped(run, node);
                log_node(run, node, "skipped", 0);
                break;
        case NODE_PENDING:
        case NODE_STARTING:
        case NODE_RUNNING:
        case NODE_PAUSING:
                break;
        }
}

static void emit_retrying(struct run *run, size_t node, const struct error *err, int64_t delay_ms)
{
        SCOPED_MEM void *ctx = mem_root();

        event_emit(run->log, "node_retrying", run->graph->nodes[node].id,
                   mem_printf(ctx, "{\"error\":%s,\"attempt\":%u,\"next_attempt_in_ms\":%lld}",
                              error_json(ctx, err, NULL), run->nodes[node].attempt,
                              (long long)delay_ms));
}

void report_retry(struct run *run, size_t node, int64_t delay_ms)
{
        const struct node_state *state = &run->nodes[node];
        const char *type = run->graph->nodes[node].type->type;
        const struct trace trace = node_trace(run, node);
        TRACE_SCOPE(&trace);

        emit_retrying(run, node, state->error, delay_ms);
        metric_add(METRIC_node_retries_total, 1, type);
        log_failure(LOG_LEVEL_WARN, LOG_node_execution, "node will be tried again", state->error,
                    LOG_STR("node_type", type), LOG_INT("attempt", state->attempt),
                    LOG_INT("next_attempt_in_ms", delay_ms));
}

void report_interrupted(struct run *run, size_t node)
{
        struct error err = ERROR_INIT;

        if (!run->told)
                return;
        error_set(&err, STATUS_UNAVAILABLE, "The server was restarted while the node ran");
        emit_retrying(run, node, &err, 0);
}
