/* SPDX-License-Identifier: Apache-2.0 */
/* Views over the JSON writer: no tree is built, stored JSON goes through as text. */
#include "api/views.h"

#include <errno.h>
#include <stdlib.h>

enum { PAGE_DEFAULT = 20, PAGE_MAX = 100 };

void view_begin(struct view *view, struct request *req)
{
        view->req = req;
        view->buffer = BUFFER_INIT(req->ctx, VIEW_MAX);
        view->json = JSON_WRITER(&view->buffer);
}

struct reply view_reply(struct view *view, unsigned http_status)
{
        struct error err = ERROR_INIT;

        if (buffer_check(&view->buffer, "The answer", &err))
                return reply_error(view->req, &err);
        return reply_text(view->req, http_status, "application/json", view->buffer.data,
                          view->buffer.length);
}

void view_list_begin(struct view *view, struct request *req)
{
        view_begin(view, req);
        json_open_object(&view->json, NULL);
        json_open_array(&view->json, "items");
}

struct reply view_list_reply(struct view *view, const struct page *page)
{
        json_close_array(&view->json);
        json_put_text(&view->json, "next_cursor", page->next_cursor);
        json_put_int(&view->json, "total", page->total);
        json_close_object(&view->json);
        return view_reply(view, 200);
}

enum status page_read(struct request *req, struct page *ret, struct error *err)
{
        const char *limit = request_query(req, "limit");
        char *end = NULL;

        *ret = (struct page){.limit = PAGE_DEFAULT, .cursor = request_query(req, "cursor")};
        if (!limit)
                return STATUS_OK;
        errno = 0;
        ret->limit = strtol(limit, &end, 10);
        if (errno || end == limit || *end || ret->limit < 1 || ret->limit > PAGE_MAX) {
                problems_add(request_problems(req), NULL, "limit", "must be between 1 and %d",
                             PAGE_MAX);
                return error_set(err, STATUS_INVALID, "limit must be between 1 and %d", PAGE_MAX);
        }
        return STATUS_OK;
}

void view_user(struct json_writer *json, const struct user *user)
{
        json_open_object(json, NULL);
        json_put_text(json, "id", user->id);
        json_put_text(json, "email", user->email);
        json_put_text(json, "full_name", user->full_name);
        json_put_text(json, "role", user->role);
        json_put_time(json, "created_at", user->created_at);
        json_close_object(json);
}

static void put_workflow(struct json_writer *json, const struct workflow *workflow)
{
        json_put_text(json, "id", workflow->id);
        json_put_text(json, "name", workflow->name);
        json_put_text(json, "description", workflow->description);
        if (workflow->graph)
                json_put_raw(json, "workflow_data", workflow->graph);
        json_put_int(json, "version", workflow->version);
        json_put_time(json, "created_at", workflow->created_at);
        json_put_time(json, "updated_at", workflow->updated_at);
}

void view_workflow(struct json_writer *json, const struct workflow *workflow,
                   const struct problems *problems)
{
        json_open_object(json, NULL);
        put_workflow(json, workflow);
        if (problems)
                view_problems(json, "problems", problems);
        json_close_object(json);
}

void view_workflow_summary(struct json_writer *json, const struct workflow_summary *summary)
{
        json_open_object(json, NULL);
        put_workflow(json, &summary->workflow);
        if (summary->last_execution_id) {
                json_open_object(json, "last_execution");
                json_put_text(json, "id", summary->last_execution_id);
                json_put_text(json, "status", summary->last_status);
                json_put_time(json, "finished_at", summary->last_finished_at);
                json_close_object(json);
        } else {
                json_put_raw(json, "last_execution", NULL);
        }
        json_close_object(json);
}

static void view_step(struct json_writer *json, const struct step *step)
{
        json_open_object(json, NULL);
        json_put_text(json, "node_id", step->node_id);
        json_put_text(json, "type", step->type);
        json_put_text(json, "status", step->status);
        json_put_int(json, "attempt", step->attempt);
        json_put_time(json, "started_at", step->started_at);
        json_put_time(json, "finished_at", step->finished_at);
        json_put_raw(json, "input", step->input);
        json_put_raw(json, "output", step->output);
        json_put_raw(json, "usage", step->usage);
        json_put_raw(json, "error", step->error);
        json_close_object(json);
}

void view_execution(struct json_writer *json, const struct execution *execution,
                    const struct step *steps, size_t count)
{
        json_open_object(json, NULL);
        json_put_text(json, "id", execution->id);
        json_put_text(json, "workflow_id", execution->workflow_id);
        json_put_int(json, "workflow_version", execution->workflow_version);
        json_put_text(json, "status", execution->status);
        json_put_text(json, "user_input", execution->user_input);
        if (steps)
                json_put_raw(json, "output", execution->output);
        json_put_raw(json, "error", execution->error);
        json_put_raw(json, "usage", execution->usage);
        json_put_time(json, "created_at", execution->created_at);
        json_put_time(json, "started_at", execution->started_at);
        json_put_time(json, "finished_at", execution->finished_at);
        if (steps) {
                json_open_array(json, "steps");
                for (size_t i = 0; i < count; i++)
                        view_step(json, &steps[i]);
                json_close_array(json);
        }
        json_close_object(json);
}

/* 0 means unknown or none at rest, and is null outside. */
static void put_count(struct json_writer *json, const char *name, int64_t count)
{
        if (count > 0)
                json_put_int(json, name, count);
        else
                json_put_raw(json, name, NULL);
}

void view_document_status(struct json_writer *json, const struct document *document)
{
        json_open_object(json, NULL);
        json_put_text(json, "id", document->id);
        json_put_text(json, "status", document->status);
        json_put_real(json, "progress", document->progress);
        json_put_text(json, "error", document->error);
        put_count(json, "page_count", document->page_count);
        json_put_int(json, "chunk_count", document->chunk_count);
        json_put_time(json, "updated_at", document->updated_at);
        json_close_object(json);
}

void view_chunk(struct json_writer *json, const struct chunk *chunk)
{
        json_open_object(json, NULL);
        json_put_text(json, "id", chunk->id);
        json_put_text(json, "document_id", chunk->document_id);
        json_put_int(json, "ordinal", chunk->ordinal);
        json_put_text(json, "heading", chunk->heading ? chunk->heading : "");
        put_count(json, "page", chunk->page);
        json_put_int(json, "start", chunk->start);
        json_put_int(json, "end", chunk->end);
        json_put_text(json, "content", chunk->content);
        json_close_object(json);
}

void view_search_hit(struct json_writer *json, const struct chunk *chunk)
{
        json_open_object(json, NULL);
        json_put_text(json, "document_id", chunk->document_id);
        json_put_text(json, "chunk_id", chunk->id);
        json_put_text(json, "content", chunk->content);
        json_put_real(json, "score", chunk->score);
        json_open_object(json, "metadata");
        json_put_text(json, "filename", chunk->filename);
        put_count(json, "page", chunk->page);
        json_put_int(json, "start", chunk->start);
        json_put_int(json, "end", chunk->end);
        json_close_object(json);
        json_close_object(json);
}

void view_document(struct json_writer *json, const char *duplicate_of,
                   const struct document *document)
{
        json_open_object(json, NULL);
        json_put_text(json, "id", document->id);
        json_put_text(json, "filename", document->filename);
        json_put_text(json, "content_type", document->content_type);
        json_put_int(json, "file_size", document->file_size);
        json_put_text(json, "workflow_id", document->workflow_id);
        json_put_text(json, "status", document->status);
        json_put_text(json, "error", document->error);
        json_put_real(json, "progress", document->progress);
        put_count(json, "page_count", document->page_count);
        json_put_int(json, "chunk_count", document->chunk_count);
        json_put_text(json, "sha256", document->sha256);
        if (duplicate_of)
                json_put_text(json, "duplicate_of", duplicate_of);
        json_put_time(json, "created_at", document->created_at);
        json_put_time(json, "updated_at", document->updated_at);
        json_close_object(json);
}

void view_message(struct json_writer *json, const struct chat_message *message)
{
        json_open_object(json, NULL);
        json_put_text(json, "id", message->id);
        json_put_text(json, "role", message->role);
        json_put_text(json, "content", message->content);
        json_put_raw(json, "citations", message->citations ? message->citations : "[]");
        json_put_text(json, "status", message->status);
        json_put_text(json, "execution_id", message->execution_id);
        json_put_time(json, "created_at", message->created_at);
        json_close_object(json);
}

void view_problems(struct json_writer *json, const char *name, const struct problems *problems)
{
        json_open_array(json, name);
        for (size_t i = 0; i < problems->count; i++) {
                const struct problem *problem = &problems->items[i];

                json_open_object(json, NULL);
                json_put_text(json, "node_id", problem->node_id);
                json_put_text(json, "path", problem->path);
                json_put_text(json, "message", problem->message);
                json_close_object(json);
        }
        json_close_array(json);
}
