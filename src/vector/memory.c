/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded engine: which collections are in memory, and for how long.
 *
 * Collections in use are pinned by a count; the rest go, least recently used first, when the sum
 * is over the bound. Everything is in the store, so dropping loses nothing. */
#include <assert.h>
#include <string.h>

#include "vector/collection.h"
#include "vector/vector_engine.h"

#define BYTES_MAX_DEFAULT ((size_t)512 * 1024 * 1024)

struct memory {
        struct vector base;
        struct store *store;
        size_t bytes_max;
        pthread_mutex_t lock;
        struct collection *collections;
        uint64_t uses;
};

static const struct vector_ops memory_ops;

static struct memory *downcast(struct vector *vector)
{
        assert(vector->ops == &memory_ops);
        return (struct memory *)vector;
}

/* --- The list ----------------------------------------------------------------------------------*/
static struct collection *find(struct memory *memory, const char *workflow_id, const char *model)
{
        struct collection *collection = memory->collections;

        while (collection && (strcmp(collection->workflow_id, workflow_id) != 0 ||
                              strcmp(collection->model, model) != 0))
                collection = collection->next;
        return collection;
}

static struct collection *collection_acquire(struct memory *memory, const char *workflow_id,
                                             const char *model)
{
        struct collection *collection;

        pthread_mutex_lock(&memory->lock);
        collection = find(memory, workflow_id, model);
        if (!collection) {
                collection = collection_new(workflow_id, model);
                collection->next = memory->collections;
                memory->collections = collection;
        }
        collection->users++;
        collection->last_used = ++memory->uses;
        pthread_mutex_unlock(&memory->lock);
        return collection;
}

static void take_out(struct memory *memory, struct collection *collection)
{
        struct collection **at = &memory->collections;

        while (*at != collection)
                at = &(*at)->next;
        *at = collection->next;
        collection->next = NULL;
        collection->dropped = true;
}

/* The one to drop next, or NULL if the sum is within the bound or all are in use. */
static struct collection *excess(struct memory *memory)
{
        struct collection *oldest = NULL;
        size_t sum = 0;

        for (struct collection *c = memory->collections; c; c = c->next) {
                sum += atomic_load(&c->bytes);
                if (!c->users && (!oldest || c->last_used < oldest->last_used))
                        oldest = c;
        }
        return sum > memory->bytes_max ? oldest : NULL;
}

static void collection_release(struct memory *memory, struct collection *collection)
{
        struct collection *garbage = NULL, *next;

        pthread_mutex_lock(&memory->lock);
        if (--collection->users == 0 && collection->dropped)
                garbage = collection;
        while ((next = excess(memory))) {
                take_out(memory, next);
                next->next = garbage;
                garbage = next;
        }
        pthread_mutex_unlock(&memory->lock);
        for (; garbage; garbage = next) {
                next = garbage->next;
                collection_free(garbage);
        }
}

/* --- The table ---------------------------------------------------------------------------------*/
static enum status memory_add(struct vector *vector, const char *workflow_id, const char *model,
                              size_t dims, const struct vector_item *items, size_t count,
                              struct error *err)
{
        struct memory *memory = downcast(vector);
        struct collection *collection = collection_acquire(memory, workflow_id, model);
        enum status status = collection_add(collection, memory->store, dims, items, count, err);

        collection_release(memory, collection);
        return status;
}

/* All collections of the workflow, pinned; an array below ctx. */
static struct collection **acquire_all(struct memory *memory, const void *ctx,
                                       const char *workflow_id, size_t *ret_count)
{
        struct collection **all = NULL;
        size_t count = 0;

        pthread_mutex_lock(&memory->lock);
        for (struct collection *c = memory->collections; c; c = c->next) {
                if (strcmp(c->workflow_id, workflow_id) != 0)
                        continue;
                all = mem_resize(ctx, all, struct collection *, count + 1);
                all[count++] = c;
                c->users++;
        }
        pthread_mutex_unlock(&memory->lock);
        *ret_count = count;
        return all;
}

static void memory_forget_document(struct vector *vector, const char *workflow_id,
                                   const char *document_id)
{
        SCOPED_MEM void *ctx = mem_root();
        struct memory *memory = downcast(vector);
        struct collection **all;
        struct vector_id document;
        struct error ignored = ERROR_INIT;
        size_t count;

        if (vector_id_parse(document_id, &document, &ignored))
                return;
        all = acquire_all(memory, ctx, workflow_id, &count);
        for (size_t i = 0; i < count; i++) {
                collection_forget_document(all[i], &document);
                collection_release(memory, all[i]);
        }
}

static void memory_forget_workflow(struct vector *vector, const char *workflow_id)
{
        SCOPED_MEM void *ctx = mem_root();
        struct memory *memory = downcast(vector);
        size_t count;
        struct collection **all = acquire_all(memory, ctx, workflow_id, &count);

        for (size_t i = 0; i < count; i++) {
                pthread_mutex_lock(&memory->lock);
                if (!all[i]->dropped)
                        take_out(memory, all[i]);
                pthread_mutex_unlock(&memory->lock);
                collection_release(memory, all[i]);
        }
}

static enum status memory_search(struct vector *vector, const void *ctx,
                                 const struct document_set *set, const char *model,
                                 const float *query, size_t dims, size_t limit,
                                 struct vector_hit **ret, size_t *ret_count, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        struct memory *memory = downcast(vector);
        struct collection *collection = collection_acquire(memory, set->workflow_id, model);
        struct vector_ids only = vector_ids_new(scratch, set->document_ids, set->document_count);
        struct best best = best_new(scratch, limit);
        enum status status = collection_load(collection, memory->store, memory->bytes_max, err);

        if (!status)
                status = collection_search(collection, memory->store,
                                           set->document_count ? &only : NULL, query, dims, &best,
                                           err);
        collection_release(memory, collection);
        if (status)
                return status;
        *ret_count = best.count;
        *ret = best_hits(&best, ctx);
        return STATUS_OK;
}

static void memory_close(struct vector *vector)
{
        struct memory *memory = downcast(vector);
        struct collection *next;

        for (struct collection *c = memory->collections; c; c = next) {
                next = c->next;
                collection_free(c);
        }
        pthread_mutex_destroy(&memory->lock);
}

static const struct vector_ops memory_ops = {
        .name = "memory",
        .add = memory_add,
        .forget_document = memory_forget_document,
        .forget_workflow = memory_forget_workflow,
        .search = memory_search,
        .close = memory_close,
};

enum status vector_memory_new(struct store *store, size_t bytes_max, struct vector **ret,
                              struct error *err)
{
        struct memory *memory = mem_new(NULL, struct memory);

        memory->base.ops = &memory_ops;
        memory->store = store;
        memory->bytes_max = bytes_max ? bytes_max : BYTES_MAX_DEFAULT;
        if (pthread_mutex_init(&memory->lock, NULL)) {
                mem_free(memory);
                return error_set(err, STATUS_INTERNAL, "cannot set up the vector engine");
        }
        *ret = &memory->base;
        return STATUS_OK;
}

size_t vector_memory_bytes(struct vector *vector)
{
        struct memory *memory = downcast(vector);
        size_t sum = 0;

        pthread_mutex_lock(&memory->lock);
        for (struct collection *c = memory->collections; c; c = c->next)
                sum += atomic_load(&c->bytes);
        pthread_mutex_unlock(&memory->lock);
        return sum;
}
