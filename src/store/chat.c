/* SPDX-License-Identifier: Apache-2.0 */
/* Chat messages. */
#include "store/chat.h"

#include "base/clock.h"
#include "base/uuid.h"
#include "store/store_internal.h"

static const struct column message_columns[] = {
        TEXT_COLUMN(struct chat_message, id),        TEXT_COLUMN(struct chat_message, workflow_id),
        TEXT_COLUMN(struct chat_message, user_id),   TEXT_COLUMN(struct chat_message, role),
        TEXT_COLUMN(struct chat_message, content),   TEXT_COLUMN(struct chat_message, citations),
        TEXT_COLUMN(struct chat_message, status),    TEXT_COLUMN(struct chat_message, execution_id),
        INT_COLUMN(struct chat_message, created_at),
};
static const struct row_type message_type =
        ROW_TYPE(struct chat_message, "message", message_columns);

#define MESSAGE_COLUMNS                                                                            \
        "id, workflow_id, user_id, role, content, citations, status, execution_id, created_at"

enum status store_add_message(struct store *store, struct chat_message *message, const void *ctx,
                              struct error *err)
{
        static const char sql[] = "INSERT INTO chat_messages (" MESSAGE_COLUMNS ")"
                                  " VALUES (?1, ?2, ?3, ?4, coalesce(?5, ''), ?6, ?7, ?8, ?9)";
        struct chat_message row = *message;
        struct db_value values[ROW_VALUES_MAX];
        char id[UUID_TEXT_SIZE];

        if (!row.id)
                row.id = uuid_new(id);
        if (!row.created_at)
                row.created_at = clock_wall_ms();
        if (store_exec(store, sql, row_values(&message_type, &row, values), NULL, err))
                return err->status;
        if (!message->id)
                message->id = mem_strdup(ctx, row.id);
        message->created_at = row.created_at;
        return STATUS_OK;
}

enum status store_finish_message(struct store *store, const char *id, const char *content,
                                 const char *citations, const char *status, struct error *err)
{
        static const char sql[] = "UPDATE chat_messages SET content = coalesce(?2, ''),"
                                  " citations = ?3, status = ?4 WHERE id = ?1";

        return store_change(
                store, sql,
                DB_ARGS(DB_TEXT(id), DB_TEXT(content), DB_TEXT(citations), DB_TEXT(status)),
                message_type.name, err);
}

enum status store_list_messages(struct store *store, const void *ctx, const char *user_id,
                                const char *workflow_id, struct page *page,
                                struct chat_message **ret, size_t *ret_count, struct error *err)
{
        const struct page_query query = {
                .sql = "SELECT " MESSAGE_COLUMNS " FROM chat_messages"
                       " WHERE workflow_id = ?1 AND user_id = ?2 AND id < ?3"
                       " ORDER BY id DESC LIMIT ?4",
                .count_sql = "SELECT count(*) FROM chat_messages"
                             " WHERE workflow_id = ?1 AND user_id = ?2",
                .filters = DB_ARGS(DB_TEXT(workflow_id), DB_TEXT(user_id)),
                .type = &message_type,
                .ctx = ctx,
        };

        return store_get_page(store, &query, page, (void **)ret, ret_count, err);
}

enum status store_clear_messages(struct store *store, const char *user_id, const char *workflow_id,
                                 struct error *err)
{
        static const char sql[] =
                "DELETE FROM chat_messages WHERE workflow_id = ?1 AND user_id = ?2";

        return store_exec(store, sql, DB_ARGS(DB_TEXT(workflow_id), DB_TEXT(user_id)), NULL, err);
}
