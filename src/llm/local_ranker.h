/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the local engine's ranking: the question as it was understood, and the steps. */
#pragma once

#include "llm/local_rank.h"

enum asks { ASKS_ANYTHING, ASKS_NUMBER, ASKS_DATE, ASKS_NAME, ASKS_DEFINITION, ASKS_WAY };

struct term {
        uint32_t number;
        double weight;   /* rarity */
        double coverage; /* how much of the question it stands for */
        bool name;       /* capitalised inside the question, or a number */
        bool common;     /* a word of any subject: use, make, work */
};

struct question {
        struct term terms[QUESTION_TERMS_MAX];
        size_t term_count;
        enum asks asks;
        bool negative; /* asks what is not */
};

struct ranker {
        void *ctx;
        struct vocabulary *vocabulary;
        struct question question;
        struct ranking *ranking;
        uint64_t *masks; /* by term of the vocabulary: bits of the question's terms it stands for */
        double *topics;  /* by passage: 0..1, how much it is about the question */
        const struct llm_passage *passages;
        size_t passage_count;
};

/* Compares without case. */
bool word_is(const char *text, const struct word *word, const char *expected);
/* `list` ends with NULL. */
bool word_is_any(const char *text, const struct word *word, const char *const list[]);

/* local_score.c. `covered`: terms of the question that the answer holds already. */
double local_score(const struct ranker *ranker, const struct unit *unit, uint64_t covered);
/* local_pick.c: fills ranking->picks. */
void local_pick(struct ranker *ranker);
