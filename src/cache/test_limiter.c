/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "cache/limiter.h"

#include <cmocka.h>

static void limits_each_key_by_itself(void **state)
{
        struct limiter *limiter = limiter_new(2, 1000, 10);
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(limiter_take(limiter, "a", 5000, &err), STATUS_OK);
        assert_int_equal(limiter_take(limiter, "a", 5100, &err), STATUS_OK);
        assert_int_equal(limiter_take(limiter, "a", 5200, &err), STATUS_RATE_LIMITED);
        assert_int_equal(err.retry_after_ms, 800);
        assert_int_equal(limiter_take(limiter, "b", 5200, &err), STATUS_OK);
        assert_int_equal(limiter_take(limiter, "a", 6000, &err), STATUS_OK);
        limiter_free(limiter);
}

static void forgets_on_success_and_when_full(void **state)
{
        struct limiter *limiter = limiter_new(1, 1000, 3);
        struct error err = ERROR_INIT;
        char key[16];

        (void)state;
        assert_int_equal(limiter_take(limiter, "a", 1, &err), STATUS_OK);
        limiter_forget(limiter, "a");
        assert_int_equal(limiter_take(limiter, "a", 2, &err), STATUS_OK);
        assert_int_equal(limiter_take(limiter, "a", 2, &err), STATUS_RATE_LIMITED);
        for (int i = 0; i < 3; i++) {
                snprintf(key, sizeof(key), "k%d", i);
                assert_int_equal(limiter_take(limiter, key, 3, &err), STATUS_OK);
        }
        assert_int_equal(limiter_take(limiter, "a", 3, &err), STATUS_OK);
        limiter_free(limiter);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(limits_each_key_by_itself),
                cmocka_unit_test(forgets_on_success_and_when_full),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
