/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences of a passage as byte ranges, with what the layout says about them: headings and list
 * items stand on lines of their own, running text may be broken into lines anywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

struct sentence {
        size_t from, to; /* without white space at the ends */
        bool heading;    /* a title, or a question: it says what follows is about */
        bool item;       /* of a list */
        bool begins_block;
};

/* Splits `length` bytes of UTF-8; *ret is below ctx. Returns how many. */
size_t sentences_split(const void *ctx, const char *text, size_t length, struct sentence **ret);
