/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors of one collection in memory, in blocks of equal size, scanned exactly.
 *
 * Not locked: the caller lets many threads search or one change. */
#pragma once

#include "vector/best.h"

struct rows;

/* Its own talloc root. */
struct rows *rows_new(size_t dims) MUST_USE;
struct rows *rows_free(struct rows *rows);
size_t rows_dims(const struct rows *rows);
size_t rows_count(const struct rows *rows);
size_t rows_bytes(const struct rows *rows);

/* Adds a vector whose chunk is known to be new. */
void rows_append(struct rows *rows, const struct vector_id *chunk, const struct vector_id *document,
                 const float *values);
/* Adds a vector, or replaces the one that this chunk of this document has. */
void rows_put(struct rows *rows, const struct vector_id *chunk, const struct vector_id *document,
              const float *values);
void rows_remove_document(struct rows *rows, const struct vector_id *document);

/* Offers to `best` (empty when given) what belongs there. `only` NULL: all documents. */
void rows_search(const struct rows *rows, const struct vector_ids *only, const float *query,
                 struct best *best);
