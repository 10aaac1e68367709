/* SPDX-License-Identifier: Apache-2.0 */
/* Languages that words are stemmed in. The first is used when nothing tells. */
#pragma once

#include <stddef.h>

struct language {
        const char *name;              /* as libstemmer calls it */
        const char *const *stop_words; /* sorted by strcmp */
        size_t stop_word_count;
};

extern const struct language languages[];
extern const size_t language_count;
