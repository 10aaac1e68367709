/* SPDX-License-Identifier: Apache-2.0 */
/* Keyword search over chunks by BM25. What only SQLite's FTS5 and JSON functions can do is here. */
#include "store/chunk_rows.h"
#include "store/text_query.h"

static const struct row_type hit_type = {"chunk", chunk_columns, CHUNK_COLUMN_COUNT,
                                         sizeof(struct chunk)};

/* ["id", …], or NULL for all documents of the workflow. */
static char *document_list(const void *ctx, const struct document_set *set)
{
        struct buffer out = BUFFER_INIT(ctx, 16 * 1024 * 1024);

        if (!set->document_count)
                return NULL;
        for (size_t i = 0; i < set->document_count; i++) {
                buffer_char(&out, i ? ',' : '[');
                buffer_json(&out, set->document_ids[i]);
        }
        buffer_char(&out, ']');
        return out.data;
}

/* The index comes first in the join, and gives its rows in the order of rank: the rest is looked up
 * for the best ones only. */
static const char search_sql[] =
        "SELECT " CHUNK_COLUMNS ", -f.rank FROM chunk_index f"
        " CROSS JOIN chunks c ON c.number = f.rowid"
        " CROSS JOIN documents d ON d.id = c.document_id"
        " WHERE f.chunk_index MATCH ?1 AND d.status = 'ready' AND d.deleted_at = 0"
        " AND (?2 IS NULL OR d.id IN (SELECT value FROM json_each(?2)))"
        " ORDER BY f.rank LIMIT ?3";

enum status store_search_chunks(struct store *store, const void *ctx,
                                const struct document_set *set, const char *text, size_t limit,
                                struct chunk **ret, size_t *ret_count, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        char *match = text_query_new(scratch, text, set->workflow_id);
        const struct row_query query = {
                search_sql,
                DB_ARGS(DB_TEXT(match), DB_TEXT(document_list(scratch, set)), DB_INT(limit)),
                &hit_type, ctx};

        if (!match) {
                *ret = NULL;
                *ret_count = 0;
                return STATUS_OK;
        }
        return store_get_rows(store, &query, (void **)ret, ret_count, err);
}

struct set_state {
        const char *workflow_id, *documents;
        int64_t any, processing;
};

static enum status read_set_state(struct db_conn *conn, void *arg, struct error *err)
{
        static const char any_sql[] =
                "SELECT 1 FROM documents d WHERE d.workflow_id = ?1 AND d.status = 'ready'"
                " AND d.chunk_count > 0 AND d.deleted_at = 0"
                " AND (?2 IS NULL OR d.id IN (SELECT value FROM json_each(?2))) LIMIT 1";
        static const char processing_sql[] =
                "SELECT 1 FROM documents WHERE workflow_id = ?1"
                " AND status NOT IN ('ready', 'failed') AND deleted_at = 0 LIMIT 1";
        struct set_state *state = arg;

        if (row_get_int(conn, any_sql,
                        DB_ARGS(DB_TEXT(state->workflow_id), DB_TEXT(state->documents)), 0,
                        &state->any, err))
                return err->status;
        return row_get_int(conn, processing_sql, DB_ARGS(DB_TEXT(state->workflow_id)), 0,
                           &state->processing, err);
}

enum status store_set_state(struct store *store, const struct document_set *set, bool *ret_any,
                            bool *ret_processing, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        struct set_state state = {set->workflow_id, document_list(scratch, set), 0, 0};

        if (db_read(store->db, read_set_state, &state, err))
                return err->status;
        *ret_any = state.any != 0;
        *ret_processing = state.processing != 0;
        return STATUS_OK;
}
