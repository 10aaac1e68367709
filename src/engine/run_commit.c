/* SPDX-License-Identifier: Apache-2.0 */
/* Commits: what changed since the last one goes to the store in one write, one at a time for a run.
 * What ends while a write is under way waits for the next, so that a busy database makes commits
 * larger, not more. */
#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "engine/engine_internal.h"
#include "observe/log.h"

enum { TEXT_MAX = 64 * 1024, RETRY_FIRST_MS = 200, RETRY_DOUBLINGS = 6 };

/* --- Texts -------------------------------------------------------------------------------------*/
static void lower_name(enum status status, char *name, size_t size)
{
        snprintf(name, size, "%s", status_name(status));
        for (; *name; name++)
                *name = (char)tolower((unsigned char)*name);
}

char *error_json(const void *ctx, const struct error *err, const char *node_id)
{
        struct buffer text = BUFFER_INIT(ctx, TEXT_MAX);
        struct json_writer json = JSON_WRITER(&text);
        char type[32];

        lower_name(err->status, type, sizeof(type));
        json_open_object(&json, NULL);
        json_put_text(&json, "message", err->message);
        json_put_text(&json, "type", type);
        if (node_id)
                json_put_text(&json, "node_id", node_id);
        json_close_object(&json);
        return text.data;
}

char *usage_json(const void *ctx, const struct node_usage *usage)
{
        struct buffer text = BUFFER_INIT(ctx, TEXT_MAX);
        struct json_writer json = JSON_WRITER(&text);

        if (!usage->has_tokens)
                return NULL;
        json_open_object(&json, NULL);
        json_put_int(&json, "input_tokens", usage->input_tokens);
        json_put_int(&json, "output_tokens", usage->output_tokens);
        json_put_real(&json, "cost_dollars", usage->cost_dollars);
        if (usage->time_to_first_token_ms < 0)
                json_put_raw(&json, "time_to_first_token_ms", NULL);
        else
                json_put_real(&json, "time_to_first_token_ms", usage->time_to_first_token_ms);
        json_close_object(&json);
        return text.data;
}

/* --- The draft ---------------------------------------------------------------------------------*/
struct commit *run_draft(struct run *run)
{
        if (!run->draft) {
                run->draft = mem_new(NULL, struct commit);
                run->draft->run = run;
        }
        return run->draft;
}

void run_draft_node(struct run *run, size_t node)
{
        struct commit *draft = run_draft(run);

        if (run->nodes[node].in_draft)
                return;
        if (!draft->nodes)
                draft->nodes = mem_array(draft, size_t, run->graph->node_count);
        draft->nodes[draft->count++] = node;
        run->nodes[node].in_draft = true;
}

static const char *row_status(enum node_status status)
{
        switch (status) {
        case NODE_PENDING:
                return "pending";
        case NODE_STARTING:
        case NODE_RUNNING:
        case NODE_PAUSING:
                return "running";
        case NODE_COMPLETED:
                return "completed";
        case NODE_FAILED:
                return "failed";
        case NODE_SKIPPED:
                return "skipped";
        }
        return "";
}

/* The store takes its rows as char *, and only reads them. */
static char *text(const char *borrowed)
{
        return (char *)(uintptr_t)borrowed;
}

static struct step node_row(const struct run *run, size_t i)
{
        const struct node_state *state = &run->nodes[i];

        return (struct step){
                .node_id = text(run->graph->nodes[i].id),
                .ordinal = (int64_t)run->graph->nodes[i].order,
                .type = text(run->graph->nodes[i].type->type),
                .status = text(row_status(state->status)),
                .attempt = state->attempt,
                .started_at = state->started_at,
                .finished_at = state->finished_at,
                .input = text(state->input_text),
                .output = text(state->output_text),
                .usage = text(state->usage_text),
                .error = text(state->error_text),
        };
}

static struct execution run_row(const struct run *run, const char *status)
{
        return (struct execution){
                .id = text(run->id),
                .workflow_id = text(run->workflow_id),
                .user_id = text(run->user_id),
                .workflow_version = run->workflow_version,
                .status = text(status),
                .user_input = run->user_input,
                .context = run->context_text,
                .created_at = run->created_at,
                .started_at = run->started_at,
        };
}

/* --- Sending -----------------------------------------------------------------------------------*/
/* On the writer's thread. */
static void written(void *arg, const struct error *err)
{
        struct commit *commit = arg;

        commit->err = err ? *err : ERROR_INIT;
        commit->run->committed.kind = MESSAGE_COMMITTED;
        run_post(commit->run, &commit->run->committed);
}

static void fill_steps(struct run *run, struct commit *commit)
{
        struct step *steps = mem_array(commit, struct step, commit->count);

        for (size_t i = 0; i < commit->count; i++) {
                steps[i] = node_row(run, commit->nodes[i]);
                run->nodes[commit->nodes[i]].in_draft = false;
        }
        commit->parts.steps = steps;
        commit->parts.step_count = commit->count;
}

static void fill_end(struct run *run, struct commit *commit)
{
        const struct graph_node *nodes = run->graph ? run->graph->nodes : NULL;
        bool failed = strcmp(run->status, "failed") == 0;

        commit->row = run_row(run, run->status);
        commit->row.finished_at = clock_wall_ms();
        commit->row.usage = usage_json(commit, &run->usage);
        if (strcmp(run->status, "completed") == 0)
                commit->row.output = text(run->result);
        if (failed)
                commit->row.error = error_json(
                        commit, run->error,
                        run->error_node == SIZE_MAX || !nodes ? NULL : nodes[run->error_node].id);
        commit->parts.update = &commit->row;
        commit->final = true;
}

static struct commit *take_draft(struct run *run)
{
        struct commit *commit = run_draft(run);

        run->draft = NULL;
        run->commit = commit;
        commit->parts.execution_id = run->id;
        commit->parts.workflow_id = run->workflow_id;
        fill_steps(run, commit);
        return commit;
}

static void send(struct run *run, struct commit *commit)
{
        store_commit_execution(run->engine->services.store, &commit->parts, written, commit);
}

void run_commit(struct run *run, bool final)
{
        struct commit *commit = take_draft(run);

        if (final) {
                fill_end(run, commit);
                report_ending(run, commit);
                run->phase = RUN_ENDING;
        } else if (run->row_due) {
                commit->row = run_row(run, "running");
                commit->parts.update = &commit->row;
                commit->parts.lease_owner = run->engine->owner;
                run->row_due = false;
        }
        commit->has_events = event_log_take(run->log, commit, &commit->batch);
        if (commit->has_events)
                commit->parts.events = &commit->batch;
        if (commit->count || commit->parts.update || commit->has_events)
                send(run, commit);
        else
                run->commit = mem_free(commit);
}

/* A queued execution already keeps what its start node will need: the row has no place for it. */
static void fill_pending(struct run *run, struct commit *commit)
{
        struct step *step = mem_new(commit, struct step);

        for (size_t i = 0; i < run->graph->node_count; i++) {
                const struct graph_node *node = &run->graph->nodes[i];

                if (!(node->type->flags & NODE_START))
                        continue;
                *step = (struct step){
                        .node_id = text(node->id),
                        .ordinal = (int64_t)node->order,
                        .type = text(node->type->type),
                        .status = text("pending"),
                        .input = run_start_input_text(run, commit),
                };
                commit->parts.steps = step;
                commit->parts.step_count = 1;
                return;
        }
}

void run_commit_insert(struct run *run, const struct engine_request *request)
{
        struct commit *commit = take_draft(run);

        commit->row = run_row(run, run->nodes ? "running" : "queued");
        commit->parts.insert = &commit->row;
        if (run->nodes)
                commit->parts.lease_owner = run->engine->owner;
        else
                fill_pending(run, commit);
        commit->idempotency = (struct idempotency){
                .key = mem_strdup(commit, request->idempotency_key),
                .fingerprint = mem_strdup(commit, request->fingerprint ? request->fingerprint : ""),
        };
        commit->parts.idempotency = &commit->idempotency;
        send(run, commit);
}

void run_commit_again(struct run *run)
{
        send(run, run->commit);
}

/* --- Done --------------------------------------------------------------------------------------*/
static void give_up(struct run *run, const struct error *err)
{
        /* Who deletes a workflow means its executions too. */
        if (err->status == STATUS_NOT_FOUND)
                log_warn(LOG_workflow_execution, "execution was deleted while it ran");
        else
                log_failure(LOG_LEVEL_ERROR, LOG_workflow_execution, "execution could not be saved",
                            err);
        run->commit = mem_free(run->commit);
        run_over(run);
}

/* A deleted execution is gone for good. A database that is away comes back: until then the run
 * waits, rather than leave a row that says "running" and is not. */
static void handle_failure(struct run *run)
{
        struct commit *commit = run->commit;
        unsigned doublings = commit->tries < RETRY_DOUBLINGS ? commit->tries : RETRY_DOUBLINGS;
        bool away = commit->err.status == STATUS_UNAVAILABLE;

        commit->tries++;
        if (commit->err.status == STATUS_NOT_FOUND || (!away && commit->tries >= COMMIT_TRIES)) {
                give_up(run, &commit->err);
                return;
        }
        if (commit->tries == COMMIT_TRIES)
                log_failure(LOG_LEVEL_WARN, LOG_workflow_execution,
                            "execution waits for the database", &commit->err);
        alarm_set(&run->commit_again, run, MESSAGE_COMMIT_AGAIN,
                  (int64_t)(RETRY_FIRST_MS << doublings) * 1000);
}

/* Nothing begins here: `existing_id` runs or ran already, or `err` says why not. */
static void refuse(struct run *run, const char *existing_id, const struct error *err)
{
        run_over(run);
        run->callbacks.started(run->callback_arg, existing_id, existing_id != NULL, err);
        run->commit = mem_free(run->commit);
}

/* False if nothing begins here. */
static bool handle_insert(struct run *run)
{
        const struct commit *commit = run->commit;
        struct error err = commit->err;

        if (!err.status && commit->idempotency.existing_id[0] && commit->idempotency.mismatch)
                error_set(&err, STATUS_UNPROCESSABLE,
                          "This Idempotency-Key was used for a request with another body");
        if (err.status || commit->idempotency.existing_id[0]) {
                refuse(run, err.status ? NULL : commit->idempotency.existing_id,
                       err.status ? &err : NULL);
                return false;
        }
        run->began = true;
        run->callbacks.started(run->callback_arg, run->id, false, NULL);
        run->phase = run->nodes ? RUN_ACTIVE : RUN_QUEUED;
        return true;
}

/* Texts of the rows that are written now belong to the commit and go with it. */
static void follow_node(struct run *run, size_t i)
{
        struct node_state *state = &run->nodes[i];

        if (state->in_draft)
                return;
        state->output_text = state->usage_text = state->error_text = NULL;
        if (state->status == NODE_STARTING && !run->stopping)
                run_start_attempt(run, i);
        else if (node_has_ended(state))
                state->input_text = mem_free((void *)(uintptr_t)state->input_text);
}

static void tell_beginning(struct run *run, const struct commit *commit)
{
        run->told = true;
        report_started(run);
        for (size_t i = 0; i < commit->count; i++)
                if (node_has_ended(&run->nodes[commit->nodes[i]]))
                        report_node_ended(run, commit->nodes[i]);
}

static void follow_commit(struct run *run, struct commit *commit)
{
        if (commit->has_events)
                event_log_committed(run->log, &commit->batch);
        if (commit->final) {
                report_ended(run);
                run_over(run);
                return;
        }
        if (run->phase == RUN_QUEUED && engine_enter_queue(run->engine, run))
                run_load(run);
        if (run->phase == RUN_ACTIVE && !run->told)
                tell_beginning(run, commit);
        for (size_t i = 0; i < commit->count; i++)
                follow_node(run, commit->nodes[i]);
}

void run_committed(struct run *run)
{
        struct commit *commit = run->commit;

        if (run->phase == RUN_STARTING) {
                if (!handle_insert(run))
                        return;
        } else if (commit->err.status) {
                handle_failure(run);
                return;
        }
        run->commit = NULL;
        follow_commit(run, commit);
        mem_free(commit);
        if (atomic_load(&run->cancel_asked))
                run_cancel(run);
        if (run->stopping && run->phase == RUN_QUEUED)
                run_over(run);
}
