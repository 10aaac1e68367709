/* SPDX-License-Identifier: Apache-2.0 */
/* Deletion of what has many rows below it.
 *
 * A workflow or document is first hidden, in one small write: from then on nobody sees it. Its rows
 * then go in slices, so that other writes pass in between however large it was, and its own row
 * last. If the program ends in the middle, the next start goes on from there. */
#include "base/clock.h"
#include "base/uuid.h"
#include "store/documents.h"
#include "store/store_internal.h"
#include "store/workflows.h"

/* Rows a slice: a few milliseconds of the writer. A chunk's words have to be taken out of the
 * index, an execution has steps and events below it. */
static const char chunks_sql[] = "DELETE FROM chunks WHERE number IN"
                                 " (SELECT number FROM chunks WHERE document_id = ?1 LIMIT 100)";
static const char executions_sql[] =
        "DELETE FROM executions WHERE id IN"
        " (SELECT id FROM executions WHERE workflow_id = ?1 LIMIT 100)";
static const char messages_sql[] =
        "DELETE FROM chat_messages WHERE id IN"
        " (SELECT id FROM chat_messages WHERE workflow_id = ?1 LIMIT 1000)";

static enum status delete_in_slices(struct store *store, const char *sql, const char *id,
                                    struct error *err)
{
        int64_t changed;

        do {
                if (store_exec(store, sql, DB_ARGS(DB_TEXT(id)), &changed, err))
                        return err->status;
        } while (changed);
        return STATUS_OK;
}

static enum status purge_document(struct store *store, const char *id, struct error *err)
{
        static const char row_sql[] = "DELETE FROM documents WHERE id = ?1";

        if (delete_in_slices(store, chunks_sql, id, err))
                return err->status;
        return store_exec(store, row_sql, DB_ARGS(DB_TEXT(id)), NULL, err);
}

struct hidden {
        char *id;
};

/* Purges every row that `sql` selects by `args`. */
static enum status purge_each(struct store *store, const char *sql, struct db_args args,
                              enum status (*purge)(struct store *, const char *, struct error *),
                              struct error *err)
{
        static const struct column columns[] = {TEXT_COLUMN(struct hidden, id)};
        static const struct row_type type = ROW_TYPE(struct hidden, "row", columns);
        SCOPED_MEM void *ctx = mem_root();
        const struct row_query query = {sql, args, &type, ctx};
        struct hidden *items = NULL;
        size_t count = 0;

        if (store_get_rows(store, &query, (void **)&items, &count, err))
                return err->status;
        for (size_t i = 0; i < count; i++) {
                if (purge(store, items[i].id, err))
                        return err->status;
        }
        return STATUS_OK;
}

static enum status purge_workflow(struct store *store, const char *id, struct error *err)
{
        static const char documents_sql[] = "SELECT id FROM documents WHERE workflow_id = ?1";
        static const char row_sql[] = "DELETE FROM workflows WHERE id = ?1";

        if (purge_each(store, documents_sql, DB_ARGS(DB_TEXT(id)), purge_document, err) ||
            delete_in_slices(store, executions_sql, id, err) ||
            delete_in_slices(store, messages_sql, id, err))
                return err->status;
        return store_exec(store, row_sql, DB_ARGS(DB_TEXT(id)), NULL, err);
}

enum status store_sweep_deleted(struct store *store, struct error *err)
{
        static const char workflows_sql[] = "SELECT id FROM workflows WHERE deleted_at > 0";
        static const char documents_sql[] = "SELECT id FROM documents WHERE deleted_at > 0";

        if (purge_each(store, workflows_sql, DB_NO_ARGS, purge_workflow, err))
                return err->status;
        return purge_each(store, documents_sql, DB_NO_ARGS, purge_document, err);
}

/* --- Hiding -----------------------------------------------------------------------------------*/
enum status store_clear_chunks(struct store *store, const char *document_id, struct error *err)
{
        static const char count_sql[] = "UPDATE documents SET chunk_count = 0 WHERE id = ?1";

        if (delete_in_slices(store, chunks_sql, document_id, err))
                return err->status;
        return store_exec(store, count_sql, DB_ARGS(DB_TEXT(document_id)), NULL, err);
}

enum status store_delete_document(struct store *store, const char *owner_id, const char *id,
                                  struct error *err)
{
        static const char hide_sql[] = "UPDATE documents SET deleted_at = ?3 WHERE id = ?1"
                                       " AND (?2 IS NULL OR owner_id = ?2) AND deleted_at = 0";

        if (store_change(store, hide_sql,
                         DB_ARGS(DB_TEXT(id), DB_TEXT(owner_id), DB_INT(clock_wall_ms())),
                         "document", err))
                return err->status;
        return purge_document(store, id, err);
}

struct hide {
        const char *owner_id, *id;
        int64_t now;
};

static enum status hide_workflow(struct db_conn *conn, void *arg, struct error *err)
{
        static const char workflow_sql[] = "UPDATE workflows SET deleted_at = ?3 WHERE id = ?1"
                                           " AND (?2 IS NULL OR owner_id = ?2) AND deleted_at = 0";
        static const char documents_sql[] =
                "UPDATE documents SET deleted_at = ?2 WHERE workflow_id = ?1 AND deleted_at = 0";
        const struct hide *hide = arg;

        if (row_must_change(conn, workflow_sql,
                            DB_ARGS(DB_TEXT(hide->id), DB_TEXT(hide->owner_id), DB_INT(hide->now)),
                            "workflow", err))
                return err->status;
        return db_exec(conn, documents_sql, DB_ARGS(DB_TEXT(hide->id), DB_INT(hide->now)), NULL,
                       err);
}

enum status store_delete_workflow(struct store *store, const char *owner_id, const char *id,
                                  struct error *err)
{
        struct hide hide = {owner_id, id, clock_wall_ms()};

        if (db_write(store->db, hide_workflow, &hide, err))
                return err->status;
        return purge_workflow(store, id, err);
}
