/* SPDX-License-Identifier: Apache-2.0 */
/* Where to cut running text. Positions are byte offsets; text is valid UTF-8. */
#pragma once

#include "document/chunk.h"

static inline bool cut_is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A byte within a character, not its first. */
static inline bool cut_is_continuation(char c)
{
        return ((unsigned char)c & 0xC0) == 0x80;
}

size_t cut_characters(const char *text, size_t length);
/* True if text[at..] begins a new sentence (or paragraph): white space stands before it and the
 * end of a sentence before that. */
bool cut_begins_sentence(const char *text, size_t length, size_t at);
/* The best place to cut text of more than options->max characters: greater than 0, at most
 * options->max characters in. */
size_t cut_find(const char *text, size_t length, const struct chunk_options *options);
/* Where the piece after a cut at `cut` begins: at most options->overlap characters earlier, at the
 * first sentence that begins there; `cut` if none does. */
size_t cut_overlap(const char *text, size_t cut, const struct chunk_options *options);
