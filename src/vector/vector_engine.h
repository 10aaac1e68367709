/* SPDX-License-Identifier: Apache-2.0 */
/* What a vector engine implements. vector.c checks arguments, then calls through the table. */
#pragma once

#include "vector/vector.h"

enum { VECTOR_DIMS_MAX = 8192, VECTOR_LIMIT_MAX = 1000 };

struct vector_ops {
        const char *name;
        /* Each member has the contract of the function of vector.h with its name. Arguments are
         * checked: dims 1..VECTOR_DIMS_MAX, count and limit > 0, values finite. */
        enum status (*add)(struct vector *vector, const char *workflow_id, const char *model,
                           size_t dims, const struct vector_item *items, size_t count,
                           struct error *err) MUST_USE;
        void (*forget_document)(struct vector *vector, const char *workflow_id,
                                const char *document_id);
        void (*forget_workflow)(struct vector *vector, const char *workflow_id);
        /* *ret and *ret_count hold NULL and 0 when called. */
        enum status (*search)(struct vector *vector, const void *ctx,
                              const struct document_set *set, const char *model, const float *query,
                              size_t dims, size_t limit, struct vector_hit **ret, size_t *ret_count,
                              struct error *err) MUST_USE;
        /* Frees what the engine holds besides its talloc tree; the tree goes afterwards. */
        void (*close)(struct vector *vector);
};

/* Embedded first in each engine's own struct. */
struct vector {
        const struct vector_ops *ops;
};

/* The embedded engine. Collections past `bytes_max` in sum are dropped, least recently used first;
 * one that alone is larger is not kept but read from the store for each search. 0: 512 MiB. */
enum status vector_memory_new(struct store *store, size_t bytes_max, struct vector **ret,
                              struct error *err) MUST_USE;
/* Bytes of the collections held now. Of the embedded engine only. */
size_t vector_memory_bytes(struct vector *vector);
