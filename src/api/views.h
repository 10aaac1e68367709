/* SPDX-License-Identifier: Apache-2.0 */
/* Views: stored rows as the JSON of api/openapi.yaml, and the shape of lists. */
#pragma once

#include "api/app.h"
#include "base/json_writer.h"
#include "store/chat.h"
#include "store/documents.h"

enum { VIEW_MAX = 64 * 1024 * 1024 }; /* bytes of one response */

/* A response body that is being written, below req->ctx. */
struct view {
        struct request *req;
        struct buffer buffer;
        struct json_writer json;
};

/* `view` must stay where it is until view_reply. */
void view_begin(struct view *view, struct request *req);
struct reply view_reply(struct view *view, unsigned http_status) MUST_USE;

/* {items:[…], next_cursor, total}: begin, one view_… call an item with name NULL, end. */
void view_list_begin(struct view *view, struct request *req);
struct reply view_list_reply(struct view *view, const struct page *page) MUST_USE;

/* `limit` and `cursor` of the query. */
enum status page_read(struct request *req, struct page *ret, struct error *err) MUST_USE;

void view_user(struct json_writer *json, const struct user *user);
/* `problems` NULL leaves them out. */
void view_workflow(struct json_writer *json, const struct workflow *workflow,
                   const struct problems *problems);
void view_workflow_summary(struct json_writer *json, const struct workflow_summary *summary);
/* `steps` NULL leaves out the output too: a row of a list. */
void view_execution(struct json_writer *json, const struct execution *execution,
                    const struct step *steps, size_t count);
void view_document(struct json_writer *json, const char *duplicate_of,
                   const struct document *document);
void view_document_status(struct json_writer *json, const struct document *document);
void view_chunk(struct json_writer *json, const struct chunk *chunk);
void view_search_hit(struct json_writer *json, const struct chunk *chunk);
void view_message(struct json_writer *json, const struct chat_message *message);

/* Problems as the array `name` of {node_id, path, message}. */
void view_problems(struct json_writer *json, const char *name, const struct problems *problems);
