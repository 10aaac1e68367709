/* SPDX-License-Identifier: Apache-2.0 */
/* Ranking for the local engine: which sentences of the passages answer the question, and how much
 * of the question they cover. */
#pragma once

#include <stdint.h>

#include "llm/llm.h"
#include "llm/sentences.h"
#include "llm/words.h"

enum { QUESTION_TERMS_MAX = 64, PICKS_MAX = 16 };

/* A sentence of a passage. Masks have a bit for each term of the question. */
struct unit {
        size_t passage; /* index */
        struct sentence sentence;
        struct word *words;
        size_t word_count;
        size_t heading;       /* index of the unit that stands over it; SIZE_MAX: none */
        uint64_t own, around; /* terms in it; in its heading and the sentence before */
        bool picked;
        double score;
};

struct ranking {
        struct unit *units; /* in the passages' order */
        size_t unit_count;
        size_t picks[PICKS_MAX]; /* indexes of units, best first */
        size_t pick_count;
        double coverage; /* 0..1: share of the question that the picks cover */
};

/* Below ctx. */
struct ranking *local_rank(const void *ctx, const char *question,
                           const struct llm_passage *passages, size_t count);
