/* SPDX-License-Identifier: Apache-2.0 */
/* Chat: the conversation of one user with one workflow. */
#pragma once

#include "store/store.h"

struct chat_message {
        char *id, *workflow_id, *user_id;
        char *role; /* "user" or "assistant" */
        char *content;
        char *citations;    /* JSON array text */
        char *status;       /* "complete", "failed" or "pending" (the answer is being written) */
        char *execution_id; /* NULL on user messages whose run never began */
        int64_t created_at;
};

/* Fills id and created_at when not set. */
enum status store_add_message(struct store *store, struct chat_message *message, const void *ctx,
                              struct error *err) MUST_USE;
/* Sets content, citations and status of a message. */
enum status store_finish_message(struct store *store, const char *id, const char *content,
                                 const char *citations, const char *status,
                                 struct error *err) MUST_USE;
/* Newest first. */
enum status store_list_messages(struct store *store, const void *ctx, const char *user_id,
                                const char *workflow_id, struct page *page,
                                struct chat_message **ret, size_t *ret_count,
                                struct error *err) MUST_USE;
enum status store_clear_messages(struct store *store, const char *user_id, const char *workflow_id,
                                 struct error *err) MUST_USE;
