/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks and their embeddings. Triggers of the schema keep the keyword index in step with the
 * chunks, so that no way of removing them can leave words behind. */
#include <string.h>

#include "store/chunk_rows.h"

const struct column chunk_columns[CHUNK_COLUMN_COUNT] = {
        INT_COLUMN(struct chunk, ordinal),      TEXT_COLUMN(struct chunk, id),
        TEXT_COLUMN(struct chunk, document_id), TEXT_COLUMN(struct chunk, content),
        TEXT_COLUMN(struct chunk, heading),     INT_COLUMN(struct chunk, page),
        INT_COLUMN(struct chunk, start),        INT_COLUMN(struct chunk, end),
        TEXT_COLUMN(struct chunk, filename),    REAL_COLUMN(struct chunk, score),
};
static const struct row_type chunk_type = {"chunk", chunk_columns, CHUNK_COLUMN_COUNT - 1,
                                           sizeof(struct chunk)};

/* --- Adding -----------------------------------------------------------------------------------*/
struct add_chunks {
        const char *document_id, *workflow_id;
        const struct chunk *chunks;
        size_t count;
};

static enum status add_chunk(struct db_conn *conn, const struct add_chunks *add,
                             const struct chunk *chunk, struct error *err)
{
        static const char sql[] =
                "INSERT INTO chunks (id, document_id, workflow_id, ordinal, page, start_offset,"
                " end_offset, heading, content)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(?8, ''), ?9)";

        return db_exec(conn, sql,
                       DB_ARGS(DB_TEXT(chunk->id), DB_TEXT(add->document_id),
                               DB_TEXT(add->workflow_id), DB_INT(chunk->ordinal),
                               DB_INT(chunk->page), DB_INT(chunk->start), DB_INT(chunk->end),
                               DB_TEXT(chunk->heading), DB_TEXT(chunk->content)),
                       NULL, err);
}

static enum status add_chunks(struct db_conn *conn, void *arg, struct error *err)
{
        static const char count_sql[] = "UPDATE documents SET chunk_count = chunk_count + ?2"
                                        " WHERE id = ?1 AND deleted_at = 0";
        const struct add_chunks *add = arg;

        if (row_must_change(conn, count_sql, DB_ARGS(DB_TEXT(add->document_id), DB_INT(add->count)),
                            "document", err))
                return err->status;
        for (size_t i = 0; i < add->count; i++) {
                if (add_chunk(conn, add, &add->chunks[i], err))
                        return err->status;
        }
        return STATUS_OK;
}

enum status store_add_chunks(struct store *store, const char *document_id, const char *workflow_id,
                             const struct chunk *chunks, size_t count, struct error *err)
{
        struct add_chunks add = {document_id, workflow_id, chunks, count};

        return db_write(store->db, add_chunks, &add, err);
}

/* --- Reading ----------------------------------------------------------------------------------*/
enum status store_list_chunks(struct store *store, const void *ctx, const char *document_id,
                              struct page *page, struct chunk **ret, size_t *ret_count,
                              struct error *err)
{
        const struct page_query query = {
                .sql = "SELECT " CHUNK_COLUMNS CHUNK_TABLES
                       " WHERE c.document_id = ?1 AND d.deleted_at = 0 AND c.ordinal > ?2"
                       " ORDER BY c.ordinal LIMIT ?3",
                .count_sql = "SELECT count(*)" CHUNK_TABLES
                             " WHERE c.document_id = ?1 AND d.deleted_at = 0",
                .filters = DB_ARGS(DB_TEXT(document_id)),
                .type = &chunk_type,
                .ctx = ctx,
                .order = PAGE_UP,
        };

        return store_get_page(store, &query, page, (void **)ret, ret_count, err);
}

struct get_chunks {
        const char *const *ids;
        size_t id_count;
        struct chunk *items;
        size_t count;
};

static enum status get_chunks(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] =
                "SELECT " CHUNK_COLUMNS CHUNK_TABLES " WHERE c.id = ?1 AND d.deleted_at = 0";
        struct get_chunks *get = arg;

        for (size_t i = 0; i < get->id_count; i++) {
                const struct row_query query = {sql, DB_ARGS(DB_TEXT(get->ids[i])), &chunk_type,
                                                get->items};

                if (row_get(conn, &query, &get->items[get->count], err) == STATUS_OK)
                        get->count++;
                else if (err->status != STATUS_NOT_FOUND)
                        return err->status;
                *err = ERROR_INIT;
        }
        return STATUS_OK;
}

enum status store_get_chunks(struct store *store, const void *ctx, const char *const *ids,
                             size_t id_count, struct chunk **ret, size_t *ret_count,
                             struct error *err)
{
        struct get_chunks get = {ids, id_count, mem_array(ctx, struct chunk, id_count), 0};

        if (db_read(store->db, get_chunks, &get, err)) {
                mem_free(get.items);
                return err->status;
        }
        *ret = get.items;
        *ret_count = get.count;
        return STATUS_OK;
}

/* --- Embeddings -------------------------------------------------------------------------------*/
struct add_embeddings {
        const char *model;
        size_t bytes; /* of a vector */
        const struct embedding *embeddings;
        size_t count;
};

static enum status add_embeddings(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] =
                "INSERT INTO embeddings (chunk_number, model, vector)"
                " SELECT number, ?2, ?3 FROM chunks WHERE id = ?1"
                " ON CONFLICT (chunk_number, model) DO UPDATE SET vector = excluded.vector";
        const struct add_embeddings *add = arg;

        for (size_t i = 0; i < add->count; i++) {
                const struct embedding *embedding = &add->embeddings[i];

                if (row_must_change(conn, sql,
                                    DB_ARGS(DB_TEXT(embedding->chunk_id), DB_TEXT(add->model),
                                            DB_BLOB(embedding->vector, add->bytes)),
                                    "chunk", err))
                        return err->status;
        }
        return STATUS_OK;
}

enum status store_add_embeddings(struct store *store, const char *model, size_t dims,
                                 const struct embedding *embeddings, size_t count,
                                 struct error *err)
{
        struct add_embeddings add = {model, dims * sizeof(float), embeddings, count};

        return db_write(store->db, add_embeddings, &add, err);
}

enum status store_missing_embeddings(struct store *store, const void *ctx, const char *document_id,
                                     const char *model, size_t limit, struct chunk **ret,
                                     size_t *ret_count, struct error *err)
{
        static const char sql[] =
                "SELECT " CHUNK_COLUMNS CHUNK_TABLES
                " WHERE c.document_id = ?1 AND d.deleted_at = 0 AND NOT EXISTS (SELECT 1"
                " FROM embeddings e WHERE e.chunk_number = c.number AND e.model = ?2)"
                " ORDER BY c.ordinal LIMIT ?3";
        const struct row_query query = {
                sql, DB_ARGS(DB_TEXT(document_id), DB_TEXT(model), DB_INT(limit)), &chunk_type,
                ctx};

        return store_get_rows(store, &query, (void **)ret, ret_count, err);
}

struct walk {
        const char *workflow_id, *model;
        embedding_fn *each;
        void *arg;
        float *vector; /* aligned copy: a blob in the database's page is not */
        size_t dims;
};

static void walk_row(struct walk *walk, const struct db_rows *rows)
{
        SCOPED_MEM void *ctx = mem_root();
        size_t bytes;
        const void *blob = db_blob(rows, 2, &bytes);

        if (bytes / sizeof(float) > walk->dims) {
                walk->dims = bytes / sizeof(float);
                mem_free(walk->vector);
                walk->vector = mem_array(NULL, float, walk->dims);
        }
        if (bytes)
                memcpy(walk->vector, blob, bytes);
        walk->each(db_text(rows, ctx, 0), db_text(rows, ctx, 1), walk->vector,
                   bytes / sizeof(float), walk->arg);
}

static enum status walk_embeddings(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] = "SELECT c.id, c.document_id, e.vector FROM documents d"
                                  " JOIN chunks c ON c.document_id = d.id"
                                  " JOIN embeddings e ON e.chunk_number = c.number AND e.model = ?2"
                                  " WHERE d.workflow_id = ?1 AND d.deleted_at = 0";
        struct walk *walk = arg;
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, sql, DB_ARGS(DB_TEXT(walk->workflow_id), DB_TEXT(walk->model)), &rows,
                     err))
                return err->status;
        while (db_next(&rows, err))
                walk_row(walk, &rows);
        return err->status;
}

enum status store_each_embedding(struct store *store, const char *workflow_id, const char *model,
                                 embedding_fn *each, void *arg, struct error *err)
{
        struct walk walk = {.workflow_id = workflow_id, .model = model, .each = each, .arg = arg};
        enum status status = db_read(store->db, walk_embeddings, &walk, err);

        mem_free(walk.vector);
        return status;
}
