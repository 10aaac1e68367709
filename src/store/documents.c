/* SPDX-License-Identifier: Apache-2.0 */
/* Documents' rows: what was uploaded and how far its processing is. */
#include "store/documents.h"

#include "base/clock.h"
#include "base/uuid.h"
#include "store/store_internal.h"

static const struct column document_columns[] = {
        TEXT_COLUMN(struct document, id),           TEXT_COLUMN(struct document, owner_id),
        TEXT_COLUMN(struct document, workflow_id),  TEXT_COLUMN(struct document, filename),
        TEXT_COLUMN(struct document, content_type), TEXT_COLUMN(struct document, sha256),
        INT_COLUMN(struct document, file_size),     TEXT_COLUMN(struct document, status),
        TEXT_COLUMN(struct document, error),        REAL_COLUMN(struct document, progress),
        INT_COLUMN(struct document, page_count),    INT_COLUMN(struct document, chunk_count),
        INT_COLUMN(struct document, created_at),    INT_COLUMN(struct document, updated_at),
};
static const struct row_type document_type =
        ROW_TYPE(struct document, "document", document_columns);

#define DOCUMENT_COLUMNS                                                                           \
        "id, owner_id, workflow_id, filename, content_type, sha256, file_size, status, error,"     \
        " progress, page_count, chunk_count, created_at, updated_at"

/* --- Creating ---------------------------------------------------------------------------------*/
struct existing {
        char *id;
};

struct create {
        struct document row;
        const void *ctx;
        struct existing existing;
};

/* STATUS_NOT_FOUND: these bytes are new to the workflow. */
static enum status find_same(struct db_conn *conn, struct create *create, struct error *err)
{
        static const char sql[] = "SELECT id FROM documents WHERE workflow_id = ?1 AND sha256 = ?2"
                                  " AND status <> 'failed' AND deleted_at = 0 LIMIT 1";
        static const struct column columns[] = {TEXT_COLUMN(struct existing, id)};
        static const struct row_type type = ROW_TYPE(struct existing, "document", columns);
        const struct row_query query = {
                sql, DB_ARGS(DB_TEXT(create->row.workflow_id), DB_TEXT(create->row.sha256)), &type,
                create->ctx};

        return row_get(conn, &query, &create->existing, err);
}

static enum status create_document(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] = "INSERT INTO documents (" DOCUMENT_COLUMNS ") VALUES"
                                  " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        struct create *create = arg;
        struct db_value values[ROW_VALUES_MAX];

        if (find_same(conn, create, err) != STATUS_NOT_FOUND)
                return err->status;
        *err = ERROR_INIT;
        return db_exec(conn, sql, row_values(&document_type, &create->row, values), NULL, err);
}

enum status store_create_document(struct store *store, struct document *document, const void *ctx,
                                  char **existing_id, struct error *err)
{
        struct create create = {.row = *document, .ctx = ctx};
        char id[UUID_TEXT_SIZE], queued[] = "queued";

        *existing_id = NULL;
        if (!create.row.id)
                create.row.id = uuid_new(id);
        create.row.status = queued;
        create.row.created_at = create.row.updated_at = clock_wall_ms();
        if (db_write(store->db, create_document, &create, err))
                return err->status;
        if (create.existing.id) {
                *existing_id = create.existing.id;
                return STATUS_OK;
        }
        if (!document->id)
                document->id = mem_strdup(ctx, create.row.id);
        document->status = mem_strdup(ctx, queued);
        document->created_at = document->updated_at = create.row.created_at;
        return STATUS_OK;
}

/* --- Reading ----------------------------------------------------------------------------------*/
enum status store_get_document(struct store *store, const void *ctx, const char *owner_id,
                               const char *id, struct document *ret, struct error *err)
{
        static const char sql[] = "SELECT " DOCUMENT_COLUMNS " FROM documents WHERE id = ?1"
                                  " AND (?2 IS NULL OR owner_id = ?2) AND deleted_at = 0";
        const struct row_query query = {sql, DB_ARGS(DB_TEXT(id), DB_TEXT(owner_id)),
                                        &document_type, ctx};

        return store_get_row(store, &query, ret, err);
}

/* Two statements, so that each walks the index of its order. */
#define OF_WORKFLOW                                                                                \
        " FROM documents WHERE workflow_id = ?2 AND (?1 IS NULL OR owner_id = ?1)"                 \
        " AND deleted_at = 0"
#define OF_OWNER     " FROM documents WHERE owner_id = ?1 AND ?2 IS NULL AND deleted_at = 0"
#define PAGE_BELOW_3 " AND id < ?3 ORDER BY id DESC LIMIT ?4"

enum status store_list_documents(struct store *store, const void *ctx, const char *owner_id,
                                 const char *workflow_id, struct page *page, struct document **ret,
                                 size_t *ret_count, struct error *err)
{
        struct page_query query = {
                .sql = "SELECT " DOCUMENT_COLUMNS OF_OWNER PAGE_BELOW_3,
                .count_sql = "SELECT count(*)" OF_OWNER,
                .filters = DB_ARGS(DB_TEXT(owner_id), DB_TEXT(workflow_id)),
                .type = &document_type,
                .ctx = ctx,
        };

        if (workflow_id) {
                query.sql = "SELECT " DOCUMENT_COLUMNS OF_WORKFLOW PAGE_BELOW_3;
                query.count_sql = "SELECT count(*)" OF_WORKFLOW;
        }
        return store_get_page(store, &query, page, (void **)ret, ret_count, err);
}

enum status store_unfinished_documents(struct store *store, const void *ctx, struct document **ret,
                                       size_t *ret_count, struct error *err)
{
        static const char sql[] =
                "SELECT " DOCUMENT_COLUMNS " FROM documents"
                " WHERE status NOT IN ('ready', 'failed') AND deleted_at = 0 ORDER BY id";
        const struct row_query query = {sql, DB_NO_ARGS, &document_type, ctx};

        return store_get_rows(store, &query, (void **)ret, ret_count, err);
}

/* --- Processing -------------------------------------------------------------------------------*/
enum status store_set_document_status(struct store *store, const char *id, const char *status,
                                      const char *error, double progress, int64_t page_count,
                                      struct error *err)
{
        static const char sql[] =
                "UPDATE documents SET status = ?2, error = ?3, progress = ?4, page_count = ?5,"
                " updated_at = ?6 WHERE id = ?1 AND deleted_at = 0";

        return store_change(store, sql,
                            DB_ARGS(DB_TEXT(id), DB_TEXT(status), DB_TEXT(error), DB_REAL(progress),
                                    DB_INT(page_count), DB_INT(clock_wall_ms())),
                            document_type.name, err);
}
