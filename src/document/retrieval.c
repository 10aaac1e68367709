/* SPDX-License-Identifier: Apache-2.0 */
#include "document/retrieval.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "document/similar.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { LIST_LENGTH = 50, LIMIT_MAX = 100, RRF_K = 60 };

static const char *const mode_names[] = {
        [RETRIEVAL_HYBRID] = "hybrid",
        [RETRIEVAL_KEYWORD] = "keyword",
        [RETRIEVAL_SEMANTIC] = "semantic",
};

bool retrieval_mode_parse(const char *text, enum retrieval_mode *ret)
{
        for (size_t i = 0; i < ARRAY_LENGTH(mode_names); i++) {
                if (strcmp(mode_names[i], text) == 0) {
                        *ret = (enum retrieval_mode)i;
                        return true;
                }
        }
        return false;
}

struct candidate {
        struct chunk *chunk;
        double score;
};

struct retrieval {
        struct store *store;
        struct vector *vector;
        struct llm *llm;
        const struct retrieval_query *query;
        void *ctx; /* scratch: only what is returned is copied out */
        size_t list_length;
        struct chunk *keyword, *semantic;
        size_t keyword_count, semantic_count;
        char *semantic_failure; /* why a hybrid search went without */
        struct candidate *candidates;
        size_t count;
};

/* --- The two lists -----------------------------------------------------------------------------*/
static enum status search_keyword(struct retrieval *retrieval, struct error *err)
{
        if (retrieval->query->mode == RETRIEVAL_SEMANTIC)
                return STATUS_OK;
        return store_search_chunks(retrieval->store, retrieval->ctx, &retrieval->query->set,
                                   retrieval->query->text, retrieval->list_length,
                                   &retrieval->keyword, &retrieval->keyword_count, err);
}

struct known_document {
        char *id;
        bool ready;
};

/* Vectors of a document are there before it is ready, its chunks are not to be seen yet. */
static enum status is_ready(struct retrieval *retrieval, struct known_document *known,
                            size_t *known_count, char *id, bool *ret, struct error *err)
{
        struct document document;
        size_t i = 0;

        while (i < *known_count && strcmp(known[i].id, id) != 0)
                i++;
        if (i == *known_count) {
                enum status status = store_get_document(retrieval->store, retrieval->ctx, NULL, id,
                                                        &document, err);

                if (status && status != STATUS_NOT_FOUND)
                        return status;
                known[i].id = id;
                known[i].ready = !status && strcmp(document.status, "ready") == 0;
                *known_count = i + 1;
                *err = ERROR_INIT;
        }
        *ret = known[i].ready;
        return STATUS_OK;
}

static enum status keep_ready(struct retrieval *retrieval, struct error *err)
{
        struct known_document *known =
                mem_array(retrieval->ctx, struct known_document, retrieval->semantic_count);
        size_t known_count = 0, kept = 0;
        bool ready;

        for (size_t i = 0; i < retrieval->semantic_count; i++) {
                if (is_ready(retrieval, known, &known_count, retrieval->semantic[i].document_id,
                             &ready, err))
                        return err->status;
                if (ready)
                        retrieval->semantic[kept++] = retrieval->semantic[i];
        }
        retrieval->semantic_count = kept;
        return STATUS_OK;
}

static enum status load_hits(struct retrieval *retrieval, const struct vector_hit *hits,
                             size_t count, struct error *err)
{
        const char **ids = mem_array(retrieval->ctx, const char *, count);
        size_t related = 0;

        /* Hits fall: past a right angle nothing has to do with the question. */
        for (; related < count && hits[related].score > 0; related++)
                ids[related] = hits[related].chunk_id;
        if (store_get_chunks(retrieval->store, retrieval->ctx, ids, related, &retrieval->semantic,
                             &retrieval->semantic_count, err))
                return err->status;
        return keep_ready(retrieval, err);
}

static enum status search_vectors(struct retrieval *retrieval, struct error *err)
{
        const struct retrieval_query *query = retrieval->query;
        const struct llm_target *target = &query->embedding;
        const char *model = mem_printf(retrieval->ctx, "%s/%s", target->provider,
                                       target->model ? target->model : "");
        struct vector_hit *hits;
        float *values;
        size_t dims, count;

        if (llm_embed(retrieval->llm, retrieval->ctx, target, LLM_EMBED_QUERY, &query->text, 1,
                      &values, &dims, err) ||
            vector_search(retrieval->vector, retrieval->ctx, &query->set, model, values, dims,
                          retrieval->list_length, &hits, &count, err))
                return err->status;
        return count ? load_hits(retrieval, hits, count, err) : STATUS_OK;
}

static enum status search_semantic(struct retrieval *retrieval, struct error *err)
{
        const struct retrieval_query *query = retrieval->query;
        bool has_model = query->embedding.provider && *query->embedding.provider;

        if (query->mode == RETRIEVAL_KEYWORD || (query->mode == RETRIEVAL_HYBRID && !has_model))
                return STATUS_OK;
        if (!has_model)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "semantic search needs an embedding model: set one in the "
                                 "knowledge base, or use keyword or hybrid search");
        if (search_vectors(retrieval, err) == STATUS_OK)
                return STATUS_OK;
        if (query->mode == RETRIEVAL_SEMANTIC)
                return err->status;
        /* An embedding service that is down takes away a part of the result, not all of it. */
        retrieval->semantic_failure = mem_strdup(retrieval->ctx, err->message);
        retrieval->semantic_count = 0;
        *err = ERROR_INIT;
        return STATUS_OK;
}

/* --- Fusion ------------------------------------------------------------------------------------*/
static struct candidate *candidate_of(struct retrieval *retrieval, struct chunk *chunk)
{
        struct candidate *candidates = retrieval->candidates;
        size_t i = 0;

        while (i < retrieval->count && strcmp(candidates[i].chunk->id, chunk->id) != 0)
                i++;
        if (i == retrieval->count)
                candidates[retrieval->count++] = (struct candidate){.chunk = chunk};
        return &candidates[i];
}

static void add_list(struct retrieval *retrieval, struct chunk *chunks, size_t count)
{
        for (size_t rank = 0; rank < count; rank++)
                candidate_of(retrieval, &chunks[rank])->score += 1.0 / (RRF_K + (double)rank + 1);
}

static int compare(const void *a, const void *b)
{
        const struct candidate *x = a, *y = b;

        if (x->score > y->score)
                return -1;
        if (x->score < y->score)
                return 1;
        return strcmp(x->chunk->id, y->chunk->id);
}

/* A list without any hit does not count: the other one alone can then reach 1. */
static void fuse(struct retrieval *retrieval)
{
        int lists = (retrieval->keyword_count > 0) + (retrieval->semantic_count > 0);
        double best = lists ? (double)lists / (RRF_K + 1) : 1;

        retrieval->candidates = mem_array(retrieval->ctx, struct candidate,
                                          retrieval->keyword_count + retrieval->semantic_count);
        add_list(retrieval, retrieval->keyword, retrieval->keyword_count);
        add_list(retrieval, retrieval->semantic, retrieval->semantic_count);
        for (size_t i = 0; i < retrieval->count; i++)
                retrieval->candidates[i].score /= best;
        qsort(retrieval->candidates, retrieval->count, sizeof(*retrieval->candidates), compare);
}

/* --- What is returned --------------------------------------------------------------------------*/
static bool is_repeated(const struct shingles *shingles, size_t kept)
{
        for (size_t i = 0; i < kept; i++) {
                if (shingles_similar(&shingles[i], &shingles[kept]))
                        return true;
        }
        return false;
}

static struct chunk copy_chunk(const void *ctx, const struct candidate *candidate)
{
        struct chunk copy = *candidate->chunk;

        copy.id = mem_strdup(ctx, copy.id);
        copy.document_id = mem_strdup(ctx, copy.document_id);
        copy.content = mem_strdup(ctx, copy.content);
        copy.heading = mem_strdup(ctx, copy.heading);
        copy.filename = mem_strdup(ctx, copy.filename);
        copy.score = candidate->score;
        return copy;
}

static struct chunk *choose(struct retrieval *retrieval, const void *ctx, size_t *ret_count)
{
        const struct retrieval_query *query = retrieval->query;
        size_t limit = query->limit < LIMIT_MAX ? query->limit : LIMIT_MAX, kept = 0;
        struct chunk *hits = mem_array(ctx, struct chunk, limit);
        struct shingles *shingles = mem_array(retrieval->ctx, struct shingles, limit);

        for (size_t i = 0; i < retrieval->count && kept < limit; i++) {
                const struct candidate *candidate = &retrieval->candidates[i];

                if (candidate->score < query->min_score)
                        break;
                shingles[kept] = shingles_new(retrieval->ctx, candidate->chunk->content);
                if (!is_repeated(shingles, kept))
                        hits[kept++] = copy_chunk(hits, candidate);
        }
        *ret_count = kept;
        return hits;
}

static void report(const struct retrieval *retrieval, size_t count, int64_t start_us)
{
        metric_observe(METRIC_retrieval_duration_seconds, metric_seconds_since(start_us));
        log_info(LOG_retrieval, "documents searched",
                 LOG_STR("mode", mode_names[retrieval->query->mode]),
                 LOG_INT("keyword_hits", retrieval->keyword_count),
                 LOG_INT("semantic_hits", retrieval->semantic_count), LOG_INT("hits", count),
                 LOG_STR("semantic_failed_because", retrieval->semantic_failure),
                 LOG_REAL("duration_ms", metric_seconds_since(start_us) * 1e3));
}

enum status retrieval_search(struct store *store, struct vector *vector, struct llm *llm,
                             const void *ctx, const struct retrieval_query *query,
                             struct chunk **ret, size_t *ret_count, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        struct retrieval retrieval = {
                .store = store, .vector = vector, .llm = llm, .query = query, .ctx = scratch};
        int64_t start = clock_monotonic_us();

        retrieval.list_length = query->limit > LIST_LENGTH ? LIMIT_MAX : LIST_LENGTH;
        if (search_keyword(&retrieval, err) || search_semantic(&retrieval, err))
                return err->status;
        fuse(&retrieval);
        *ret = choose(&retrieval, ctx, ret_count);
        report(&retrieval, *ret_count, start);
        return STATUS_OK;
}
