/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <string.h>

#include "engine/value_text.h"

#include <cmocka.h>

static void values_read_back_as_they_were(void **state)
{
        static const char *const texts[] = {
                "{}",
                "[]",
                "{\"a\":[1,-2,9007199254740993,{\"b\":null}],\"c\":true,\"d\":false}",
                "[0.1,1.0,-2.5e-7,1e300,123456789012345680.0]",
                "{\"quote\\\"back\\\\\":\"line\\n\\t\\u0001 \xC3\xA9 \xF0\x9F\x98\x80\"}",
                "[[[[\"deep\"]]],\"\"]",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
                SCOPED_MEM void *ctx = mem_root();
                SCOPED_JSON json_t *value = NULL, *again = NULL;
                struct buffer text = BUFFER_INIT(ctx, 10000);
                struct error err = ERROR_INIT;

                assert_int_equal(json_read(texts[i], strlen(texts[i]), &value, &err), STATUS_OK);
                value_append(&text, value);
                assert_int_equal(json_read(text.data, text.length, &again, &err), STATUS_OK);
                assert_true(json_equal(value, again));
        }
}

static void texts_are_compact_and_bounded(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *value = json_pack("{s:[i, f, n], s:s}", "a", 1, 1.0, "b", "x");
        struct buffer text = BUFFER_INIT(ctx, 1000), small = BUFFER_INIT(ctx, 10);

        (void)state;
        value_append(&text, value);
        assert_string_equal(buffer_string(&text), "{\"a\":[1,1.0,null],\"b\":\"x\"}");
        value_append(&small, value);
        assert_true(small.overflow);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_read_back_as_they_were),
                cmocka_unit_test(texts_are_compact_and_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
