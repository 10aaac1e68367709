/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "net/sse.h"

#include <cmocka.h>

enum { EVENT_MAX = 256 };

/* Writes "event|data;" for each event. */
static bool record(const char *event, const char *data, size_t length, void *arg)
{
        struct buffer *log = arg;

        assert_int_equal(strlen(data), length);
        buffer_text(log, event);
        buffer_char(log, '|');
        buffer_append(log, data, length);
        buffer_char(log, ';');
        return strcmp(data, "stop") != 0;
}

static const char *read_split(void *ctx, const char *text, size_t piece, enum status *ret)
{
        struct buffer *log = mem_new(ctx, struct buffer);
        struct sse_reader *reader;
        struct error err = ERROR_INIT;
        size_t length = strlen(text);

        *log = BUFFER_INIT(ctx, 1 << 16);
        reader = sse_reader_new(ctx, EVENT_MAX, record, log);
        *ret = STATUS_OK;
        for (size_t at = 0; at < length && !*ret; at += piece)
                *ret = sse_reader_feed(reader, text + at, piece < length - at ? piece : length - at,
                                       &err);
        if (!*ret)
                *ret = sse_reader_end(reader, &err);
        return buffer_string(log);
}

/* The same events however the bytes are split. */
static void check(const char *text, const char *expected)
{
        SCOPED_MEM void *ctx = mem_root();
        enum status status;

        for (size_t piece = 1; piece < strlen(text) + 2; piece++) {
                assert_string_equal(read_split(ctx, text, piece, &status), expected);
                assert_int_equal(status, STATUS_OK);
        }
}

static void fields_make_events(void **state)
{
        (void)state;
        check("data: a\n\n", "message|a;");
        check("data:a\ndata: b\n\n", "message|a\nb;");
        check("event: x\nid: 7\nretry: 10\ndata:  two spaces\n\ndata: y\n\n",
              "x| two spaces;message|y;");
        check("event: nothing\n\ndata: a\n\n", "message|a;");
        check("data\n\ndata:\n\n", "message|;message|;");
        check("unknown: 1\n: comment\ndata: a\n\n: ping\n\n", "message|a;");
}

static void every_line_end_is_understood(void **state)
{
        (void)state;
        check("data: a\r\ndata: b\r\n\r\ndata: c\r\rdata: d\n\n",
              "message|a\nb;message|c;message|d;");
        check("\xEF\xBB\xBF"
              "data: a\n\n",
              "message|a;");
        check("data: caf\xC3\xA9 \xF0\x9F\x98\x80\n\n", "message|caf\xC3\xA9 \xF0\x9F\x98\x80;");
}

static void the_end_dispatches_what_is_left(void **state)
{
        (void)state;
        check("data: a\n\ndata: b", "message|a;message|b;");
        check("data: a\n\ndata: b\n", "message|a;message|b;");
        check("", "");
}

static void bare_json_is_a_raw_event(void **state)
{
        (void)state;
        check("data: a\n\n{\"error\":\"x\"}\n", "message|a;raw|{\"error\":\"x\"};");
        check("{\n  \"error\": {\n    \"m\": \"}\\\"{\"\n  }\n}\ndata: b\n\n",
              "raw|{\n  \"error\": {\n    \"m\": \"}\\\"{\"\n  }\n};message|b;");
        check("[{\"error\":1}]", "raw|[{\"error\":1}];");
        check("{\"cut\": ", "raw|{\"cut\": ;");
}

static void the_callback_can_stop(void **state)
{
        (void)state;
        check("data: a\n\ndata: stop\n\ndata: b\n\n", "message|a;message|stop;");
}

static void events_are_bounded(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char text[4 * EVENT_MAX] = "data: ";
        enum status status;

        (void)state;
        memset(text + 6, 'x', EVENT_MAX);
        read_split(ctx, text, 7, &status);
        assert_int_equal(status, STATUS_TOO_LARGE);

        text[0] = '\0';
        for (int i = 0; i < 20; i++)
                strncat(text, "data: 0123456789abcdef\n", sizeof(text) - strlen(text) - 1);
        read_split(ctx, text, 64, &status);
        assert_int_equal(status, STATUS_TOO_LARGE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(fields_make_events),
                cmocka_unit_test(every_line_end_is_understood),
                cmocka_unit_test(the_end_dispatches_what_is_left),
                cmocka_unit_test(bare_json_is_a_raw_event),
                cmocka_unit_test(the_callback_can_stop),
                cmocka_unit_test(events_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
