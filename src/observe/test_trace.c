/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <stdint.h>
#include <string.h>

#include "observe/trace.h"

#include <cmocka.h>

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT   "b7ad6b7169203331"

static void joins_a_valid_parent(void **state)
{
        struct trace trace;

        (void)state;
        trace_begin(&trace, "00-" TRACE_ID "-" PARENT "-01");
        assert_string_equal(trace.trace_id, TRACE_ID);
        assert_true(trace.sampled);
        assert_int_equal(strlen(trace.span_id), 16);
        assert_string_not_equal(trace.span_id, PARENT);
        assert_true(uuid_valid(trace.request_id));
        assert_string_equal(trace.user_id, "");
        trace_begin(&trace, "00-" TRACE_ID "-" PARENT "-00");
        assert_false(trace.sampled);
        /* Only bit 0 says sampled. */
        trace_begin(&trace, "00-" TRACE_ID "-" PARENT "-fe");
        assert_string_equal(trace.trace_id, TRACE_ID);
        assert_false(trace.sampled);
        trace_begin(&trace, "00-" TRACE_ID "-" PARENT "-ff");
        assert_true(trace.sampled);
}

static void reads_later_versions_by_their_beginning(void **state)
{
        struct trace trace;

        (void)state;
        trace_begin(&trace, "01-" TRACE_ID "-" PARENT "-01");
        assert_string_equal(trace.trace_id, TRACE_ID);
        trace_begin(&trace, "cc-" TRACE_ID "-" PARENT "-01-what-the-future-brings");
        assert_string_equal(trace.trace_id, TRACE_ID);
        trace_begin(&trace, "cc-" TRACE_ID "-" PARENT "-01.what-the-future-brings");
        assert_string_not_equal(trace.trace_id, TRACE_ID);
}

static void starts_anew_on_a_wrong_parent(void **state)
{
        static const char *const wrong[] = {
                NULL,
                "",
                "0",
                "00-" TRACE_ID "-" PARENT "-0",
                "00-" TRACE_ID "-" PARENT "-01 ",
                "00-" TRACE_ID "-" PARENT "-01-",
                "00-" TRACE_ID "-" PARENT "-01-extra",
                "00-" TRACE_ID "-" PARENT "-011",
                " 00-" TRACE_ID "-" PARENT "-01",
                "ff-" TRACE_ID "-" PARENT "-01",
                "0g-" TRACE_ID "-" PARENT "-01",
                "00_" TRACE_ID "-" PARENT "-01",
                "00-" TRACE_ID "_" PARENT "-01",
                "00-" TRACE_ID "-" PARENT "_01",
                "00-" TRACE_ID "-" PARENT "-0G",
                "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
                "00-" TRACE_ID "-B7AD6B7169203331-01",
                "00-0af7651916cd43dd8448eb211c80319-" PARENT "-01",
                "00-00000000000000000000000000000000-" PARENT "-01",
                "00-" TRACE_ID "-0000000000000000-01",
                "00-" TRACE_ID "-b7ad6b716920333\xff-01",
        };
        struct trace trace;

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
                trace_begin(&trace, wrong[i]);
                assert_int_equal(strlen(trace.trace_id), 32);
                assert_int_equal(strspn(trace.trace_id, "0123456789abcdef"), 32);
                assert_string_not_equal(trace.trace_id, TRACE_ID);
                assert_string_not_equal(trace.trace_id, "00000000000000000000000000000000");
                assert_true(trace.sampled);
        }
}

static void writes_a_parent_that_it_reads(void **state)
{
        struct trace ours, theirs;
        char text[TRACEPARENT_SIZE];

        (void)state;
        trace_begin(&ours, NULL);
        trace_begin(&theirs, trace_parent(&ours, text));
        assert_string_equal(theirs.trace_id, ours.trace_id);
        assert_string_not_equal(theirs.span_id, ours.span_id);
        assert_memory_equal(text + 36, ours.span_id, 16);
        assert_string_equal(text + 52, "-01");
        trace_begin(&ours, "00-" TRACE_ID "-" PARENT "-00");
        assert_string_equal(trace_parent(&ours, text) + 52, "-00");
}

static void set_cuts_at_a_character(void **state)
{
        struct trace trace;
        char name[TRACE_NAME_SIZE + 10];

        (void)state;
        trace_begin(&trace, NULL);
        memset(name, 'n', sizeof(name));
        memcpy(name + TRACE_NAME_SIZE - 2, "\xC3\xA9", 2);
        name[sizeof(name) - 1] = '\0';
        trace_set(trace.node_id, name);
        assert_int_equal(strlen(trace.node_id), TRACE_NAME_SIZE - 2);
        name[TRACE_NAME_SIZE - 1] = '\0';
        name[TRACE_NAME_SIZE - 2] = 'n';
        trace_set(trace.node_id, name);
        assert_int_equal(strlen(trace.node_id), TRACE_NAME_SIZE - 1);
        trace_set(trace.node_id, NULL);
        assert_string_equal(trace.node_id, "");
}

static void scopes_nest(void **state)
{
        struct trace outer, inner;

        (void)state;
        trace_begin(&outer, NULL);
        trace_begin(&inner, NULL);
        assert_null(trace_current());
        {
                TRACE_SCOPE(&outer);
                assert_ptr_equal(trace_current(), &outer);
                for (int i = 0; i < 2; i++) {
                        TRACE_SCOPE(i ? NULL : &inner);
                        assert_ptr_equal(trace_current(), i ? NULL : &inner);
                }
                assert_ptr_equal(trace_current(), &outer);
        }
        assert_null(trace_current());
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(joins_a_valid_parent),
                cmocka_unit_test(reads_later_versions_by_their_beginning),
                cmocka_unit_test(starts_anew_on_a_wrong_parent),
                cmocka_unit_test(writes_a_parent_that_it_reads),
                cmocka_unit_test(set_cuts_at_a_character),
                cmocka_unit_test(scopes_nest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
