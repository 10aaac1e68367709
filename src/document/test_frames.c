/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "document/frames.h"

#include <cmocka.h>

/* Writes what comes as one text: "<2:Title>" for a heading, "|" for the end of a page. */
struct log {
        struct buffer out;
        enum status fail; /* returned by the sink */
};

static enum status result(struct log *log, struct error *err)
{
        return log->fail ? error_set(err, log->fail, "no more") : STATUS_OK;
}

static enum status on_text(void *arg, const char *text, size_t length, struct error *err)
{
        struct log *log = arg;

        assert_true(length > 0 && utf8_valid(text, length));
        buffer_append(&log->out, text, length);
        return result(log, err);
}

static enum status on_heading(void *arg, unsigned level, const char *title, size_t length,
                              struct error *err)
{
        struct log *log = arg;

        assert_in_range(level, 1, 6);
        assert_true(length > 0 && length <= FRAMES_HEADING_MAX && utf8_valid(title, length));
        buffer_printf(&log->out, "<%u:%.*s>", level, (int)length, title);
        return result(log, err);
}

static enum status on_page_end(void *arg, struct error *err)
{
        struct log *log = arg;

        buffer_char(&log->out, '|');
        return result(log, err);
}

static const struct frames_limits wide = {.bytes = 1 << 20, .pages = 1000};

static char *parse(const void *ctx, const char *data, size_t length, size_t step, bool paged,
                   struct frames_limits limits, enum status *ret)
{
        struct log *log = mem_new(ctx, struct log);
        const struct frames_sink sink = {on_text, on_heading, on_page_end, log};
        struct frames *frames = mem_new(ctx, struct frames);
        struct error err = ERROR_INIT;

        log->out = BUFFER_INIT(log, 16 << 20);
        frames_init(frames, paged, limits, &sink);
        *ret = STATUS_OK;
        for (size_t at = 0; at < length && !*ret; at += step)
                *ret = frames_feed(frames, data + at, length - at < step ? length - at : step,
                                   &err);
        if (!*ret)
                *ret = frames_end(frames, &err);
        return mem_strdup(ctx, buffer_string(&log->out));
}

static void check(const char *data, size_t length, bool paged, const char *wanted)
{
        for (size_t step = 1; step <= length + 1; step++) {
                SCOPED_MEM void *ctx = mem_root();
                enum status status;

                assert_string_equal(parse(ctx, data, length, step, paged, wide, &status), wanted);
                assert_int_equal(status, STATUS_OK);
        }
}
#define CHECK(data, paged, wanted) check((data), sizeof(data) - 1, (paged), (wanted))

static void marks_become_headings_and_pages(void **state)
{
        (void)state;
        CHECK("\x02Title\nText\n", false, "<2:Title>\nText\n");
        CHECK("a\n\x01One\n\x06Six", false, "a\n<1:One>\n<6:Six>");
        CHECK("one\ftwo\f", true, "one|two|");
        CHECK("\f\f", true, "||");
}

static void marks_elsewhere_are_spaces(void **state)
{
        (void)state;
        CHECK("a\x02"
              "b\n",
              false, "a b\n");
        CHECK("\x07"
              "bell\n",
              false, " bell\n");
        CHECK("\x02Title\n", true, " Title\n");
        CHECK("one\ftwo", false, "one two");
        CHECK("a\0b\x1B[0m\x7F\r\tz", false, "a b [0m  \tz");
        CHECK("\x02\x03Title\n", false, "<2: Title>\n");
        CHECK("\x02\nText", false, "\nText");
}

static void invalid_bytes_are_replaced(void **state)
{
        (void)state;
        CHECK("caf\xC3\xA9", false, "caf\xC3\xA9");
        CHECK("\xF0\x9F\x98\x80!", false, "\xF0\x9F\x98\x80!");
        CHECK("a\xFF"
              "b",
              false,
              "a\xEF\xBF\xBD"
              "b");
        CHECK("\xC3", false, "\xEF\xBF\xBD");
        CHECK("\xED\xA0\x80", false, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void however_it_is_cut_it_reads_the_same(void **state)
{
        char data[400];
        unsigned random = 12345;

        (void)state;
        for (int round = 0; round < 300; round++) {
                for (size_t i = 0; i < sizeof(data); i++) {
                        static const char likely[] =
                                "\xC3\xA9\xE6\x9D\xB1\xF0\x9F\x98\x80\n\f\x02 ";

                        random = random * 1103515245 + 12345;
                        data[i] = random >> 28 < 12 ? likely[(random >> 16) % sizeof(likely)]
                                                    : (char)(random >> 16);
                }
                SCOPED_MEM void *ctx = mem_root();
                enum status status;
                char *whole =
                        parse(ctx, data, sizeof(data), sizeof(data), round % 2, wide, &status);

                for (size_t step = 1; step < 9; step++) {
                        assert_string_equal(
                                parse(ctx, data, sizeof(data), step, round % 2, wide, &status),
                                whole);
                        assert_int_equal(status, STATUS_OK);
                }
        }
}

static void a_long_heading_goes_on_as_text(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char data[2000];
        enum status status;

        (void)state;
        memset(data, 'h', sizeof(data));
        data[0] = 1;
        char *text = parse(ctx, data, sizeof(data), 7, false, wide, &status);

        assert_int_equal(strlen(text), sizeof(data) - 1 + strlen("<1:>"));
        assert_int_equal(text[3 + FRAMES_HEADING_MAX], '>');
}

static void limits_end_it(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        enum status status;

        (void)state;
        parse(ctx, "12345", 5, 1, false, (struct frames_limits){5, 1}, &status);
        assert_int_equal(status, STATUS_OK);
        parse(ctx, "123456", 6, 1, false, (struct frames_limits){5, 1}, &status);
        assert_int_equal(status, STATUS_TOO_LARGE);
        parse(ctx, "\xFF\xFF", 2, 1, false, (struct frames_limits){5, 1}, &status);
        assert_int_equal(status, STATUS_TOO_LARGE);
        parse(ctx, "a\fb\f", 4, 4, true, (struct frames_limits){50, 2}, &status);
        assert_int_equal(status, STATUS_OK);
        parse(ctx, "a\fb\f\f", 5, 5, true, (struct frames_limits){50, 2}, &status);
        assert_int_equal(status, STATUS_TOO_LARGE);
}

static void a_failure_of_the_sink_ends_it(void **state)
{
        struct log log = {.fail = STATUS_UNAVAILABLE, .out = BUFFER_INIT(NULL, 100)};
        const struct frames_sink sink = {on_text, on_heading, on_page_end, &log};
        struct frames frames;
        struct error err = ERROR_INIT;

        (void)state;
        frames_init(&frames, true, wide, &sink);
        assert_int_equal(frames_feed(&frames, "a\fb", 3, &err), STATUS_UNAVAILABLE);
        buffer_release(&log.out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(marks_become_headings_and_pages),
                cmocka_unit_test(marks_elsewhere_are_spaces),
                cmocka_unit_test(invalid_bytes_are_replaced),
                cmocka_unit_test(however_it_is_cut_it_reads_the_same),
                cmocka_unit_test(a_long_heading_goes_on_as_text),
                cmocka_unit_test(limits_end_it),
                cmocka_unit_test(a_failure_of_the_sink_ends_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
