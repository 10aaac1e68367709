/* SPDX-License-Identifier: Apache-2.0 */
/* Two passes. The first scans 8-bit rows and knows for each an interval that holds the true score;
 * a row whose upper end is below the k-th best lower end cannot be among the k best. The second
 * computes the true score of the rows that are left, usually a few dozen. */
#include "vector/rows.h"

#include <float.h>
#include <string.h>

#include "vector/scan.h"

enum { BLOCK_VALUES = 64 * 1024, BLOCK_ROWS_MIN = 16 };

struct row {
        struct vector_id chunk, document;
        float scale;
        float error;  /* length of what the integers leave out */
        float length; /* at least that of the vector and of its integer form */
};

struct block {
        size_t count;
        struct row *rows;
        int8_t *integers;
        float *values;
};

struct rows {
        size_t dims, stride, per_block;
        size_t block_count, block_capacity;
        struct block **blocks; /* all full but the last */
};

struct rows *rows_new(size_t dims)
{
        struct rows *rows = mem_new(NULL, struct rows);
        size_t fit = BLOCK_VALUES / dims;

        rows->dims = dims;
        rows->stride = scan_stride(dims);
        rows->per_block = fit > BLOCK_ROWS_MIN ? fit : BLOCK_ROWS_MIN;
        return rows;
}

struct rows *rows_free(struct rows *rows)
{
        return mem_free(rows);
}

size_t rows_dims(const struct rows *rows)
{
        return rows->dims;
}

size_t rows_count(const struct rows *rows)
{
        if (!rows->block_count)
                return 0;
        return (rows->block_count - 1) * rows->per_block +
               rows->blocks[rows->block_count - 1]->count;
}

size_t rows_bytes(const struct rows *rows)
{
        size_t row = sizeof(struct row) + rows->stride + rows->dims * sizeof(float);

        return rows->block_count * rows->per_block * row;
}

static struct block *add_block(struct rows *rows)
{
        struct block *block = mem_new(rows, struct block);

        block->rows = mem_array(block, struct row, rows->per_block);
        block->integers = mem_array(block, int8_t, rows->per_block * rows->stride);
        block->values = mem_array(block, float, rows->per_block * rows->dims);
        if (rows->block_count == rows->block_capacity) {
                rows->block_capacity = rows->block_capacity ? rows->block_capacity * 2 : 4;
                rows->blocks = mem_resize(rows, rows->blocks, struct block *, rows->block_capacity);
        }
        return rows->blocks[rows->block_count++] = block;
}

static struct block *last_block(struct rows *rows)
{
        return rows->block_count ? rows->blocks[rows->block_count - 1] : NULL;
}

static void fill(const struct rows *rows, struct block *block, size_t at, const float *values)
{
        struct row *row = &block->rows[at];

        scan_quantise(values, rows->dims, rows->stride, block->integers + at * rows->stride,
                      &row->scale, &row->error);
        row->length = scan_length(values, rows->dims) + row->error;
        memcpy(block->values + at * rows->dims, values, rows->dims * sizeof(float));
}

void rows_append(struct rows *rows, const struct vector_id *chunk, const struct vector_id *document,
                 const float *values)
{
        struct block *block = last_block(rows);

        if (!block || block->count == rows->per_block)
                block = add_block(rows);
        block->rows[block->count] = (struct row){.chunk = *chunk, .document = *document};
        fill(rows, block, block->count++, values);
}

void rows_put(struct rows *rows, const struct vector_id *chunk, const struct vector_id *document,
              const float *values)
{
        for (size_t b = 0; b < rows->block_count; b++) {
                struct block *block = rows->blocks[b];

                for (size_t at = 0; at < block->count; at++) {
                        const struct row *row = &block->rows[at];

                        if (!vector_id_compare(&row->document, document) &&
                            !vector_id_compare(&row->chunk, chunk)) {
                                fill(rows, block, at, values);
                                return;
                        }
                }
        }
        rows_append(rows, chunk, document, values);
}

/* Moves the very last row into the hole, so that blocks stay full. */
static void remove_row(struct rows *rows, struct block *hole, size_t at)
{
        struct block *last = last_block(rows);
        size_t from = --last->count;

        hole->rows[at] = last->rows[from];
        memmove(hole->integers + at * rows->stride, last->integers + from * rows->stride,
                rows->stride);
        memmove(hole->values + at * rows->dims, last->values + from * rows->dims,
                rows->dims * sizeof(float));
        if (!last->count) {
                mem_free(last);
                rows->block_count--;
        }
}

void rows_remove_document(struct rows *rows, const struct vector_id *document)
{
        /* Backwards: the row that fills a hole was looked at before. */
        for (size_t b = rows->block_count; b-- > 0;) {
                struct block *block = rows->blocks[b];

                for (size_t at = block->count; at-- > 0;) {
                        if (!vector_id_compare(&block->rows[at].document, document))
                                remove_row(rows, block, at);
                }
        }
}

/* --- Search ------------------------------------------------------------------------------------*/
struct candidate {
        float upper;
        const struct block *block;
        size_t at;
};

struct search {
        const struct rows *rows;
        const struct vector_ids *only;
        const float *query;
        int16_t *integers;
        float scale, error, length; /* of the query */
        int32_t *sums;
        struct best lowest; /* the k best lower ends */
        struct candidate *candidates;
        size_t count, capacity;
};

static void add_candidate(struct search *search, float upper, const struct block *block, size_t at)
{
        if (search->count == search->capacity) {
                search->capacity = search->capacity ? search->capacity * 2 : 256;
                search->candidates = mem_resize(search->sums, search->candidates, struct candidate,
                                                search->capacity);
        }
        search->candidates[search->count++] =
                (struct candidate){.upper = upper, .block = block, .at = at};
}

/* How far the integer score may be from the true one: Cauchy-Schwarz on what both roundings leave
 * out, and the rounding of float sums themselves. */
static float margin(const struct search *search, const struct row *row)
{
        float rounding = (float)search->rows->dims * FLT_EPSILON * search->length * row->length;

        return search->length * row->error + search->error * row->length + rounding;
}

static void scan_block(struct search *search, const struct block *block)
{
        scan_rows(block->integers, block->count, search->rows->stride, search->integers,
                  search->sums);
        for (size_t at = 0; at < block->count; at++) {
                const struct row *row = &block->rows[at];
                float score = (float)search->sums[at] * row->scale * search->scale;
                float spread = margin(search, row);

                if (score + spread < best_floor(&search->lowest))
                        continue;
                if (search->only && !vector_ids_have(search->only, &row->document))
                        continue;
                best_offer(&search->lowest, score - spread, &row->chunk);
                add_candidate(search, score + spread, block, at);
        }
}

static void score_candidates(const struct search *search, struct best *best)
{
        float floor = best_floor(&search->lowest);
        size_t dims = search->rows->dims;

        for (size_t i = 0; i < search->count; i++) {
                const struct candidate *candidate = &search->candidates[i];
                const struct block *block = candidate->block;
                size_t at = candidate->at;

                if (candidate->upper >= floor)
                        best_offer(best, scan_dot(block->values + at * dims, search->query, dims),
                                   &block->rows[at].chunk);
        }
}

void rows_search(const struct rows *rows, const struct vector_ids *only, const float *query,
                 struct best *best)
{
        SCOPED_MEM void *ctx = mem_root();
        struct search search = {.rows = rows, .only = only, .query = query};

        search.integers = mem_array(ctx, int16_t, rows->stride);
        search.sums = mem_array(ctx, int32_t, rows->per_block);
        search.lowest = best_new(ctx, best->limit);
        search.length = scan_length(query, rows->dims);
        scan_quantise_query(query, rows->dims, rows->stride, search.integers, &search.scale,
                            &search.error);
        for (size_t b = 0; b < rows->block_count; b++)
                scan_block(&search, rows->blocks[b]);
        score_candidates(&search, best);
}
