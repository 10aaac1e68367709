/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "document/similar.h"

#include <cmocka.h>

static bool similar(const char *a, const char *b)
{
        SCOPED_MEM void *ctx = mem_root();
        struct shingles x = shingles_new(ctx, a), y = shingles_new(ctx, b);

        assert_int_equal(shingles_similar(&x, &y), shingles_similar(&y, &x));
        return shingles_similar(&x, &y);
}

static void the_same_words_are_similar(void **state)
{
        (void)state;
        assert_true(similar("The pump runs at nine bar.", "the PUMP runs,\nat nine bar"));
        assert_true(similar("otters", "Otters!"));
        assert_true(similar("Ein Über­fall am Mittag", "Ein Über­fall am Mittag."));
}

static void a_changed_word_in_a_long_passage_is_similar(void **state)
{
        (void)state;
        assert_true(similar("one two three four five six seven eight nine ten eleven twelve "
                            "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty "
                            "and so on until the very end of a passage of many many words indeed",
                            "one two three four five six seven eight nine ten eleven twelve "
                            "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty "
                            "and so on until the very end of a passage of many many words then"));
}

static void other_words_are_not(void **state)
{
        (void)state;
        assert_false(similar("The secret number of the red team is eleven.",
                             "The secret number of the blue team is twelve."));
        assert_false(similar("a b c d e f", "f e d c b a"));
        assert_false(similar("", ""));
        assert_false(similar("words", ""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_same_words_are_similar),
                cmocka_unit_test(a_changed_word_in_a_long_passage_is_similar),
                cmocka_unit_test(other_words_are_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
