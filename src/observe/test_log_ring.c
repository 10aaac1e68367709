/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: what goes in comes out, once, in order, over many laps and from many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <pthread.h>
#include <string.h>

#include "observe/log_ring.h"

#include <cmocka.h>

enum { THREADS = 3, RECORDS = 30000, RECORD_MAX = 3000, LAPS_BYTES = 3 * LOG_RING_SIZE };

static struct log_ring ring = LOG_RING_INIT;

static int open_ring(void **state)
{
        (void)state;
        log_ring_open(&ring);
        return 0;
}

/* What is left in it is not for the next test. */
static int close_ring(void **state)
{
        char record[RECORD_MAX];
        unsigned tag;

        (void)state;
        while (log_ring_pop(&ring, record, sizeof(record), &tag))
                ;
        log_ring_release(&ring);
        log_ring_close(&ring);
        return 0;
}

static enum log_ring_result push(const void *data, size_t length, unsigned tag)
{
        size_t used;

        return log_ring_push(&ring, data, length, tag, LOG_RING_SIZE, &used);
}

/* Records of one length lie at the same places in each lap, so that an old header would be taken
 * for a new one if it were still there. */
static void an_empty_ring_has_nothing_of_the_lap_before(void **state)
{
        char in[248], out[RECORD_MAX];
        unsigned tag;

        (void)state;
        memset(in, 'x', sizeof(in));
        for (size_t i = 0; i < LAPS_BYTES / sizeof(in); i++) {
                in[0] = (char)i;
                assert_int_equal(push(in, sizeof(in), 7), LOG_RING_PUSHED);
                assert_true(log_ring_ready(&ring));
                assert_int_equal(log_ring_pop(&ring, out, sizeof(out), &tag), sizeof(in));
                assert_int_equal(tag, 7);
                assert_memory_equal(in, out, sizeof(in));
                assert_false(log_ring_ready(&ring));
                assert_true(log_ring_drained(&ring));
                assert_int_equal(log_ring_pop(&ring, out, sizeof(out), &tag), 0);
                log_ring_release(&ring);
        }
}

static void records_of_any_length_survive_the_edge(void **state)
{
        unsigned char in[RECORD_MAX], out[RECORD_MAX];
        uint64_t seed = 7;
        unsigned tag;

        (void)state;
        for (size_t i = 0; i < 10000; i++) {
                seed = seed * 6364136223846793005 + 1442695040888963407;
                size_t length = 1 + (size_t)(seed >> 33) % RECORD_MAX;
                memset(in, (int)i, length);
                in[length - 1] = 0;
                assert_int_equal(push(in, length, (unsigned)i % 4), LOG_RING_PUSHED);
                assert_int_equal(log_ring_pop(&ring, out, length - 1, &tag), 0);
                assert_int_equal(log_ring_pop(&ring, out, length, &tag), length);
                assert_int_equal(tag, i % 4);
                assert_memory_equal(in, out, length);
                log_ring_release(&ring);
        }
}

static void a_full_ring_refuses_until_room_is_released(void **state)
{
        char record[1024 - 8] = "r", out[RECORD_MAX];
        const size_t count = LOG_RING_SIZE / 1024;
        size_t used = 0;
        unsigned tag;

        (void)state;
        for (size_t i = 0; i < count / 2; i++)
                assert_int_equal(
                        log_ring_push(&ring, record, sizeof(record), 0, LOG_RING_SIZE / 2, &used),
                        LOG_RING_PUSHED);
        assert_int_equal(used, LOG_RING_SIZE / 2);
        assert_int_equal(log_ring_push(&ring, record, 1, 0, LOG_RING_SIZE / 2, &used),
                         LOG_RING_FULL);
        for (size_t i = count / 2; i < count; i++)
                assert_int_equal(push(record, sizeof(record), 0), LOG_RING_PUSHED);
        assert_int_equal(push(record, 1, 0), LOG_RING_FULL);
        /* Popped is not yet released. */
        assert_int_equal(log_ring_pop(&ring, out, sizeof(out), &tag), sizeof(record));
        assert_int_equal(push(record, 1, 0), LOG_RING_FULL);
        log_ring_release(&ring);
        assert_int_equal(push(record, sizeof(record), 0), LOG_RING_PUSHED);
        assert_int_equal(push(record, 1, 0), LOG_RING_FULL);
}

static void a_closed_ring_keeps_what_it_has(void **state)
{
        char out[RECORD_MAX];
        uint64_t position = log_ring_position(&ring);
        unsigned tag;

        (void)state;
        assert_int_equal(push("last", 4, 1), LOG_RING_PUSHED);
        log_ring_close(&ring);
        assert_true(log_ring_closed(&ring));
        assert_int_equal(push("late", 4, 1), LOG_RING_CLOSED);
        assert_int_equal(log_ring_position(&ring), position + 16);
        assert_false(log_ring_drained(&ring));
        assert_int_equal(log_ring_pop(&ring, out, sizeof(out), &tag), 4);
        assert_true(log_ring_drained(&ring));
        log_ring_open(&ring);
        assert_int_equal(push("next", 4, 1), LOG_RING_PUSHED);
}

struct record {
        unsigned thread, number;
        unsigned char fill[120];
};

static void *push_many(void *arg)
{
        struct record record = {.thread = *(unsigned *)arg};

        for (; record.number < RECORDS; record.number++) {
                size_t length = offsetof(struct record, fill) + record.number % 120;

                memset(record.fill, (int)record.number, sizeof(record.fill));
                while (push(&record, length, record.thread) != LOG_RING_PUSHED)
                        ;
        }
        return NULL;
}

static void threads_keep_their_order(void **state)
{
        unsigned ids[THREADS], next[THREADS] = {0}, tag;
        pthread_t threads[THREADS];
        struct record record;
        size_t popped = 0, length;

        (void)state;
        for (unsigned i = 0; i < THREADS; i++) {
                ids[i] = i;
                assert_int_equal(pthread_create(&threads[i], NULL, push_many, &ids[i]), 0);
        }
        while (popped < (size_t)THREADS * RECORDS) {
                length = log_ring_pop(&ring, &record, sizeof(record), &tag);
                if (!length) {
                        log_ring_release(&ring);
                        continue;
                }
                popped++;
                assert_in_range(record.thread, 0, THREADS - 1);
                assert_int_equal(tag, record.thread);
                assert_int_equal(record.number, next[record.thread]++);
                assert_int_equal(length, offsetof(struct record, fill) + record.number % 120);
                if (record.number % 120)
                        assert_int_equal(record.fill[record.number % 120 - 1],
                                         (unsigned char)record.number);
        }
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_true(log_ring_drained(&ring));
}

int main(void)
{
#define RING_TEST(test) cmocka_unit_test_setup_teardown(test, open_ring, close_ring)
        const struct CMUnitTest tests[] = {
                RING_TEST(an_empty_ring_has_nothing_of_the_lap_before),
                RING_TEST(records_of_any_length_survive_the_edge),
                RING_TEST(a_full_ring_refuses_until_room_is_released),
                RING_TEST(a_closed_ring_keeps_what_it_has),
                RING_TEST(threads_keep_their_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
