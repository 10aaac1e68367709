/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of the HTTP client: a binary heap of calls, one entry a call, earliest first. A call's
 * single due time is the nearest of its delay, deadline and stall limit, so the byte path never
 * touches the heap: an entry that fires too early is set again. */
#include "net/client_internal.h"

static void place(struct timer_heap *heap, size_t index, struct http_call *call)
{
        heap->items[index] = call;
        call->heap_index = index;
}

static void sift_up(struct timer_heap *heap, size_t index, struct http_call *call)
{
        while (index > 0 && heap->items[(index - 1) / 2]->due_us > call->due_us) {
                place(heap, index, heap->items[(index - 1) / 2]);
                index = (index - 1) / 2;
        }
        place(heap, index, call);
}

static void sift_down(struct timer_heap *heap, size_t index, struct http_call *call)
{
        for (;;) {
                size_t child = 2 * index + 1;

                if (child + 1 < heap->count &&
                    heap->items[child + 1]->due_us < heap->items[child]->due_us)
                        child++;
                if (child >= heap->count || heap->items[child]->due_us >= call->due_us)
                        break;
                place(heap, index, heap->items[child]);
                index = child;
        }
        place(heap, index, call);
}

void http_timer_remove(struct timer_heap *heap, struct http_call *call)
{
        size_t index = call->heap_index;
        struct http_call *last;

        if (index == SIZE_MAX)
                return;
        call->heap_index = SIZE_MAX;
        last = heap->items[--heap->count];
        if (last == call)
                return;
        if (index > 0 && heap->items[(index - 1) / 2]->due_us > last->due_us)
                sift_up(heap, index, last);
        else
                sift_down(heap, index, last);
}

void http_timer_set(struct timer_heap *heap, struct http_call *call, int64_t due_us)
{
        http_timer_remove(heap, call);
        call->due_us = due_us;
        if (heap->count == heap->capacity) {
                heap->capacity = heap->capacity ? heap->capacity * 2 : 64;
                heap->items = mem_resize(NULL, heap->items, struct http_call *, heap->capacity);
        }
        heap->count++;
        sift_up(heap, heap->count - 1, call);
}

struct http_call *http_timer_first(const struct timer_heap *heap)
{
        return heap->count ? heap->items[0] : NULL;
}
