/* SPDX-License-Identifier: Apache-2.0 */
/* Retrieval: keyword and semantic search over chunks, fused by reciprocal rank (k = 60; Cormack,
 * Clarke and Buettcher, SIGIR 2009). */
#pragma once

#include "llm/llm.h"
#include "store/documents.h"
#include "vector/vector.h"

enum retrieval_mode { RETRIEVAL_HYBRID, RETRIEVAL_KEYWORD, RETRIEVAL_SEMANTIC };
bool retrieval_mode_parse(const char *text, enum retrieval_mode *ret);

struct retrieval_query {
        struct document_set set;
        const char *text;
        size_t limit;
        double min_score; /* 0..1 of the fused, normalised score */
        enum retrieval_mode mode;
        struct llm_target embedding; /* provider NULL: none is set */
};

/* Each hit has content, filename, page, offsets and a score in 0..1 (1: best in every list).
 * SEMANTIC without an embedding model is UNPROCESSABLE and says what to set; HYBRID then uses
 * keywords alone. Near-duplicates are left out. Blocks; any thread but the HTTP client's. */
enum status retrieval_search(struct store *store, struct vector *vector, struct llm *llm,
                             const void *ctx, const struct retrieval_query *query,
                             struct chunk **ret, size_t *ret_count, struct error *err) MUST_USE;
