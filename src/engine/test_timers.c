/* SPDX-License-Identifier: Apache-2.0 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka.h needs those above. */
#include "base/clock.h"
#include "engine/graph_cache.h"
#include "engine/timers.h"

#include <cmocka.h>

enum { MANY = 3000 };

struct ticker {
        struct timer timer;
        int64_t due_us;
};

static sem_t rung;
static atomic_int early;

/* One thread rings them all. */
static void ring(struct timer *timer)
{
        const struct ticker *ticker = (const struct ticker *)(void *)timer;

        early += clock_monotonic_us() < ticker->due_us;
        sem_post(&rung);
}

static void many_ring_once_and_not_early(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct ticker *tickers = mem_array(ctx, struct ticker, MANY);
        struct timers *timers = NULL;
        struct error err = ERROR_INIT;
        size_t cancelled = 0;

        (void)state;
        sem_init(&rung, 0, 0);
        assert_int_equal(timers_new(&timers, &err), STATUS_OK);
        for (size_t i = 0; i < MANY; i++) {
                int64_t delay_us = 100000 * (1 + (int64_t)(i * 7919 % 4));

                tickers[i].timer.fire = ring;
                tickers[i].due_us = clock_monotonic_us() + delay_us;
                timers_arm(timers, &tickers[i].timer, delay_us);
        }
        for (size_t i = 0; i < MANY; i += 3)
                cancelled += timers_cancel(timers, &tickers[i].timer);
        assert_int_equal(cancelled, MANY / 3);
        assert_false(timers_cancel(timers, &tickers[0].timer));
        for (size_t i = 0; i < MANY - cancelled; i++)
                sem_wait(&rung);
        assert_int_equal(sem_trywait(&rung), -1);
        assert_int_equal(early, 0);
        timers_free(timers);
        sem_destroy(&rung);
}

static void what_is_armed_does_not_ring_after_the_end(void **state)
{
        struct ticker ticker = {.timer.fire = ring};
        struct timers *timers = NULL;
        struct error err = ERROR_INIT;

        (void)state;
        sem_init(&rung, 0, 0);
        assert_int_equal(timers_new(&timers, &err), STATUS_OK);
        timers_arm(timers, &ticker.timer, 60000000);
        timers_free(timers);
        assert_int_equal(sem_trywait(&rung), -1);
        sem_destroy(&rung);
}

static void heaps_give_the_smallest_first(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct heap_item *items = mem_array(ctx, struct heap_item, MANY);
        struct heap heap = {0};
        int64_t last = INT64_MIN;
        size_t taken = 0;

        (void)state;
        for (size_t i = 0; i < MANY; i++) {
                items[i].key = (int64_t)(i * 7919 % 1000);
                heap_add(&heap, ctx, &items[i]);
        }
        for (size_t i = 0; i < MANY; i += 5)
                heap_remove(&heap, &items[i]);
        while (heap_first(&heap)) {
                struct heap_item *first = heap_first(&heap);

                assert_true(first->key >= last);
                last = first->key;
                /* Half of them grow once. */
                if (first->key % 2 && first->key < 1000) {
                        first->key += 1001;
                        heap_sink(&heap, first);
                } else {
                        heap_remove(&heap, first);
                        taken++;
                }
        }
        assert_int_equal(taken, MANY - MANY / 5);
}

static void the_cache_keeps_the_graphs_used_last(void **state)
{
        static const char graph[] = "{\"nodes\":[{\"id\":\"q\",\"type\":\"userQuery\"},"
                                    "{\"id\":\"o\",\"type\":\"output\"}],"
                                    "\"edges\":[{\"source\":\"q\",\"target\":\"o\"}]}";
        struct graph_cache *cache = graph_cache_new(2);
        struct graph *first = NULL, *again = NULL, *other = NULL;
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(graph_cache_get(cache, "w", 1, graph, NULL, &first, &err), STATUS_OK);
        assert_int_equal(graph_cache_get(cache, "w", 2, graph, NULL, &other, &err), STATUS_OK);
        graph_unref(other);
        assert_int_equal(graph_cache_get(cache, "w", 1, "unread", NULL, &again, &err), STATUS_OK);
        assert_ptr_equal(again, first);
        graph_unref(again);
        assert_int_equal(graph_cache_get(cache, "w", 3, graph, NULL, &other, &err), STATUS_OK);
        graph_unref(other);
        assert_null(graph_cache_find(cache, "w", 2));
        again = graph_cache_find(cache, "w", 1);
        assert_ptr_equal(again, first);
        graph_unref(again);
        assert_int_equal(graph_cache_get(cache, "w", 4, "{\"nodes\":[]}", NULL, &other, &err),
                         STATUS_UNPROCESSABLE);
        assert_int_equal(graph_cache_get(cache, "w", 4, "{", NULL, &other, &err), STATUS_INVALID);
        graph_cache_free(cache);
        assert_int_equal(first->node_count, 2);
        graph_unref(first);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(many_ring_once_and_not_early),
                cmocka_unit_test(what_is_armed_does_not_ring_after_the_end),
                cmocka_unit_test(heaps_give_the_smallest_first),
                cmocka_unit_test(the_cache_keeps_the_graphs_used_last),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
