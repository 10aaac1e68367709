/* SPDX-License-Identifier: Apache-2.0 */
/* Keyword search over chunks by BM25. What only SQLite's FTS5 and JSON functions can do is here. */
#include "store/chunk_rows.h"
#include "store/text_query.h"

static const struct row_type hit_type = {"chunk", chunk_columns, CHUNK_COLUMN_COUNT,
                                         sizeof(struct chunk)};

enum { DOCUMENT_LIST_MAX = 16 * 1024 * 1024 };

/* ["id", …], or NULL for all documents of the workflow. */
static char *document_list(const void *ctx, const struct document_set *set)
{
        struct buffer out = BUFFER_INIT(ctx, DOCUMENT_LIST_MAX);

        if (!set->document_count)
                return NULL;
        for (size_t i = 0; i < set->document_count; i++) {
                buffer_char(&out, i ? ',' : '[');
                buffer_json(&out, set->document_ids[i]);
        }
        buffer_char(&out, ']');
        return out.data;
}

/* --- Searching --------------------------------------------------------------------------------*/
struct search {
        const struct text_query *query;
        const char *documents;
        size_t limit;
        const void *ctx;
        void *items;
        size_t count;
};

/* The index comes first in the join, and gives its rows in the order of rank: the rest is looked up
 * for the best ones only. */
static enum status match(struct db_conn *conn, struct search *search, const char *expression,
                         double factor, struct error *err)
{
        static const char sql[] =
                "SELECT " CHUNK_COLUMNS ", -f.rank * ?4 FROM chunk_index f"
                " CROSS JOIN chunks c ON c.number = f.rowid"
                " CROSS JOIN documents d ON d.id = c.document_id"
                " WHERE f.chunk_index MATCH ?1 AND d.status = 'ready' AND d.deleted_at = 0"
                " AND (?2 IS NULL OR d.id IN (SELECT value FROM json_each(?2)))"
                " ORDER BY f.rank LIMIT ?3";
        const struct row_query query = {sql,
                                        DB_ARGS(DB_TEXT(expression), DB_TEXT(search->documents),
                                                DB_INT(search->limit), DB_REAL(factor)),
                                        &hit_type, search->ctx};

        return row_get_all(conn, &query, &search->items, &search->count, err);
}

/* Ranking costs far more than matching, for each chunk that matches, and words that are common in
 * the documents decide little. So where enough chunks have one of the rarer words, only those are
 * ranked, by all words: on 100,000 chunks some 6 times faster, with 99 % of the same first ten. */
enum { RARE_MAX = 2000, LED_PER_LIMIT = 4 };

/* *ret_total: chunks that have a leading word, about; 0 if leading would not help. */
static enum status choose_leads(struct db_conn *conn, const struct text_query *query,
                                bool lead[TEXT_QUERY_TERMS_MAX], size_t *ret_total,
                                struct error *err)
{
        static const char sql[] = "SELECT count(*) FROM (SELECT 1 FROM chunk_index"
                                  " WHERE chunk_index MATCH ?1 LIMIT ?2) AS bounded";
        size_t leads = 0, total = 0;

        for (size_t i = 0; i < text_query_count(query); i++) {
                int64_t count = 0;

                if (row_get_int(conn, sql,
                                DB_ARGS(DB_TEXT(text_query_term(query, i)), DB_INT(RARE_MAX)), 0,
                                &count, err))
                        return err->status;
                lead[i] = count < RARE_MAX;
                leads += lead[i];
                total += lead[i] ? (size_t)count : 0;
        }
        *ret_total = leads < text_query_count(query) ? total : 0;
        return STATUS_OK;
}

/* A db_fn. */
static enum status run_search(struct db_conn *conn, void *arg, struct error *err)
{
        struct search *search = arg;
        bool lead[TEXT_QUERY_TERMS_MAX];
        size_t total = 0;

        if (choose_leads(conn, search->query, lead, &total, err))
                return err->status;
        if (total >= LED_PER_LIMIT * search->limit) {
                if (match(conn, search, text_query_led(search->query, lead), 0.5, err))
                        return err->status;
                if (search->count == search->limit)
                        return STATUS_OK;
                /* They were in other documents. */
                search->items = mem_free(search->items);
        }
        return match(conn, search, text_query_any(search->query), 1, err);
}

enum status store_search_chunks(struct store *store, const void *ctx,
                                const struct document_set *set, const char *text, size_t limit,
                                struct chunk **ret, size_t *ret_count, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        struct search search = {
                .query = text_query_new(scratch, text, set->workflow_id),
                .documents = document_list(scratch, set),
                .limit = limit,
                .ctx = ctx,
        };

        if (search.query && db_read(store->db, run_search, &search, err))
                return err->status;
        *ret = search.items;
        *ret_count = search.count;
        return STATUS_OK;
}

/* --- The state of a set -----------------------------------------------------------------------*/
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
