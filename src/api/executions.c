/* SPDX-License-Identifier: Apache-2.0 */
/* Running workflows: execute (waiting or not), look at runs, cancel, follow events by SSE. */
#include <stdlib.h>
#include <string.h>

#include "api/execute.h"
#include "api/follow.h"
#include "api/routes.h"
#include "api/views.h"

enum { KEY_MAX = 255, INPUT_MAX = 100000 };

struct execute_body {
        char *user_input;
        json_t *context;
        bool wait;
};

static const struct field execute_fields[] = {
        {"user_input", FIELD_STRING, FIELD_REQUIRED, offsetof(struct execute_body, user_input), 0,
         INPUT_MAX, 0},
        {"context", FIELD_OBJECT, FIELD_NULLABLE, offsetof(struct execute_body, context), 0, 0, 0},
        {"wait", FIELD_BOOL, FIELD_NULLABLE, offsetof(struct execute_body, wait), 0, 0, 0},
        {0},
};

static const char *const statuses[] = {"queued", "running", "completed", "failed", "cancelled"};

static struct reply reply_execution(struct request *req, const char *id)
{
        struct execution execution = {0};
        struct step *steps = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;

        if (store_get_execution_full(app_of(req)->store, req->ctx, user_of(req)->id, id, &execution,
                                     &steps, &count, &err))
                return reply_error(req, &err);
        static const struct step none;

        view_begin(&view, req);
        view_execution(&view.json, &execution, steps ? steps : &none, count);
        return view_reply(&view, 200);
}

static struct reply reply_reference(struct request *req, unsigned http_status, const char *id,
                                    const char *status)
{
        struct view view;

        view_begin(&view, req);
        json_open_object(&view.json, NULL);
        json_put_text(&view.json, "execution_id", id);
        json_put_text(&view.json, "status", status);
        json_close_object(&view.json);
        return view_reply(&view, http_status);
}

/* --- Execute -----------------------------------------------------------------------------------*/
struct executing {
        struct request *req;
        bool wait;
        struct idempotency_key key;
        char id[UUID_TEXT_SIZE];
};

/* On a watcher thread: the row is final. */
static void answer_finished(void *arg)
{
        struct executing *executing = arg;
        TRACE_SCOPE(&executing->req->trace);

        request_finish(executing->req, reply_execution(executing->req, executing->id));
}

static void answer_existing(void *arg)
{
        struct executing *executing = arg;
        struct request *req = executing->req;
        struct execution execution = {0};
        struct error err = ERROR_INIT;
        TRACE_SCOPE(&req->trace);

        if (store_get_execution(app_of(req)->store, req->ctx, user_of(req)->id, executing->id,
                                &execution, &err)) {
                request_finish(req, reply_error(req, &err));
        } else if (!executing->wait) {
                request_finish(req, reply_reference(req, 202, executing->id, execution.status));
        } else if (execution.finished_at) {
                answer_finished(executing);
        } else {
                error_set(&err, STATUS_CONFLICT,
                          "The first request with this Idempotency-Key is still running");
                err.retry_after_ms = 1000;
                request_finish(req, reply_error(req, &err));
        }
}

static void on_started(void *arg, const char *id, bool existing, const struct error *err)
{
        struct executing *executing = arg;
        struct request *req = executing->req;

        if (err) {
                request_finish(req, reply_error(req, err));
                return;
        }
        memcpy(executing->id, id, UUID_TEXT_SIZE);
        if (existing)
                pool_continue(app_of(req)->watchers, answer_existing, executing);
        else if (!executing->wait)
                request_finish(req, reply_reference(req, 202, executing->id, "queued"));
}

static void on_finished(void *arg, const char *id)
{
        struct executing *executing = arg;

        (void)id;
        pool_continue(app_of(executing->req)->watchers, answer_finished, executing);
}

/* "key" or key, 1 to 255 printable ASCII characters. */
static enum status read_key(struct request *req, struct idempotency_key *ret, struct error *err)
{
        const char *header = request_header(req, "Idempotency-Key");
        size_t length = header ? strlen(header) : 0;

        if (!header)
                return STATUS_OK;
        if (length >= 2 && header[0] == '"' && header[length - 1] == '"') {
                header++;
                length -= 2;
        }
        bool printable = length >= 1 && length <= KEY_MAX;
        for (size_t i = 0; i < length && printable; i++)
                printable = header[i] >= 0x20 && header[i] < 0x7f;
        if (!printable) {
                problems_add(request_problems(req), NULL, "Idempotency-Key",
                             "must be 1 to %d printable ASCII characters", KEY_MAX);
                return error_set(err, STATUS_INVALID, "Idempotency-Key is not usable");
        }
        ret->key = mem_strndup(req->ctx, header, length);
        secret_hash(req->body, req->body_length, ret->fingerprint);
        return STATUS_OK;
}

static struct reply execute(struct request *req)
{
        struct execute_body body = {0};
        struct executing *executing = mem_new(req->ctx, struct executing);
        struct error err = ERROR_INIT;
        const char *workflow_id;

        executing->req = req;
        if (id_param(req, "id", &workflow_id, &err) ||
            request_fields(req, execute_fields, &body, &err) ||
            read_key(req, &executing->key, &err))
                return reply_error(req, &err);
        executing->wait = body.wait;
        const struct engine_callbacks callbacks = {on_started, body.wait ? on_finished : NULL};
        const struct execute_request request = {
                .workflow_id = workflow_id,
                .user_input = body.user_input,
                .context = body.context ? json_write(req->ctx, body.context) : NULL,
                .key = &executing->key,
        };
        struct reply later = reply_later(req);

        if (execute_workflow(req, &request, &callbacks, executing, &err))
                request_finish(req, reply_error(req, &err));
        return later;
}

/* --- Look at runs, cancel ----------------------------------------------------------------------*/
static struct reply get_execution(struct request *req)
{
        struct error err = ERROR_INIT;
        const char *id;

        if (id_param(req, "id", &id, &err))
                return reply_error(req, &err);
        return reply_execution(req, id);
}

static enum status status_filter(struct request *req, const char **ret, struct error *err)
{
        const char *status = request_query(req, "status");

        *ret = status;
        if (!status)
                return STATUS_OK;
        for (size_t i = 0; i < ARRAY_LENGTH(statuses); i++)
                if (strcmp(status, statuses[i]) == 0)
                        return STATUS_OK;
        problems_add(request_problems(req), NULL, "status",
                     "must be queued, running, completed, failed or cancelled");
        return error_set(err, STATUS_INVALID, "status is not a status of executions");
}

static struct reply list_executions(struct request *req)
{
        struct app *app = app_of(req);
        struct page page;
        struct execution *rows = NULL;
        size_t count = 0;
        int64_t version;
        struct error err = ERROR_INIT;
        struct view view;
        const char *workflow_id, *status;

        if (id_param(req, "id", &workflow_id, &err) || page_read(req, &page, &err) ||
            status_filter(req, &status, &err) ||
            store_check_workflow(app->store, user_of(req)->id, workflow_id, &version, &err) ||
            store_list_executions(app->store, req->ctx, user_of(req)->id, workflow_id, status,
                                  &page, &rows, &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++)
                view_execution(&view.json, &rows[i], NULL, 0);
        return view_list_reply(&view, &page);
}

/* On a watcher thread: it has ended, of itself or by the cancel. */
static void answer_cancelled(void *arg)
{
        struct executing *executing = arg;
        struct request *req = executing->req;
        struct execution execution = {0};
        struct error err = ERROR_INIT;
        TRACE_SCOPE(&req->trace);

        if (!store_get_execution(app_of(req)->store, req->ctx, user_of(req)->id, executing->id,
                                 &execution, &err) &&
            execution.finished_at && strcmp(execution.status, "cancelled") != 0)
                error_set(&err, STATUS_CONFLICT, "The execution has already ended");
        request_finish(req, err.status ? reply_error(req, &err)
                                       : reply_reference(req, 202, executing->id, "cancelled"));
}

static void on_cancelled(void *arg)
{
        struct executing *executing = arg;

        pool_continue(app_of(executing->req)->watchers, answer_cancelled, executing);
}

static struct reply cancel(struct request *req)
{
        struct app *app = app_of(req);
        struct executing *executing = mem_new(req->ctx, struct executing);
        struct execution execution = {0};
        struct error err = ERROR_INIT;
        const char *id;

        if (id_param(req, "id", &id, &err) ||
            store_get_execution(app->store, req->ctx, user_of(req)->id, id, &execution, &err))
                return reply_error(req, &err);
        if (engine_cancel(app->engine, id, &err)) {
                error_set(&err, STATUS_CONFLICT, "The execution has already ended");
                return reply_error(req, &err);
        }
        executing->req = req;
        memcpy(executing->id, execution.id, UUID_TEXT_SIZE);
        struct reply later = reply_later(req);

        engine_when_finished(app->engine, executing->id, on_cancelled, executing);
        return later;
}

/* --- Events ------------------------------------------------------------------------------------*/
static struct reply stream_events(struct request *req)
{
        struct execution execution = {0};
        struct error err = ERROR_INIT;
        const char *id;
        int64_t after;

        if (id_param(req, "id", &id, &err) || follow_after(req, 0, &after, &err) ||
            store_get_execution(app_of(req)->store, req->ctx, user_of(req)->id, id, &execution,
                                &err))
                return reply_error(req, &err);
        return follow_execution(req, execution.workflow_id, id, after, NULL, NULL);
}

const struct route execution_routes[] = {
        {METHOD_POST, "/api/v1/workflows/{id}/execute", 0, INPUT_BODY, execute, NULL},
        {METHOD_GET, "/api/v1/workflows/{id}/executions", 0, 0, list_executions, NULL},
        {METHOD_GET, "/api/v1/executions/{id}", 0, 0, get_execution, NULL},
        {METHOD_POST, "/api/v1/executions/{id}/cancel", 0, SMALL_BODY, cancel, NULL},
        {METHOD_GET, "/api/v1/executions/{id}/events", 0, 0, stream_events, NULL},
        {0},
};
