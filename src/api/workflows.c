/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/workflows: graphs with a version for every save. Any graph of the right shape can be
 * saved; whether it can run is told by validate and asked before every execution. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/routes.h"
#include "api/views.h"
#include "base/utf8.h"
#include "observe/log.h"

enum { SAVE_TRIES = 100 };

struct workflow_body {
        char *name, *description;
        json_t *data;
        int64_t version;
};

#define NAME_FIELD(flags)                                                                          \
        {                                                                                          \
                "name", FIELD_STRING, flags, offsetof(struct workflow_body, name), 1, 200, 0       \
        }
#define DESCRIPTION_FIELD                                                                          \
        {                                                                                          \
                "description", FIELD_STRING, FIELD_NULLABLE,                                       \
                        offsetof(struct workflow_body, description), 0, 4000, 0                    \
        }
#define DATA_FIELD(flags)                                                                          \
        {                                                                                          \
                "workflow_data", FIELD_OBJECT, flags, offsetof(struct workflow_body, data), 0, 0,  \
                        0                                                                          \
        }

static const struct field create_fields[] = {
        NAME_FIELD(FIELD_REQUIRED), DESCRIPTION_FIELD, DATA_FIELD(FIELD_NULLABLE), {0}};
static const struct field update_fields[] = {
        NAME_FIELD(0),
        DESCRIPTION_FIELD,
        DATA_FIELD(0),
        {"version", FIELD_INT, FIELD_NULLABLE, offsetof(struct workflow_body, version), 1,
         2147483647, 0},
        {0},
};

static const char empty_graph[] = "{\"nodes\":[],\"edges\":[]}";

static void log_change(const char *message, const struct workflow *workflow)
{
        log_info(LOG_workflow_change, message, LOG_STR("changed_workflow_id", workflow->id),
                 LOG_INT("version", workflow->version));
}

static struct reply reply_workflow(struct request *req, unsigned http_status,
                                   const struct workflow *workflow, const struct problems *problems)
{
        struct view view;

        view_begin(&view, req);
        view_workflow(&view.json, workflow, problems);
        struct reply reply = view_reply(&view, http_status);
        if (http_status != 201)
                return reply;
        SCOPED_MEM char *location = mem_printf(NULL, "/api/v1/workflows/%s", workflow->id);
        return reply_header(reply, "Location", location);
}

/* Shape problems go to the request's list. */
static enum status graph_text(struct request *req, const json_t *data, char **ret,
                              struct error *err)
{
        if (!data) {
                *ret = mem_strdup(req->ctx, empty_graph);
                return STATUS_OK;
        }
        if (graph_check_shape(data, request_problems(req), err))
                return err->status;
        *ret = json_write(req->ctx, data);
        return STATUS_OK;
}

static enum status create(struct request *req, const struct workflow_body *body,
                          struct workflow *workflow, struct error *err)
{
        *workflow = (struct workflow){
                .owner_id = user_of(req)->id,
                .name = body->name,
                .description = body->description ? body->description : mem_strdup(req->ctx, ""),
        };
        if (graph_text(req, body->data, &workflow->graph, err) ||
            store_create_workflow(app_of(req)->store, workflow, req->ctx, err))
                return err->status;
        log_change("workflow made", workflow);
        return STATUS_OK;
}

static struct reply create_workflow(struct request *req)
{
        struct workflow_body body = {0};
        struct workflow workflow;
        struct error err = ERROR_INIT;

        if (request_fields(req, create_fields, &body, &err) || create(req, &body, &workflow, &err))
                return reply_error(req, &err);
        return reply_workflow(req, 201, &workflow, NULL);
}

static enum status load(struct request *req, struct workflow *workflow, struct error *err)
{
        const char *id;

        if (id_param(req, "id", &id, err))
                return err->status;
        return store_get_workflow(app_of(req)->store, req->ctx, user_of(req)->id, id, workflow,
                                  err);
}

static struct reply get_workflow(struct request *req)
{
        struct workflow workflow = {0};
        struct error err = ERROR_INIT;

        if (load(req, &workflow, &err))
                return reply_error(req, &err);
        return reply_workflow(req, 200, &workflow, NULL);
}

static struct reply list_workflows(struct request *req)
{
        struct page page;
        struct workflow_summary *rows = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;

        if (page_read(req, &page, &err) ||
            store_list_workflows(app_of(req)->store, req->ctx, user_of(req)->id, &page, &rows,
                                 &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++)
                view_workflow_summary(&view.json, &rows[i]);
        return view_list_reply(&view, &page);
}

/* Whether the knowledge base's model differs between two graphs: then documents are embedded anew.
 */
static bool embedding_changed(const char *before, const json_t *after)
{
        SCOPED_JSON json_t *old = json_loads(before, 0, NULL);
        const json_t *a = graph_find_params(old, "knowledgeBase");
        const json_t *b = graph_find_params(after, "knowledgeBase");
        static const char *const keys[] = {"embedding_provider", "embedding_model"};

        for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
                if (strcmp(json_get_text(a, keys[i], ""), json_get_text(b, keys[i], "")) != 0)
                        return true;
        return false;
}

/* Members that the body leaves out stay as they are. */
static enum status save_once(struct request *req, const struct workflow_body *body,
                             struct workflow *workflow, bool *reembed, struct error *err)
{
        if (load(req, workflow, err))
                return err->status;
        int64_t version = body->version ? body->version : workflow->version;

        *reembed = body->data && embedding_changed(workflow->graph, body->data);
        if (body->data && graph_text(req, body->data, &workflow->graph, err))
                return err->status;
        if (body->name)
                workflow->name = body->name;
        if (body->description)
                workflow->description = body->description;
        return store_update_workflow(app_of(req)->store, workflow, version, err);
}

/* Who names no version does not care about other saves, but must not undo them: what was read is
 * read again when another save came between. */
static enum status save(struct request *req, const struct workflow_body *body,
                        struct workflow *workflow, bool *reembed, struct error *err)
{
        for (int tries = 0; tries < SAVE_TRIES; tries++) {
                *err = ERROR_INIT;
                if (save_once(req, body, workflow, reembed, err) != STATUS_CONFLICT ||
                    body->version)
                        break;
        }
        return err->status;
}

static struct reply update_workflow(struct request *req)
{
        struct app *app = app_of(req);
        struct workflow_body body = {0};
        struct workflow workflow = {0};
        struct error err = ERROR_INIT;
        bool reembed = false;

        if (request_fields(req, update_fields, &body, &err) ||
            save(req, &body, &workflow, &reembed, &err) ||
            (reembed && documents_reembed(app->documents, workflow.id, &err)))
                return reply_error(req, &err);
        log_change("workflow saved", &workflow);
        return reply_workflow(req, 200, &workflow, NULL);
}

/* --- Delete ------------------------------------------------------------------------------------*/
/* Executions that were asked to stop and have not yet. */
struct stopping {
        pthread_mutex_t lock;
        pthread_cond_t none;
        size_t left;
};

static void one_stopped(void *arg)
{
        struct stopping *stopping = arg;

        pthread_mutex_lock(&stopping->lock);
        if (--stopping->left == 0)
                pthread_cond_signal(&stopping->none);
        pthread_mutex_unlock(&stopping->lock);
}

static enum status cancel_all(struct request *req, const char *workflow_id, const char *status,
                              struct stopping *stopping, struct error *err)
{
        struct app *app = app_of(req);
        struct page page = {.limit = 100};

        do {
                struct execution *rows = NULL;
                struct error ended = ERROR_INIT;
                size_t count = 0;

                if (store_list_executions(app->store, req->ctx, user_of(req)->id, workflow_id,
                                          status, &page, &rows, &count, err))
                        return err->status;
                for (size_t i = 0; i < count; i++) {
                        if (engine_cancel(app->engine, rows[i].id, &ended))
                                continue;
                        pthread_mutex_lock(&stopping->lock);
                        stopping->left++;
                        pthread_mutex_unlock(&stopping->lock);
                        engine_when_finished(app->engine, rows[i].id, one_stopped, stopping);
                }
                page.cursor = page.next_cursor;
        } while (page.cursor);
        return STATUS_OK;
}

/* Whoever follows an execution must see its end, and no model is to be paid for an answer that
 * nobody can read any more. A cancel takes effect at once, so this wait is one for commits. */
static enum status cancel_executions(struct request *req, const char *workflow_id,
                                     struct error *err)
{
        struct stopping stopping = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

        if (!cancel_all(req, workflow_id, "queued", &stopping, err))
                (void)!cancel_all(req, workflow_id, "running", &stopping, err);
        pthread_mutex_lock(&stopping.lock);
        while (stopping.left)
                pthread_cond_wait(&stopping.none, &stopping.lock);
        pthread_mutex_unlock(&stopping.lock);
        return err->status;
}

static struct reply delete_workflow(struct request *req)
{
        struct app *app = app_of(req);
        struct workflow workflow = {0};
        struct error err = ERROR_INIT;

        if (load(req, &workflow, &err) || cancel_executions(req, workflow.id, &err) ||
            documents_delete_workflow(app->documents, user_of(req)->id, workflow.id, &err) ||
            store_delete_workflow(app->store, user_of(req)->id, workflow.id, &err))
                return reply_error(req, &err);
        log_change("workflow deleted", &workflow);
        return reply_empty(req, 204);
}

/* --- Versions ----------------------------------------------------------------------------------*/
static void view_version(struct json_writer *json, const struct workflow_version *version)
{
        json_open_object(json, NULL);
        json_put_int(json, "version", version->version);
        json_put_text(json, "name", version->name);
        json_put_time(json, "created_at", version->created_at);
        if (version->graph)
                json_put_raw(json, "workflow_data", version->graph);
        json_close_object(json);
}

static struct reply list_versions(struct request *req)
{
        struct page page;
        struct workflow_version *rows = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;
        const char *id;

        if (id_param(req, "id", &id, &err) || page_read(req, &page, &err) ||
            store_list_versions(app_of(req)->store, req->ctx, user_of(req)->id, id, &page, &rows,
                                &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++)
                view_version(&view.json, &rows[i]);
        return view_list_reply(&view, &page);
}

static struct reply get_version(struct request *req)
{
        struct workflow_version row = {0};
        struct error err = ERROR_INIT;
        struct view view;
        const char *id;
        char *end;
        long long version = strtoll(request_param(req, "version"), &end, 10);

        if (*end || version < 1)
                error_set(&err, STATUS_NOT_FOUND, "There is no such version");
        if (err.status || id_param(req, "id", &id, &err) ||
            store_get_version(app_of(req)->store, req->ctx, user_of(req)->id, id, version, &row,
                              &err))
                return reply_error(req, &err);
        view_begin(&view, req);
        view_version(&view.json, &row);
        return view_reply(&view, 200);
}

/* --- Validate, export, import ------------------------------------------------------------------*/
static void compile(const char *graph_json, struct problems *problems)
{
        SCOPED_JSON json_t *data = json_loads(graph_json, 0, NULL);

        graph_unref(graph_compile(data, problems));
}

static struct reply validate(struct request *req)
{
        struct workflow workflow = {0};
        struct problems *problems = problems_new(req->ctx);
        struct error err = ERROR_INIT;
        struct view view;

        if (load(req, &workflow, &err))
                return reply_error(req, &err);
        compile(workflow.graph, problems);
        view_begin(&view, req);
        json_open_object(&view.json, NULL);
        json_put_bool(&view.json, "valid", problems->count == 0);
        view_problems(&view.json, "problems", problems);
        json_close_object(&view.json);
        return view_reply(&view, 200);
}

static struct reply export_workflow(struct request *req)
{
        struct workflow workflow = {0};
        struct error err = ERROR_INIT;
        struct view view;

        if (load(req, &workflow, &err))
                return reply_error(req, &err);
        view_begin(&view, req);
        json_open_object(&view.json, NULL);
        json_put_text(&view.json, "name", workflow.name);
        json_put_text(&view.json, "description", workflow.description);
        json_put_raw(&view.json, "workflow_data", workflow.graph);
        json_close_object(&view.json);
        return reply_header(view_reply(&view, 200), "Content-Disposition",
                            "attachment; filename=\"workflow.json\"");
}

/* A file of export or a bare React Flow graph; what else the file holds is another tool's. */
static enum status read_import(struct request *req, json_t *file, struct workflow_body *body,
                               struct error *err)
{
        json_t *data = json_object_get(file, "workflow_data");
        const char *name = json_get_text(file, "name", "Imported workflow");
        const char *description = json_get_text(file, "description", "");

        body->data = data ? data : file;
        if (!json_is_object(body->data) || !json_object_get(body->data, "nodes")) {
                problems_add(request_problems(req), NULL, data ? "workflow_data.nodes" : "nodes",
                             "is required");
                return error_set(err, STATUS_INVALID, "This is not a workflow: it has no nodes");
        }
        body->name = mem_strndup(req->ctx, name, utf8_floor(name, strlen(name), 200));
        body->description = mem_strndup(req->ctx, description,
                                        utf8_floor(description, strlen(description), 4000));
        if (!*body->name)
                body->name = mem_strdup(req->ctx, "Imported workflow");
        return STATUS_OK;
}

static struct reply import_workflow(struct request *req)
{
        SCOPED_JSON json_t *file = NULL;
        struct workflow_body body = {0};
        struct workflow workflow;
        struct problems *problems = problems_new(req->ctx);
        struct error err = ERROR_INIT;

        if (request_json(req, &file, &err) || read_import(req, file, &body, &err) ||
            create(req, &body, &workflow, &err))
                return reply_error(req, &err);
        compile(workflow.graph, problems);
        return reply_workflow(req, 201, &workflow, problems);
}

const struct route workflow_routes[] = {
        {METHOD_GET, "/api/v1/workflows", 0, 0, list_workflows, NULL},
        {METHOD_POST, "/api/v1/workflows", 0, GRAPH_BODY, create_workflow, NULL},
        {METHOD_POST, "/api/v1/workflows/import", 0, GRAPH_BODY, import_workflow, NULL},
        {METHOD_GET, "/api/v1/workflows/{id}", 0, 0, get_workflow, NULL},
        {METHOD_PUT, "/api/v1/workflows/{id}", 0, GRAPH_BODY, update_workflow, NULL},
        {METHOD_DELETE, "/api/v1/workflows/{id}", 0, 0, delete_workflow, NULL},
        {METHOD_POST, "/api/v1/workflows/{id}/validate", 0, SMALL_BODY, validate, NULL},
        {METHOD_GET, "/api/v1/workflows/{id}/export", 0, 0, export_workflow, NULL},
        {METHOD_GET, "/api/v1/workflows/{id}/versions", 0, 0, list_versions, NULL},
        {METHOD_GET, "/api/v1/workflows/{id}/versions/{version}", 0, 0, get_version, NULL},
        {0},
};
