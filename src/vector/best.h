/* SPDX-License-Identifier: Apache-2.0 */
/* The best few of many scores: a heap with the worst of the kept ones on top. Equal scores are
 * ordered by id, so that the same question has the same answer. */
#pragma once

#include "vector/id.h"
#include "vector/vector.h"

struct scored {
        float score;
        struct vector_id id;
};

struct best {
        size_t limit, count;
        struct scored *items;
};

struct best best_new(const void *ctx, size_t limit);
void best_offer(struct best *best, float score, const struct vector_id *id);
/* Scores below this cannot enter any more; -INFINITY while there is room. */
float best_floor(const struct best *best);
/* Best first, as strings below ctx. `best` is used up. */
struct vector_hit *best_hits(struct best *best, const void *ctx);
