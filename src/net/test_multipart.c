/* SPDX-License-Identifier: Apache-2.0 */
/* Forms cut at every byte give the same parts; malformed and oversized ones are refused. */
#include <string.h>

#include "base/buffer.h"
#include "net/multipart.h"
#include "net/test_http.h"

#define TYPE              "multipart/form-data; boundary=\"b:1\""
#define PART(head, body)  "--b:1\r\n" head "\r\n\r\n" body "\r\n"
#define FIELD(name, body) PART("Content-Disposition: form-data; name=\"" name "\"", body)
#define END               "--b:1--\r\n"

/* What the handlers saw, as text. */
struct seen {
        struct buffer text;
        size_t data;
        bool refuse;
};

static enum status part_begin(const char *name, const char *filename, const char *content_type,
                              void *arg, struct error *err)
{
        struct seen *seen = arg;

        if (seen->refuse)
                return error_set(err, STATUS_CONFLICT, "refused");
        buffer_printf(&seen->text, "[%s|%s|%s:", name, filename ? filename : "-",
                      content_type ? content_type : "-");
        return STATUS_OK;
}

static enum status part_data(const char *data, size_t length, void *arg, struct error *err)
{
        struct seen *seen = arg;

        (void)err;
        assert_true(length > 0);
        buffer_append(&seen->text, data, length);
        seen->data += length;
        return STATUS_OK;
}

static enum status part_end(void *arg, struct error *err)
{
        struct seen *seen = arg;

        (void)err;
        buffer_char(&seen->text, ']');
        return STATUS_OK;
}

static const struct multipart_handlers handlers = {part_begin, part_data, part_end};

/* Feeds `body` in pieces of `piece` bytes, the first one of `first`. */
static enum status parse(const void *ctx, const char *type, const char *body, size_t length,
                         size_t first, size_t piece, struct seen *seen, struct error *err)
{
        struct multipart *multipart;

        seen->text = BUFFER_INIT(ctx, KIB * KIB);
        if (multipart_new(ctx, type, &handlers, seen, &multipart, err))
                return err->status;
        for (size_t at = 0, step = first; at < length; at += step, step = piece) {
                if (at + step > length)
                        step = length - at;
                if (multipart_feed(multipart, body + at, step, err)) {
                        struct error again = ERROR_INIT;

                        assert_int_equal(multipart_feed(multipart, "x", 1, &again), err->status);
                        assert_string_equal(again.message, err->message);
                        assert_int_equal(multipart_end(multipart, &again), err->status);
                        return err->status;
                }
        }
        return multipart_end(multipart, err);
}

static void expect(const char *body, const char *wanted)
{
        size_t length = strlen(body);

        for (size_t first = 1; first <= length; first++) {
                const size_t pieces[] = {1, length};

                for (size_t i = 0; i < ARRAY_LENGTH(pieces); i++) {
                        SCOPED_MEM void *ctx = mem_root();
                        struct seen seen = {0};
                        struct error err = ERROR_INIT;

                        if (parse(ctx, TYPE, body, length, first, pieces[i], &seen, &err))
                                fail_msg("cut at %zu: %s", first, err.message);
                        assert_string_equal(buffer_string(&seen.text), wanted);
                }
        }
}

static void forms_are_read_however_they_are_cut(void **state)
{
        (void)state;
        expect(FIELD("a", "1") END, "[a|-|-:1]");
        expect("preamble\r\n--b:\r\n" FIELD("a", "1") FIELD("b", "") END "epilogue --b:1",
               "[a|-|-:1][b|-|-:]");
        expect(PART("content-disposition: form-data; filename=\"x.pdf\"; name=file\r\n"
                    "CONTENT-TYPE: application/pdf\r\nX-Other: y",
                    "%PDF\r\n-\r\n--b:2\r\n--b\r\r\n\n--") END,
               "[file|x.pdf|application/pdf:%PDF\r\n-\r\n--b:2\r\n--b\r\r\n\n--]");
        /* A part without even an empty body, padding behind delimiters. */
        expect("--b:1 \t\r\nContent-Disposition: form-data; name=a\r\n\r\n--b:1\t\r\n"
               "Content-Disposition: form-data; name=b\r\n\r\n\r\n\r\n--b:1--",
               "[a|-|-:][b|-|-:\r\n]");
        expect(END, "");
}

static void names_are_decoded(void **state)
{
        (void)state;
        expect(PART("Content-Disposition: form-data; name=\"a%22b\"; filename=\"C:\\dir\\\xC3\xA9 "
                    "\\\".txt\"",
                    "") END,
               "[a\"b|C:\\dir\\\xC3\xA9 \".txt|-:]");
        expect(PART("Content-Disposition: form-data; name=a; filename=\"\"", "") END, "[a||-:]");
        expect(PART("Content-Disposition: form-data; name=a; filename*=UTF-8''x", "") END,
               "[a|-|-:]");
}

static void content_types_are_checked(void **state)
{
        static const struct {
                const char *type;
                enum status status;
        } types[] = {
                {"multipart/form-data;boundary=b:1", STATUS_OK},
                {"Multipart/Form-Data; charset=utf-8; BOUNDARY=b:1", STATUS_OK},
                {NULL, STATUS_UNSUPPORTED_TYPE},
                {"application/json", STATUS_UNSUPPORTED_TYPE},
                {"multipart/form-dataX; boundary=b", STATUS_UNSUPPORTED_TYPE},
                {"multipart/mixed; boundary=b", STATUS_UNSUPPORTED_TYPE},
                {"multipart/form-data", STATUS_INVALID},
                {"multipart/form-data; boundary=", STATUS_INVALID},
                {"multipart/form-data; boundary=\"\"", STATUS_INVALID},
                {"multipart/form-data; boundary=\"b", STATUS_INVALID},
                {"multipart/form-data; boundary=\"b \"", STATUS_INVALID},
                {"multipart/form-data; boundary=\"b\tc\"", STATUS_INVALID},
                {"multipart/form-data; boundary=a; boundary=b", STATUS_INVALID},
                {"multipart/form-data boundary=a", STATUS_INVALID},
                {"multipart/form-data; boundary="
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                 STATUS_INVALID},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
                SCOPED_MEM void *ctx = mem_root();
                struct seen seen = {0};
                struct error err = ERROR_INIT;
                const char *body = FIELD("a", "1") END;

                if (parse(ctx, types[i].type, body, strlen(body), 1, 7, &seen, &err) !=
                    types[i].status)
                        fail_msg("type %zu: %s", i, err.message);
        }
}

static void malformed_forms_are_refused(void **state)
{
        static const char *const bodies[] = {
                "",
                "no delimiter at all",
                "--b:1",
                "--b:1\r\n",
                FIELD("a", "1"),
                FIELD("a", "1") "--b:1-",
                FIELD("", "1") END,
                PART("Content-Type: text/plain", "1") END,
                PART("Content-Disposition: attachment; name=a", "1") END,
                PART("Content-Disposition: form-data", "1") END,
                PART("Content-Disposition: form-data; name=\"a", "1") END,
                PART("Content-Disposition: form-data; name=a; name=b", "1") END,
                PART("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; "
                     "name=b",
                     "1") END,
                PART("Content-Disposition: form-data; name=a\r\nContent-Type: multipart/mixed; "
                     "boundary=x",
                     "1") END,
                PART("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
                     "1") END,
                PART("Content-Disposition: form-data;\r\n name=a", "1") END,
                PART("Content-Disposition: form-data; name=a\r\nno colon", "1") END,
                PART("Content-Disposition: form-data; name=a\r\n: empty", "1") END,
                PART("Content-Disposition: form-data; name=\"a%0D%0Ab\"", "1") END,
                PART("Content-Disposition: form-data; name=\"a\x01\"", "1") END,
                PART("Content-Disposition: form-data; name=\"\xFF\"", "1") END,
                PART("Content-Disposition: form-data; name=a\nX: y", "1") END,
                PART("Content-Disposition: form-data; name=a\rX: y", "1") END,
                "--b:1\r\n\r\n1\r\n" END,
                "--b:1x\r\n" FIELD("a", "1") END,
                "--b:1                                                                     \r\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
                for (size_t piece = 1; piece < 100; piece += 49) {
                        SCOPED_MEM void *ctx = mem_root();
                        struct seen seen = {0};
                        struct error err = ERROR_INIT;

                        if (parse(ctx, TYPE, bodies[i], strlen(bodies[i]), piece, piece, &seen,
                                  &err) != STATUS_INVALID)
                                fail_msg("body %zu was taken: %s", i, buffer_string(&seen.text));
                }
        }
}

static enum status parse_built(const struct buffer *body, struct seen *seen, struct error *err)
{
        return parse(body->ctx, TYPE, body->data, body->length, 1000, 1000, seen, err);
}

static void limits_hold(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, KIB * KIB);
        struct seen seen = {0};
        struct error err = ERROR_INIT;
        char name[MULTIPART_NAME_MAX + 2];

        (void)state;
        for (int i = 0; i < MULTIPART_PARTS_MAX; i++)
                buffer_text(&body, FIELD("a", "1"));
        size_t parts = body.length;

        buffer_text(&body, END);
        assert_int_equal(parse_built(&body, &seen, &err), STATUS_OK);
        assert_int_equal(seen.data, MULTIPART_PARTS_MAX);
        body.length = parts;
        buffer_text(&body, FIELD("a", "1") END);
        assert_int_equal(parse_built(&body, &seen, &err), STATUS_INVALID);

        for (size_t length = MULTIPART_NAME_MAX; length <= MULTIPART_NAME_MAX + 1; length++) {
                memset(name, 'n', length);
                name[length] = '\0';
                buffer_clear(&body);
                buffer_printf(&body, PART("Content-Disposition: form-data; name=\"%s\"", "") END,
                              name);
                assert_int_equal(parse_built(&body, &seen, &err),
                                 length == MULTIPART_NAME_MAX ? STATUS_OK : STATUS_INVALID);
        }
        buffer_clear(&body);
        buffer_text(&body, "--b:1\r\nContent-Disposition: form-data; name=a\r\nX: ");
        for (int i = 0; i < MULTIPART_HEADERS_MAX; i++)
                buffer_char(&body, 'x');
        buffer_text(&body, "\r\n\r\n1\r\n" END);
        assert_int_equal(parse_built(&body, &seen, &err), STATUS_TOO_LARGE);
}

static void large_bodies_pass_through(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, 2 * KIB * KIB);
        struct seen seen = {0};
        struct error err = ERROR_INIT;

        (void)state;
        buffer_text(&body, "--b:1\r\nContent-Disposition: form-data; name=a\r\n\r\n");
        for (int i = 0; i < 100000; i++)
                buffer_text(&body, "\r\n--b:0");
        buffer_text(&body, "\r\n" END);
        assert_int_equal(parse_built(&body, &seen, &err), STATUS_OK);
        assert_int_equal(seen.data, 700000);
}

static void a_handler_may_refuse(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct seen seen = {.refuse = true};
        struct error err = ERROR_INIT;
        const char *body = FIELD("a", "1") END;

        (void)state;
        assert_int_equal(parse(ctx, TYPE, body, strlen(body), 1, 1, &seen, &err), STATUS_CONFLICT);
        assert_string_equal(err.message, "refused");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(forms_are_read_however_they_are_cut),
                cmocka_unit_test(names_are_decoded),
                cmocka_unit_test(content_types_are_checked),
                cmocka_unit_test(malformed_forms_are_refused),
                cmocka_unit_test(limits_hold),
                cmocka_unit_test(large_bodies_pass_through),
                cmocka_unit_test(a_handler_may_refuse),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
