/* SPDX-License-Identifier: Apache-2.0 */
/* Binary heap: the children of place i are at 2i + 1 and 2i + 2. */
#include "engine/heap.h"

static void put(struct heap *heap, size_t place, struct heap_item *item)
{
        heap->items[place] = item;
        item->place = place;
}

static void rise(struct heap *heap, struct heap_item *item)
{
        size_t place = item->place;

        while (place > 0) {
                size_t parent = (place - 1) / 2;

                if (heap->items[parent]->key <= item->key)
                        break;
                put(heap, place, heap->items[parent]);
                place = parent;
        }
        put(heap, place, item);
}

void heap_sink(struct heap *heap, struct heap_item *item)
{
        size_t place = item->place;

        for (;;) {
                size_t child = 2 * place + 1;

                if (child >= heap->count)
                        break;
                if (child + 1 < heap->count &&
                    heap->items[child + 1]->key < heap->items[child]->key)
                        child++;
                if (item->key <= heap->items[child]->key)
                        break;
                put(heap, place, heap->items[child]);
                place = child;
        }
        put(heap, place, item);
}

void heap_add(struct heap *heap, const void *ctx, struct heap_item *item)
{
        if (heap->count == heap->capacity) {
                heap->capacity = heap->capacity ? 2 * heap->capacity : 16;
                heap->items = mem_resize(ctx, heap->items, struct heap_item *, heap->capacity);
        }
        put(heap, heap->count++, item);
        rise(heap, item);
}

void heap_remove(struct heap *heap, struct heap_item *item)
{
        size_t place = item->place;
        struct heap_item *last = heap->items[--heap->count];

        item->place = SIZE_MAX;
        if (last == item)
                return;
        put(heap, place, last);
        rise(heap, last);
        heap_sink(heap, last);
}

struct heap_item *heap_first(const struct heap *heap)
{
        return heap->count ? heap->items[0] : NULL;
}
