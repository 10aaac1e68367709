/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <string.h>

#include "engine/template.h"

#include <cmocka.h>

static json_t *values(void)
{
        struct error err = ERROR_INIT;
        json_t *json = NULL;
        const char *text = "{\"q\":{\"text\":\"who?\",\"n\":3,\"list\":[1,{\"a\":\"b\"}],"
                           "\"none\":null,\"braces\":\"{{q.text}}\"},\"a-b_1\":{\"text\":\"x\"}}";

        assert_int_equal(json_read(text, strlen(text), &json, &err), STATUS_OK);
        return json;
}

static void assert_filled(const char *text, const char *expected)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = values();
        struct buffer out = BUFFER_INIT(ctx, 1000);
        struct error err = ERROR_INIT;

        assert_int_equal(template_fill(text, json, &out, &err), STATUS_OK);
        assert_string_equal(buffer_string(&out), expected);
}

static void assert_refused(const char *text, enum status status, const char *part)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = values();
        struct buffer out = BUFFER_INIT(ctx, 1000);
        struct error err = ERROR_INIT;

        assert_int_equal(template_fill(text, json, &out, &err), status);
        assert_non_null(strstr(err.message, part));
}

static void places_are_filled(void **state)
{
        (void)state;
        assert_filled("", "");
        assert_filled("no places", "no places");
        assert_filled("{{q.text}}", "who?");
        assert_filled("a {{ q.text }} b {{a-b_1.text}}", "a who? b x");
        assert_filled("{{q}}{{\nq.n\t}}", "who?3");
        assert_filled("{{q.list}} {{q.list[1].a}} {{q.list[0]}}", "[1,{\"a\":\"b\"}] b 1");
        assert_filled("{{q.none}}", "null");
        assert_filled("}} { {", "}} { {");
}

static void filled_text_is_not_a_template(void **state)
{
        (void)state;
        assert_filled("{{q.braces}}", "{{q.text}}");
}

static void a_backslash_keeps_braces(void **state)
{
        (void)state;
        assert_filled("\\{{q.text}}", "{{q.text}}");
        assert_filled("a\\{{q.text}} {{q.n}}", "a{{q.text}} 3");
        assert_filled("\\\\{{", "\\{{");
        assert_filled("\\n{{q.n}}", "\\n3");
}

static void bad_places_are_named(void **state)
{
        (void)state;
        assert_refused("ab {{q.text", STATUS_INVALID, "character 4");
        assert_refused("\xC3\xA9{{ }}", STATUS_INVALID, "character 2");
        assert_refused("{{.text}}", STATUS_INVALID, "names nothing");
        assert_refused("{{q.}}", STATUS_INVALID, "names nothing");
        assert_refused("{{a {{q.text}}", STATUS_INVALID, "character 1 is not closed");
        assert_refused("{{zz.text}}", STATUS_UNPROCESSABLE, "zz");
        assert_refused("{{q.absent}}", STATUS_UNPROCESSABLE, "{{q.absent}}");
        assert_refused("{{q.list[7]}}", STATUS_UNPROCESSABLE, "q.list[7]");
        assert_refused("{{q.list[x}}", STATUS_UNPROCESSABLE, "q.list[x");
}

static void long_places_are_refused(void **state)
{
        char text[TEMPLATE_PLACE_MAX + 8];

        (void)state;
        memset(text, 'a', sizeof(text));
        text[0] = text[1] = '{';
        memcpy(text + sizeof(text) - 3, "}}", 3);
        assert_refused(text, STATUS_INVALID, "too long");
}

static void the_result_is_bounded(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = values();
        struct buffer out = BUFFER_INIT(ctx, 6);
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(template_fill("{{q}}{{q}}", json, &out, &err), STATUS_TOO_LARGE);
}

struct seen {
        int count;
        char last[64];
};

static bool remember(const char *node_id, const char *path, void *arg)
{
        struct seen *seen = arg;

        snprintf(seen->last, sizeof(seen->last), "%s|%s", node_id, path);
        return ++seen->count < 2;
}

static void walking_tells_each_place_until_stopped(void **state)
{
        struct seen seen = {0};
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(template_walk("{{a}} {{b[0].c}} {{d.e}}", remember, &seen, &err),
                         STATUS_OK);
        assert_int_equal(seen.count, 2);
        assert_string_equal(seen.last, "b|[0].c");
        assert_true(template_has_places("x{{"));
        assert_false(template_has_places("{ {"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(places_are_filled),
                cmocka_unit_test(filled_text_is_not_a_template),
                cmocka_unit_test(a_backslash_keeps_braces),
                cmocka_unit_test(bad_places_are_named),
                cmocka_unit_test(long_places_are_refused),
                cmocka_unit_test(the_result_is_bounded),
                cmocka_unit_test(walking_tells_each_place_until_stopped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
