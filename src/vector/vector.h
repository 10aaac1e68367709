/* SPDX-License-Identifier: Apache-2.0 */
/* Nearest neighbours over chunk embeddings, one collection a workflow and model.
 *
 * The embedded engine keeps collections in memory on top of the store's rows: loaded on first use,
 * dropped when others need the room, scanned exactly with SIMD. Any thread. */
#pragma once

#include "store/documents.h"

struct vector;

struct vector_item {
        const char *chunk_id, *document_id;
        const float *values; /* unit length */
};

struct vector_hit {
        char *chunk_id;
        float score; /* cosine, -1..1 */
};

enum status vector_new(struct store *store, struct vector **ret, struct error *err) MUST_USE;
struct vector *vector_free(struct vector *vector);

/* `model` is "provider/model". Durable when it returns (the rows are in the store). */
enum status vector_add(struct vector *vector, const char *workflow_id, const char *model,
                       size_t dims, const struct vector_item *items, size_t count,
                       struct error *err) MUST_USE;
/* Forgets a document's vectors (its rows go with the document). */
void vector_forget_document(struct vector *vector, const char *workflow_id,
                            const char *document_id);
void vector_forget_workflow(struct vector *vector, const char *workflow_id);
/* Best `limit` of the set, best first; none if the collection is empty. STATUS_INVALID when `dims`
 * is not the collection's. */
enum status vector_search(struct vector *vector, const void *ctx, const struct document_set *set,
                          const char *model, const float *query, size_t dims, size_t limit,
                          struct vector_hit **ret, size_t *ret_count, struct error *err) MUST_USE;
