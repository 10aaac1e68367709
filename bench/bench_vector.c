/* SPDX-License-Identifier: Apache-2.0 */
/* Nearest neighbours over 100,000 vectors of 384 dimensions: time of a search in memory, of the
 * first one (which loads the collection), and recall against a plain scan. Clustered vectors, as
 * embeddings are. Prints `name value unit`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "db/test_folder.h"
#include "store/users.h"
#include "store/workflows.h"
#include "vector/vector_engine.h"

#define MODEL "bench/model"
#define MUST(call)                                                                                 \
        do {                                                                                       \
                struct error err = ERROR_INIT;                                                     \
                if (call) {                                                                        \
                        fprintf(stderr, "%s: %s\n", #call, err.message);                           \
                        exit(1);                                                                   \
                }                                                                                  \
        } while (0)

enum {
        DOCUMENTS = 100,
        PER_DOCUMENT = 1000,
        DIMS = 384,
        CENTRES = 1000,
        QUERIES = 200,
        LIMIT = 10
};

struct bench {
        struct store *store;
        struct vector *vector;
        struct workflow workflow;
        float *vectors;
        char (*ids)[UUID_TEXT_SIZE];
};

static float gaussian(void)
{
        double a = (rand() + 1.0) / (RAND_MAX + 2.0), b = rand() / (RAND_MAX + 1.0);

        return (float)(sqrt(-2 * log(a)) * cos(2 * M_PI * b));
}

static void fill(float *values, const float *centre, float spread)
{
        float sum = 0;

        for (size_t i = 0; i < DIMS; i++) {
                values[i] = (centre ? centre[i] : 0) + spread * gaussian() / sqrtf(DIMS);
                sum += values[i] * values[i];
        }
        for (size_t i = 0; i < DIMS; i++)
                values[i] /= sqrtf(sum);
}

static void make_vectors(struct bench *bench)
{
        float *centres = calloc((size_t)CENTRES * DIMS, sizeof(float));

        for (size_t i = 0; i < CENTRES; i++)
                fill(centres + i * DIMS, NULL, 1);
        for (size_t i = 0; i < (size_t)DOCUMENTS * PER_DOCUMENT; i++)
                fill(bench->vectors + i * DIMS, centres + (size_t)(rand() % CENTRES) * DIMS, 0.3F);
        free(centres);
}

static void add_document(struct bench *bench, size_t number)
{
        SCOPED_MEM void *ctx = mem_root();
        struct document document = {.owner_id = bench->workflow.owner_id,
                                    .workflow_id = bench->workflow.id,
                                    .filename = mem_strdup(ctx, "bench.txt"),
                                    .content_type = mem_strdup(ctx, "text/plain"),
                                    .sha256 = mem_printf(ctx, "%zu", number)};
        struct chunk *chunks = mem_array(ctx, struct chunk, PER_DOCUMENT);
        struct vector_item *items = mem_array(ctx, struct vector_item, PER_DOCUMENT);
        char *existing;

        MUST(store_create_document(bench->store, &document, ctx, &existing, &err));
        for (size_t i = 0; i < PER_DOCUMENT; i++) {
                size_t row = number * PER_DOCUMENT + i;

                chunks[i] = (struct chunk){.id = uuid_new(bench->ids[row]),
                                           .ordinal = (int64_t)i,
                                           .content = document.filename,
                                           .heading = document.filename};
                items[i] = (struct vector_item){bench->ids[row], document.id,
                                                bench->vectors + row * DIMS};
        }
        MUST(store_add_chunks(bench->store, document.id, bench->workflow.id, chunks, PER_DOCUMENT,
                              &err));
        MUST(vector_add(bench->vector, bench->workflow.id, MODEL, DIMS, items, PER_DOCUMENT, &err));
}

static void open_all(struct bench *bench, const struct test_folder *folder, const void *ctx)
{
        struct user user = {.email = mem_strdup(ctx, "b@example.com"),
                            .full_name = mem_strdup(ctx, "B"),
                            .password_hash = mem_strdup(ctx, "!")};

        MUST(store_open(folder->url, &bench->store, &err));
        MUST(vector_new(bench->store, &bench->vector, &err));
        MUST(store_create_user(bench->store, &user, ctx, &err));
        bench->workflow = (struct workflow){.owner_id = user.id,
                                            .name = mem_strdup(ctx, "bench"),
                                            .description = mem_strdup(ctx, ""),
                                            .graph = mem_strdup(ctx, "{}")};
        MUST(store_create_workflow(bench->store, &bench->workflow, ctx, &err));
}

static double search_ms(struct bench *bench, const void *ctx, const float *query,
                        struct vector_hit **ret, size_t *ret_count)
{
        const struct document_set all = {.workflow_id = bench->workflow.id};
        int64_t start = clock_monotonic_us();

        MUST(vector_search(bench->vector, ctx, &all, MODEL, query, DIMS, LIMIT, ret, ret_count,
                           &err));
        return (double)(clock_monotonic_us() - start) / 1e3;
}

/* The score of the LIMIT-th best vector, by a scan without any cleverness. */
static double kth_score(const struct bench *bench, const float *query)
{
        double best[LIMIT];

        for (size_t i = 0; i < LIMIT; i++)
                best[i] = -2;
        for (size_t row = 0; row < (size_t)DOCUMENTS * PER_DOCUMENT; row++) {
                double score = 0;

                for (size_t i = 0; i < DIMS; i++)
                        score += (double)bench->vectors[row * DIMS + i] * (double)query[i];
                for (size_t i = 0; i < LIMIT; i++) {
                        if (score > best[i]) {
                                memmove(best + i + 1, best + i, (LIMIT - 1 - i) * sizeof(*best));
                                best[i] = score;
                                break;
                        }
                }
        }
        return best[LIMIT - 1];
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void measure(struct bench *bench, const void *ctx)
{
        double times[QUERIES], right = 0;
        float query[DIMS];
        struct vector_hit *hits;
        size_t count;
        enum { CHECKED = 20 };

        printf("vector_first_search %.1f ms\n",
               search_ms(bench, ctx, bench->vectors, &hits, &count));
        for (size_t i = 0; i < QUERIES; i++) {
                fill(query, bench->vectors + (size_t)(rand() % (DOCUMENTS * PER_DOCUMENT)) * DIMS,
                     0.3F);
                times[i] = search_ms(bench, ctx, query, &hits, &count);
                for (size_t h = 0; i < CHECKED && h < count; h++)
                        right += (double)hits[h].score >= kth_score(bench, query) - 1e-5;
        }
        qsort(times, QUERIES, sizeof(*times), compare);
        printf("vector_search_p50 %.2f ms\n", times[QUERIES / 2]);
        printf("vector_search_p99 %.2f ms\n", times[QUERIES * 99 / 100]);
        printf("vector_recall_at_10 %.4f ratio\n", right / (CHECKED * LIMIT));
        printf("vector_memory %.0f MB\n", (double)vector_memory_bytes(bench->vector) / 1e6);
}

int main(void)
{
        SCOPED_MEM void *ctx = mem_root();
        struct test_folder folder = test_folder_new();
        struct bench bench = {0};
        int64_t start;

        srand(7);
        bench.vectors = calloc((size_t)DOCUMENTS * PER_DOCUMENT * DIMS, sizeof(float));
        bench.ids = calloc((size_t)DOCUMENTS * PER_DOCUMENT, UUID_TEXT_SIZE);
        make_vectors(&bench);
        open_all(&bench, &folder, ctx);
        start = clock_monotonic_us();
        for (size_t i = 0; i < DOCUMENTS; i++)
                add_document(&bench, i);
        printf("vector_add %.0f vectors/s\n",
               DOCUMENTS * PER_DOCUMENT * 1e6 / (double)(clock_monotonic_us() - start));
        measure(&bench, ctx);
        vector_free(bench.vector);
        store_free(bench.store);
        test_folder_remove(&folder);
        free(bench.vectors);
        free(bench.ids);
        return 0;
}
