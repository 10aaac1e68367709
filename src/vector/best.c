/* SPDX-License-Identifier: Apache-2.0 */
#include "vector/best.h"

#include <math.h>
#include <stdlib.h>

struct best best_new(const void *ctx, size_t limit)
{
        return (struct best){.limit = limit, .items = mem_array(ctx, struct scored, limit)};
}

float best_floor(const struct best *best)
{
        return best->count < best->limit ? -INFINITY : best->items[0].score;
}

/* Negative when `a` belongs before `b`. */
static int rank(const struct scored *a, const struct scored *b)
{
        if (a->score > b->score)
                return -1;
        if (a->score < b->score)
                return 1;
        return vector_id_compare(&a->id, &b->id);
}

static void swap(struct scored *a, struct scored *b)
{
        struct scored kept = *a;

        *a = *b;
        *b = kept;
}

static void sift_up(struct scored *items, size_t at)
{
        while (at > 0 && rank(&items[at], &items[(at - 1) / 2]) > 0) {
                swap(&items[at], &items[(at - 1) / 2]);
                at = (at - 1) / 2;
        }
}

static void sift_down(struct scored *items, size_t count)
{
        size_t at = 0, child;

        while ((child = 2 * at + 1) < count) {
                if (child + 1 < count && rank(&items[child + 1], &items[child]) > 0)
                        child++;
                if (rank(&items[child], &items[at]) <= 0)
                        return;
                swap(&items[child], &items[at]);
                at = child;
        }
}

void best_offer(struct best *best, float score, const struct vector_id *id)
{
        struct scored offer = {.score = score, .id = *id};

        if (best->count < best->limit) {
                best->items[best->count] = offer;
                sift_up(best->items, best->count++);
        } else if (rank(&offer, &best->items[0]) < 0) {
                best->items[0] = offer;
                sift_down(best->items, best->count);
        }
}

static int compare(const void *a, const void *b)
{
        return rank(a, b);
}

struct vector_hit *best_hits(struct best *best, const void *ctx)
{
        struct vector_hit *hits = mem_array(ctx, struct vector_hit, best->count);
        char text[UUID_TEXT_SIZE];

        qsort(best->items, best->count, sizeof(*best->items), compare);
        for (size_t i = 0; i < best->count; i++) {
                hits[i].chunk_id = mem_strdup(hits, vector_id_format(&best->items[i].id, text));
                hits[i].score = best->items[i].score;
        }
        return hits;
}
