/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "observe/metrics.h"

#include <cmocka.h>

enum { VALUE = 1024, BOUND = 64 * 1024, EXPOSITION_MAX = 1024 * 1024 };

static int64_t now_us;

static int64_t test_clock(void)
{
        return now_us;
}

static int set_up(void **state)
{
        const struct cache_options options = {.bytes_max = BOUND, .now_us = test_clock};

        now_us = 1000000;
        *state = cache_new(&options);
        return 0;
}

static int tear_down(void **state)
{
        cache_free(*state);
        return 0;
}

static bool has(struct cache *cache, const char *key)
{
        SCOPED_MEM void *ctx = mem_root();
        char *data;
        size_t length;

        return cache_get(cache, ctx, key, &data, &length);
}

static void put_text(struct cache *cache, const char *key, const char *text)
{
        cache_put(cache, key, text, strlen(text), 1000);
}

static void assert_text(struct cache *cache, const char *key, const char *text)
{
        SCOPED_MEM void *ctx = mem_root();
        char *data = NULL;
        size_t length = 0;

        assert_true(cache_get(cache, ctx, key, &data, &length));
        assert_string_equal(data, text);
        assert_int_equal(length, strlen(text));
}

static void gives_back_what_was_put(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char *data = NULL;
        size_t length = 9;

        assert_false(cache_get(*state, ctx, "none", &data, &length));
        assert_null(data);
        assert_int_equal(length, 9);
        put_text(*state, "a", "first");
        put_text(*state, "b", "other");
        put_text(*state, "a", "second, longer");
        assert_text(*state, "a", "second, longer");
        assert_text(*state, "b", "other");
        cache_put(*state, "zero", "x\0y", 3, 1000);
        assert_true(cache_get(*state, ctx, "zero", &data, &length));
        assert_int_equal(length, 3);
        assert_memory_equal(data, "x\0y", 4);
        cache_put(*state, "empty", NULL, 0, 1000);
        assert_text(*state, "empty", "");
}

/* What was got stays good when the cache has dropped it. */
static void gives_copies(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char text[] = "mine";
        char *data = NULL;
        size_t length;

        cache_put(*state, "a", text, 4, 1000);
        text[0] = 'X';
        assert_true(cache_get(*state, ctx, "a", &data, &length));
        put_text(*state, "a", "new!");
        assert_string_equal(data, "mine");
        assert_text(*state, "a", "new!");
}

static void forgets_in_time(void **state)
{
        put_text(*state, "a", "x");
        now_us += 999000;
        assert_true(has(*state, "a"));
        now_us += 1000;
        assert_false(has(*state, "a"));
        put_text(*state, "a", "y");
        assert_text(*state, "a", "y");
        cache_put(*state, "b", "x", 1, 0);
        assert_false(has(*state, "b"));
}

static void put_numbered(struct cache *cache, int number)
{
        char key[16], value[VALUE];

        memset(value, 'v', sizeof(value));
        snprintf(key, sizeof(key), "k%d", number);
        cache_put(cache, key, value, sizeof(value), 1000);
}

static bool has_numbered(struct cache *cache, int number)
{
        char key[16];

        snprintf(key, sizeof(key), "k%d", number);
        return has(cache, key);
}

static void drops_what_was_not_used_for_longest(void **state)
{
        int kept = 0;

        for (int i = 0; i < 1000; i++) {
                put_numbered(*state, i);
                assert_true(has_numbered(*state, 0));
                assert_true(has_numbered(*state, i));
        }
        for (int i = 1; i < 1000; i++) {
                bool there = has_numbered(*state, i);

                /* What is left are the newest, without a gap. */
                assert_true(there || kept == 0);
                kept += there;
        }
        assert_in_range(kept, 20, 63);
}

static void does_not_keep_what_is_too_large(void **state)
{
        char *large = calloc(1, BOUND);

        put_text(*state, "small", "x");
        put_text(*state, "large", "before");
        cache_put(*state, "large", large, BOUND, 1000);
        assert_false(has(*state, "large"));
        cache_put(*state, "large", large, BOUND - 10, 1000);
        assert_false(has(*state, "large"));
        assert_true(has(*state, "small"));
        free(large);
}

static double counted(const char *result)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer out = BUFFER_INIT(ctx, EXPOSITION_MAX);
        char sample[80];
        const char *line;

        snprintf(sample, sizeof(sample), "\nflowgenix_cache_requests_total{result=\"%s\"} ",
                 result);
        metrics_write(&out, METRICS_TEXT);
        line = strstr(buffer_string(&out), sample);
        return line ? strtod(line + strlen(sample), NULL) : 0;
}

static void counts_hits_and_misses(void **state)
{
        double hits = counted("hit"), misses = counted("miss");

        put_text(*state, "a", "x");
        has(*state, "a");
        has(*state, "a");
        has(*state, "b");
        assert_int_equal(counted("hit") - hits, 2);
        assert_int_equal(counted("miss") - misses, 1);
}

static void *work(void *cache)
{
        for (int i = 0; i < 3000; i++) {
                put_numbered(cache, i % 100);
                has_numbered(cache, (i * 7) % 100);
        }
        return NULL;
}

static void serves_many_threads(void **state)
{
        pthread_t threads[4];

        for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, work, *state), 0);
        for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
                pthread_join(threads[i], NULL);
        assert_true(has_numbered(*state, 2999 % 100));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(gives_back_what_was_put, set_up, tear_down),
                cmocka_unit_test_setup_teardown(gives_copies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(forgets_in_time, set_up, tear_down),
                cmocka_unit_test_setup_teardown(drops_what_was_not_used_for_longest, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(does_not_keep_what_is_too_large, set_up, tear_down),
                cmocka_unit_test_setup_teardown(counts_hits_and_misses, set_up, tear_down),
                cmocka_unit_test_setup_teardown(serves_many_threads, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
