/* SPDX-License-Identifier: Apache-2.0 */
/* Binary heap of items that carry their place in it, so that one in the middle can be taken out.
 * The item with the smallest key is first. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

/* First member of an item. */
struct heap_item {
        int64_t key;
        size_t place; /* SIZE_MAX: not in a heap */
};

struct heap {
        struct heap_item **items; /* talloc child of the ctx given to heap_add */
        size_t count, capacity;
};

void heap_add(struct heap *heap, const void *ctx, struct heap_item *item);
void heap_remove(struct heap *heap, struct heap_item *item);
/* Restores the order after the key of an item grew. */
void heap_sink(struct heap *heap, struct heap_item *item);
/* NULL if it is empty. */
struct heap_item *heap_first(const struct heap *heap);
