/* SPDX-License-Identifier: Apache-2.0 */
/* One workflow's vectors of one model: a copy in memory of the store's rows, made when it is first
 * asked for. Any thread. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "vector/rows.h"

/* Lock order: `change` before `lock`. Whoever writes to the store holds `change` around that and
 * the change of `rows`, so that a load sees a row either in the store or from its writer, never
 * twice and never not. Searches hold only `lock`, shared. */
struct collection {
        struct collection *next;
        char *workflow_id, *model;
        unsigned users; /* guarded by the engine's lock, as are the next two */
        uint64_t last_used;
        bool dropped; /* not in the engine's list any more */
        pthread_mutex_t change;
        pthread_rwlock_t lock;
        struct rows *rows; /* NULL: not loaded, or nothing there */
        bool loaded;
        bool too_large; /* to be kept; searches read the store */
        atomic_size_t bytes;
};

struct collection *collection_new(const char *workflow_id, const char *model) MUST_USE;
struct collection *collection_free(struct collection *collection);

/* Durable when it returns. */
enum status collection_add(struct collection *collection, struct store *store, size_t dims,
                           const struct vector_item *items, size_t count,
                           struct error *err) MUST_USE;
void collection_forget_document(struct collection *collection, const struct vector_id *document);
/* Loads unless loaded; no more than `bytes_max`. */
enum status collection_load(struct collection *collection, struct store *store, size_t bytes_max,
                            struct error *err) MUST_USE;
enum status collection_search(struct collection *collection, struct store *store,
                              const struct vector_ids *only, const float *query, size_t dims,
                              struct best *best, struct error *err) MUST_USE;
