/* SPDX-License-Identifier: Apache-2.0 */
/* Whether two passages say the same: by the share of word groups that they have in common. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

/* Sorted hashes of all groups of consecutive words; below ctx. */
struct shingles {
        uint32_t *items;
        size_t count;
};
struct shingles shingles_new(const void *ctx, const char *text);
/* True if at least four fifths of all groups are in both. */
bool shingles_similar(const struct shingles *a, const struct shingles *b);
