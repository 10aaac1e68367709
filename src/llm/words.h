/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a text as comparable terms: case and accents folded, stemmed (Snowball), numbered.
 *
 * One vocabulary serves one comparison (a question and its passages, an answer and a passage), so
 * that equal terms have equal numbers. The language, and with it stemmer and stop words, is guessed
 * from a sample. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

enum { WORD_BYTES_MAX = 64 };

struct word {
        uint32_t term; /* number in the vocabulary */
        size_t from, to;
        bool stop;    /* carries grammar, not meaning */
        bool capital; /* begins with a capital letter */
        bool number;  /* holds a digit */
        bool name;    /* holds an underscore */
};

struct vocabulary;

/* Freed with ctx. `sample` is text in the language at hand. */
struct vocabulary *vocabulary_new(const void *ctx, const char *sample, size_t length) MUST_USE;
/* *ret is below ctx. Returns how many words there are in `length` bytes of UTF-8. */
size_t vocabulary_words(struct vocabulary *vocabulary, const void *ctx, const char *text,
                        size_t length, struct word **ret);
size_t vocabulary_size(const struct vocabulary *vocabulary);
/* The stem that `term` stands for. */
const char *vocabulary_text(const struct vocabulary *vocabulary, uint32_t term);
