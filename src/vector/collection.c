/* SPDX-License-Identifier: Apache-2.0 */
#include "vector/collection.h"

#include "vector/scan.h"

struct collection *collection_new(const char *workflow_id, const char *model)
{
        struct collection *collection = mem_new(NULL, struct collection);

        collection->workflow_id = mem_strdup(collection, workflow_id);
        collection->model = mem_strdup(collection, model);
        pthread_mutex_init(&collection->change, NULL);
        pthread_rwlock_init(&collection->lock, NULL);
        return collection;
}

struct collection *collection_free(struct collection *collection)
{
        if (!collection)
                return NULL;
        rows_free(collection->rows);
        pthread_mutex_destroy(&collection->change);
        pthread_rwlock_destroy(&collection->lock);
        return mem_free(collection);
}

static enum status check_same_dims(size_t have, size_t given, struct error *err)
{
        if (have == given)
                return STATUS_OK;
        return error_set(err, STATUS_INVALID,
                         "the embedding model gives %zu numbers, the collection was made with %zu",
                         given, have);
}

/* Call with `change` held. */
static void publish(struct collection *collection, struct rows *rows, bool too_large)
{
        struct rows *before;

        pthread_rwlock_wrlock(&collection->lock);
        before = collection->rows;
        collection->rows = rows;
        collection->loaded = true;
        collection->too_large = too_large;
        atomic_store(&collection->bytes, rows ? rows_bytes(rows) : 0);
        pthread_rwlock_unlock(&collection->lock);
        rows_free(before);
}

/* --- Loading -----------------------------------------------------------------------------------*/
struct loading {
        struct rows *rows;
        size_t bytes_max;
        bool too_large;
};

static void load_one(const char *chunk_id, const char *document_id, const float *values,
                     size_t dims, void *arg)
{
        struct loading *loading = arg;
        struct vector_id chunk, document;
        struct error ignored = ERROR_INIT;

        if (loading->too_large || vector_id_parse(chunk_id, &chunk, &ignored) ||
            vector_id_parse(document_id, &document, &ignored))
                return;
        if (!loading->rows)
                loading->rows = rows_new(dims);
        /* Left by a model that changed its size under the same name: of no use to a search. */
        if (rows_dims(loading->rows) != dims)
                return;
        rows_append(loading->rows, &chunk, &document, values);
        if (rows_bytes(loading->rows) > loading->bytes_max) {
                loading->rows = rows_free(loading->rows);
                loading->too_large = true;
        }
}

static enum status load(struct collection *collection, struct store *store, size_t bytes_max,
                        struct error *err)
{
        struct loading loading = {.bytes_max = bytes_max};

        if (store_each_embedding(store, collection->workflow_id, collection->model, load_one,
                                 &loading, err)) {
                rows_free(loading.rows);
                return err->status;
        }
        publish(collection, loading.rows, loading.too_large);
        return STATUS_OK;
}

enum status collection_load(struct collection *collection, struct store *store, size_t bytes_max,
                            struct error *err)
{
        enum status status = STATUS_OK;

        pthread_mutex_lock(&collection->change);
        if (!collection->loaded)
                status = load(collection, store, bytes_max, err);
        pthread_mutex_unlock(&collection->change);
        return status;
}

/* --- Changing ----------------------------------------------------------------------------------*/
struct parsed {
        struct vector_id chunk, document;
};

static enum status parse_items(const struct vector_item *items, size_t count, struct parsed *parsed,
                               struct embedding *embeddings, struct error *err)
{
        for (size_t i = 0; i < count; i++) {
                if (vector_id_parse(items[i].chunk_id, &parsed[i].chunk, err) ||
                    vector_id_parse(items[i].document_id, &parsed[i].document, err))
                        return err->status;
                embeddings[i].chunk_id = (char *)items[i].chunk_id;
                embeddings[i].vector = items[i].values;
        }
        return STATUS_OK;
}

/* Call with `change` held. */
static void put_rows(struct collection *collection, size_t dims, const struct vector_item *items,
                     const struct parsed *parsed, size_t count)
{
        if (!collection->loaded || collection->too_large)
                return;
        pthread_rwlock_wrlock(&collection->lock);
        if (!collection->rows)
                collection->rows = rows_new(dims);
        for (size_t i = 0; i < count; i++)
                rows_put(collection->rows, &parsed[i].chunk, &parsed[i].document, items[i].values);
        atomic_store(&collection->bytes, rows_bytes(collection->rows));
        pthread_rwlock_unlock(&collection->lock);
}

static enum status add_locked(struct collection *collection, struct store *store, size_t dims,
                              const struct vector_item *items, const struct parsed *parsed,
                              const struct embedding *embeddings, size_t count, struct error *err)
{
        if (collection->rows && rows_count(collection->rows) &&
            check_same_dims(rows_dims(collection->rows), dims, err))
                return err->status;
        if (store_add_embeddings(store, collection->model, dims, embeddings, count, err))
                return err->status;
        put_rows(collection, dims, items, parsed, count);
        return STATUS_OK;
}

enum status collection_add(struct collection *collection, struct store *store, size_t dims,
                           const struct vector_item *items, size_t count, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct parsed *parsed = mem_array(ctx, struct parsed, count);
        struct embedding *embeddings = mem_array(ctx, struct embedding, count);
        enum status status;

        if (parse_items(items, count, parsed, embeddings, err))
                return err->status;
        pthread_mutex_lock(&collection->change);
        status = add_locked(collection, store, dims, items, parsed, embeddings, count, err);
        pthread_mutex_unlock(&collection->change);
        return status;
}

void collection_forget_document(struct collection *collection, const struct vector_id *document)
{
        pthread_mutex_lock(&collection->change);
        pthread_rwlock_wrlock(&collection->lock);
        if (collection->rows) {
                rows_remove_document(collection->rows, document);
                atomic_store(&collection->bytes, rows_bytes(collection->rows));
        }
        /* What was too large may fit now: the next search tries again. */
        if (collection->too_large)
                collection->loaded = collection->too_large = false;
        pthread_rwlock_unlock(&collection->lock);
        pthread_mutex_unlock(&collection->change);
}

/* --- Searching ---------------------------------------------------------------------------------*/
struct walk {
        const struct vector_ids *only;
        const float *query;
        size_t dims;
        struct best *best;
};

static void walk_one(const char *chunk_id, const char *document_id, const float *values,
                     size_t dims, void *arg)
{
        struct walk *walk = arg;
        struct vector_id chunk, document;
        struct error ignored = ERROR_INIT;

        if (dims != walk->dims || vector_id_parse(chunk_id, &chunk, &ignored) ||
            vector_id_parse(document_id, &document, &ignored))
                return;
        if (walk->only && !vector_ids_have(walk->only, &document))
                return;
        best_offer(walk->best, scan_dot(values, walk->query, dims), &chunk);
}

static enum status search_store(struct collection *collection, struct store *store,
                                const struct vector_ids *only, const float *query, size_t dims,
                                struct best *best, struct error *err)
{
        struct walk walk = {.only = only, .query = query, .dims = dims, .best = best};

        return store_each_embedding(store, collection->workflow_id, collection->model, walk_one,
                                    &walk, err);
}

enum status collection_search(struct collection *collection, struct store *store,
                              const struct vector_ids *only, const float *query, size_t dims,
                              struct best *best, struct error *err)
{
        enum status status = STATUS_OK;
        bool too_large;

        pthread_rwlock_rdlock(&collection->lock);
        too_large = !collection->loaded || collection->too_large;
        if (!too_large && collection->rows && rows_count(collection->rows)) {
                status = check_same_dims(rows_dims(collection->rows), dims, err);
                if (!status)
                        rows_search(collection->rows, only, query, best);
        }
        pthread_rwlock_unlock(&collection->lock);
        if (too_large)
                return search_store(collection, store, only, query, dims, best, err);
        return status;
}
