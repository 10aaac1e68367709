/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/utf8.h"
#include "base/uuid.h"

#include <cmocka.h>

static void error_message_is_cut_at_a_character(void **state)
{
        struct error err = ERROR_INIT;
        char text[ERROR_MESSAGE_MAX + 8];

        (void)state;
        memset(text, 'a', sizeof(text));
        memcpy(text + ERROR_MESSAGE_MAX - 2, "\xC3\xA9", 3);
        assert_int_equal(error_set(&err, STATUS_NOT_FOUND, "%s", text), STATUS_NOT_FOUND);
        assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 2);
        assert_int_equal(status_http(err.status), 404);
        error_prefix(&err, "reading %s", "x");
        assert_memory_equal(err.message, "reading x: aaa", 14);
}

static void buffer_stops_at_its_maximum(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer buffer = BUFFER_INIT(ctx, 10);
        struct error err = ERROR_INIT;

        (void)state;
        buffer_text(&buffer, "12345");
        buffer_text(&buffer, "123456");
        buffer_text(&buffer, "1");
        assert_string_equal(buffer_string(&buffer), "12345");
        assert_int_equal(buffer_check(&buffer, "text", &err), STATUS_TOO_LARGE);
}

static void buffer_writes_json_strings(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer buffer = BUFFER_INIT(ctx, 1000);

        (void)state;
        buffer_json(&buffer, "a\"\\\n\x01\xC3\xA9\xFFz");
        assert_string_equal(buffer_string(&buffer), "\"a\\\"\\\\\\n\\u0001\xC3\xA9\xEF\xBF\xBDz\"");
}

static void clock_reads_what_it_writes(void **state)
{
        char text[CLOCK_TEXT_SIZE];
        struct error err = ERROR_INIT;
        int64_t ms;

        (void)state;
        assert_string_equal(clock_format(1793277420123, text), "2026-10-29T12:37:00.123Z");
        assert_int_equal(clock_parse(text, &ms, &err), STATUS_OK);
        assert_int_equal(ms, 1793277420123);
        assert_int_equal(clock_parse("2026-10-29T14:37:00.123+02:00", &ms, &err), STATUS_OK);
        assert_int_equal(ms, 1793277420123);
        const char *bad[] = {"yesterday",
                             "2026-10-29T14:37:00",
                             "2026-10-29T14:37:00+",
                             "2026-10-29T14:37:00+2:00",
                             "2026-10-29T14:37:00+-2:00",
                             "2026-10-29T14:37:00+02",
                             "2026-10-29T14:37:00+24:00",
                             "2026-10-29T14:37:00+02:60",
                             "2026-10-29T14:37:00+02:00Z"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(clock_parse(bad[i], &ms, &err), STATUS_INVALID);
}

static void uuids_are_valid_and_rise(void **state)
{
        char last[UUID_TEXT_SIZE] = "", id[UUID_TEXT_SIZE];

        (void)state;
        for (int i = 0; i < 10000; i++) {
                assert_true(uuid_valid(uuid_new(id)));
                assert_int_equal(id[14], '7');
                assert_true(strcmp(id, last) > 0);
                memcpy(last, id, sizeof(id));
        }
        assert_false(uuid_valid("0192"));
        assert_false(uuid_valid("0192aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaz"));
}

static void json_refuses_depth_and_duplicates(void **state)
{
        struct error err = ERROR_INIT;
        json_t *json = NULL;
        char deep[300];

        (void)state;
        memset(deep, '[', sizeof(deep));
        assert_int_equal(json_read(deep, sizeof(deep), &json, &err), STATUS_INVALID);
        assert_int_equal(json_read("{\"a\":1,\"a\":2}", 13, &json, &err), STATUS_INVALID);
        assert_int_equal(json_read("{\"a\":[1,{\"b\":7}]}", 17, &json, &err), STATUS_OK);
        assert_int_equal(json_integer_value(json_path(json, "a[1].b")), 7);
        assert_null(json_path(json, "a[1].c.d"));
        json_decref(json);
}

struct body {
        char *name;
        int64_t count;
        bool has_count;
};

static const struct field body_fields[] = {
        {"name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct body, name), 1, 5, 0},
        {"count", FIELD_INT, 0, offsetof(struct body, count), 0, 9,
         offsetof(struct body, has_count)},
        {0},
};

static enum status read_body(void *ctx, const char *text, struct body *body,
                             struct problems **problems)
{
        struct error err = ERROR_INIT;
        SCOPED_JSON json_t *json = NULL;

        assert_int_equal(json_read(text, strlen(text), &json, &err), STATUS_OK);
        *problems = problems_new(ctx);
        return fields_read(ctx, json, body_fields, "", body, *problems, &err);
}

static void fields_fill_and_complain(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct problems *problems;
        struct body body = {0};

        (void)state;
        assert_int_equal(
                read_body(ctx, "{\"name\":\"\xC3\xA9t\xC3\xA9\",\"count\":3}", &body, &problems),
                STATUS_OK);
        assert_int_equal(body.count, 3);
        assert_true(body.has_count);
        assert_int_equal(
                read_body(ctx, "{\"name\":\"toolong\",\"count\":\"x\",\"z\":1}", &body, &problems),
                STATUS_INVALID);
        assert_int_equal(problems->count, 3);
        assert_string_equal(problems->items[2].path, "z");
}

static void count_up(void *arg)
{
        __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void pool_runs_every_job_before_it_stops(void **state)
{
        struct error err = ERROR_INIT;
        struct pool *pool = NULL;
        int count = 0;

        (void)state;
        assert_int_equal(pool_new("test", 4, 10, &pool, &err), STATUS_OK);
        for (int i = 0; i < 1000; i++)
                pool_continue(pool, count_up, &count);
        pool_free(pool);
        assert_int_equal(count, 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(error_message_is_cut_at_a_character),
                cmocka_unit_test(buffer_stops_at_its_maximum),
                cmocka_unit_test(buffer_writes_json_strings),
                cmocka_unit_test(clock_reads_what_it_writes),
                cmocka_unit_test(uuids_are_valid_and_rise),
                cmocka_unit_test(json_refuses_depth_and_duplicates),
                cmocka_unit_test(fields_fill_and_complain),
                cmocka_unit_test(pool_runs_every_job_before_it_stops),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
