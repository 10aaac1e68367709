/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "document/chunk.h"

#include <cmocka.h>

/* --- Material ----------------------------------------------------------------------------------*/
static uint64_t random_state;

static unsigned pick(unsigned below)
{
        random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
        return (unsigned)((random_state >> 33) % below);
}

struct taken {
        char *text, *heading;
        int64_t start, end, page;
};

struct reading {
        void *ctx;
        struct chunker *chunker;
        struct buffer stream; /* what the offsets count */
        struct taken *pieces;
        size_t count;
        bool paged;
};

static enum status take(const struct piece *piece, void *arg, struct error *err)
{
        struct reading *reading = arg;

        (void)err;
        reading->pieces =
                mem_resize(reading->ctx, reading->pieces, struct taken, reading->count + 1);
        reading->pieces[reading->count++] = (struct taken){
                .text = mem_strndup(reading->ctx, piece->text, piece->length),
                .heading = mem_strdup(reading->ctx, piece->heading),
                .start = piece->start,
                .end = piece->end,
                .page = piece->page,
        };
        return STATUS_OK;
}

static struct reading *reading_new(const void *ctx, const struct chunk_options *options, bool paged)
{
        struct reading *reading = mem_new(ctx, struct reading);

        reading->ctx = reading;
        reading->paged = paged;
        reading->stream = BUFFER_INIT(reading, 16 << 20);
        reading->chunker = chunker_new(reading, options, paged, take, reading);
        return reading;
}

static void add_text(struct reading *reading, const char *text)
{
        struct error err = ERROR_INIT;
        size_t length = strlen(text), at = 0;

        buffer_text(&reading->stream, text);
        while (at < length) {
                size_t next = utf8_floor(text, length, at + 1 + pick(700));

                if (next <= at)
                        next = length;
                assert_int_equal(chunker_text(reading->chunker, text + at, next - at, &err), 0);
                at = next;
        }
}

static void add_heading(struct reading *reading, unsigned level, const char *title)
{
        struct error err = ERROR_INIT;

        buffer_text(&reading->stream, title);
        assert_int_equal(chunker_heading(reading->chunker, level, title, strlen(title), &err), 0);
        add_text(reading, "\n\n");
}

static void end_page(struct reading *reading)
{
        struct error err = ERROR_INIT;

        buffer_char(&reading->stream, '\f');
        assert_int_equal(chunker_page_end(reading->chunker, &err), 0);
}

static void finish(struct reading *reading)
{
        struct error err = ERROR_INIT;

        assert_int_equal(chunker_finish(reading->chunker, &err), 0);
}

static char *sentence(const void *ctx, unsigned words)
{
        static const char *const all[] = {"pump",  "the",      "Übertragung", "of",   "3.5",
                                          "value", "naïve",    "東京",        "café", "and",
                                          "e.g.",  "pressure", "is",          "to",   "machine"};
        struct buffer out = BUFFER_INIT(ctx, 1 << 20);

        for (unsigned i = 0; i < words; i++)
                buffer_printf(&out, "%s%s", i ? " " : "The ", all[pick(ARRAY_LENGTH(all))]);
        buffer_text(&out, ". ");
        return out.data;
}

static char *long_word(const void *ctx, size_t length)
{
        char *word = mem_array(ctx, char, length + 1);

        memset(word, 'x', length);
        return word;
}

/* Text as it comes: prose, hard wraps, long words, scripts without spaces, blanks, headings, pages. */
static void add_something(struct reading *reading)
{
        char title[40];

        switch (pick(reading->paged ? 9 : 8)) {
        case 0:
                add_text(reading, "\n\n");
                break;
        case 1:
                add_text(reading, long_word(reading, 1 + pick(300)));
                break;
        case 2:
                add_text(reading, "日本語の文章です。これは二つ目の文。");
                break;
        case 3:
                add_text(reading, "line\n");
                break;
        case 4:
                snprintf(title, sizeof(title), "Heading %u", pick(1000));
                if (!reading->paged && pick(4) == 0)
                        add_heading(reading, 1 + pick(6), title);
                break;
        case 8:
                if (pick(3) == 0)
                        end_page(reading);
                break;
        default:
                add_text(reading, sentence(reading, 3 + pick(30)));
        }
}

/* --- What holds for every text -----------------------------------------------------------------*/
static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t characters(const char *text, size_t length)
{
        size_t count = 0;

        for (size_t i = 0; i < length; i++)
                count += ((unsigned char)text[i] & 0xC0) != 0x80;
        return count;
}

static int64_t page_at(const char *stream, int64_t offset)
{
        int64_t page = 1;

        for (int64_t i = 0; i < offset; i++)
                page += stream[i] == '\f';
        return page;
}

static void check_piece(const struct reading *reading, const struct taken *piece,
                        const struct chunk_options *options)
{
        const char *stream = buffer_string(&reading->stream);
        size_t length = (size_t)(piece->end - piece->start);

        assert_true(piece->start >= 0 && piece->start < piece->end);
        assert_true((size_t)piece->end <= reading->stream.length);
        assert_int_equal(strlen(piece->text), length);
        assert_memory_equal(piece->text, stream + piece->start, length);
        assert_true(utf8_valid(piece->text, length));
        assert_false(is_space(piece->text[0]) || is_space(piece->text[length - 1]));
        assert_true(characters(piece->text, length) <= options->max);
        if (!reading->paged)
                assert_int_equal(piece->page, 0);
        else
                assert_true(piece->page >= page_at(stream, piece->start) &&
                            piece->page <= page_at(stream, piece->end));
}

/* Pieces rise, repeat at most `overlap` characters, and leave out only white space. */
static void check_order(const struct reading *reading, const struct chunk_options *options)
{
        const char *stream = buffer_string(&reading->stream);
        int64_t covered = 0;

        for (size_t i = 0; i < reading->count; i++) {
                const struct taken *piece = &reading->pieces[i];

                assert_true(i == 0 || piece->start > reading->pieces[i - 1].start);
                assert_true(piece->end > covered);
                for (int64_t at = covered; at < piece->start; at++)
                        assert_true(is_space(stream[at]));
                if (piece->start < covered)
                        assert_true(characters(stream + piece->start,
                                               (size_t)(covered - piece->start)) <=
                                    options->overlap);
                covered = piece->end;
        }
        for (size_t at = (size_t)covered; at < reading->stream.length; at++)
                assert_true(is_space(stream[at]));
}

static void check_random_text(uint64_t seed, const struct chunk_options *options, bool paged)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading;

        random_state = seed;
        reading = reading_new(ctx, options, paged);
        for (unsigned i = 0; i < 20 + seed % 200; i++)
                add_something(reading);
        finish(reading);
        for (size_t i = 0; i < reading->count; i++)
                check_piece(reading, &reading->pieces[i], options);
        check_order(reading, options);
}

static void pieces_are_exact_ranges_of_any_text(void **state)
{
        static const struct chunk_options options[] = {
                {1200, 2000, 100, 120}, {200, 300, 50, 30}, {40, 64, 15, 8},
                {8, 12, 3, 2},          {300, 2000, 0, 0},  {1200, 2000, 500, 400},
        };

        (void)state;
        for (uint64_t seed = 1; seed <= 240; seed++)
                check_random_text(seed, &options[seed % ARRAY_LENGTH(options)], seed % 5 < 2);
}

/* --- Where text is cut -------------------------------------------------------------------------*/
static const struct chunk_options small = {.target = 100, .max = 160, .overlap = 40, .tiny = 12};

static struct reading *read_text(const void *ctx, const struct chunk_options *options,
                                 const char *text)
{
        struct reading *reading;

        random_state = 1;
        reading = reading_new(ctx, options, false);
        add_text(reading, text);
        finish(reading);
        return reading;
}

static char *times(const void *ctx, const char *text, size_t count)
{
        struct buffer out = BUFFER_INIT(ctx, 1 << 20);

        for (size_t i = 0; i < count; i++)
                buffer_text(&out, text);
        return out.data;
}

static void sizes_are_near_the_target(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct chunk_options options = CHUNK_OPTIONS_DEFAULT;
        const char *prose = times(ctx, "Some forty characters of plain prose go. ", 2000);
        struct reading *reading = read_text(ctx, &options, prose);

        (void)state;
        assert_in_range(reading->count, 60, 85);
        for (size_t i = 0; i + 1 < reading->count; i++)
                assert_in_range(strlen(reading->pieces[i].text), 1100, 1300);
}

static void paragraphs_are_the_best_place(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading = read_text(
                ctx, &small,
                "First sentence here. Second sentence here. Third one is a bit longer than "
                "that.\n\n"
                "Next paragraph begins here. It goes on for quite a while. It does not end soon. "
                "But then it ends.");

        (void)state;
        assert_int_equal(reading->count, 2);
        assert_string_equal(reading->pieces[0].text + strlen(reading->pieces[0].text) - 10,
                            "than that.");
}

static void sentences_come_before_spaces_and_abbreviations_are_none(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading = read_text(
                ctx, &small,
                "It was said by Dr. J. Smith, i.e. by the man himself, that all of it holds. "
                "After this comes a long sentence that has no end within reach of the window at "
                "all "
                "and goes on and on and on");

        (void)state;
        assert_true(reading->count >= 2);
        assert_string_equal(reading->pieces[0].text + strlen(reading->pieces[0].text) - 9,
                            "it holds.");
}

static void running_text_repeats_the_last_sentence(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading =
                read_text(ctx, &small,
                          "The valve opens at nine bar of pressure in the boiler of the unit. "
                          "That is its limit. Never go beyond it, as the seal breaks then and "
                          "steam comes out. "
                          "Call the service if that happens to you at any time.");

        (void)state;
        assert_int_equal(reading->count, 2);
        assert_true(reading->pieces[1].start < reading->pieces[0].end);
        assert_memory_equal(reading->pieces[1].text, "That is its limit.", 18);
}

static void a_word_without_end_is_cut_between_characters(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading = read_text(ctx, &small, times(ctx, "ä", 1000));

        (void)state;
        assert_true(reading->count >= 7);
        for (size_t i = 0; i < reading->count; i++)
                assert_int_equal(strlen(reading->pieces[i].text) % 2, 0);
}

/* --- Headings and pages ------------------------------------------------------------------------*/
static void pieces_know_the_headings_above_them(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading = reading_new(ctx, &small, false);

        (void)state;
        add_heading(reading, 1, "Manual");
        add_heading(reading, 2, "Safety");
        add_text(reading, "Read this before you begin to use it. ");
        add_heading(reading, 2, "Use");
        add_heading(reading, 3, "Cleaning");
        add_text(reading, "Rinse it with water, never with acid. ");
        add_heading(reading, 1, "Annex");
        add_text(reading, "Everything else that there is to say.");
        finish(reading);
        assert_int_equal(reading->count, 3);
        assert_string_equal(reading->pieces[0].heading, "Manual > Safety");
        assert_memory_equal(reading->pieces[0].text, "Manual\n\nSafety\n\nRead", 20);
        assert_string_equal(reading->pieces[1].heading, "Manual > Use > Cleaning");
        assert_string_equal(reading->pieces[2].heading, "Annex");
}

static void small_sections_join_under_what_is_above_both(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct chunk_options options = CHUNK_OPTIONS_DEFAULT;
        struct reading *reading = reading_new(ctx, &options, false);

        (void)state;
        add_heading(reading, 1, "Questions");
        add_heading(reading, 2, "What voltage?");
        add_text(reading, "230 V.\n\n");
        add_heading(reading, 2, "What weight?");
        add_text(reading, "9 kg.\n\n");
        finish(reading);
        assert_int_equal(reading->count, 1);
        assert_string_equal(reading->pieces[0].heading, "Questions");
}

static void pages_are_kept_apart(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading = reading_new(ctx, &small, true);

        (void)state;
        add_text(reading, "The first page says enough to stand alone.");
        end_page(reading);
        add_text(reading, "So does the second page of this little book.");
        end_page(reading);
        end_page(reading); /* nothing on page 3 */
        add_text(reading, "And the fourth page is the last one of all.");
        end_page(reading);
        finish(reading);
        assert_int_equal(reading->count, 3);
        assert_int_equal(reading->pieces[0].page, 1);
        assert_int_equal(reading->pieces[1].page, 2);
        assert_int_equal(reading->pieces[2].page, 4);
}

static void a_tiny_page_joins_the_next_and_takes_its_number(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading = reading_new(ctx, &small, true);

        (void)state;
        add_text(reading, "Part II");
        end_page(reading);
        add_text(reading, "In this part we speak of many things and all of them matter.");
        end_page(reading);
        finish(reading);
        assert_int_equal(reading->count, 1);
        assert_int_equal(reading->pieces[0].start, 0);
        assert_int_equal(reading->pieces[0].page, 2);
}

static void blank_text_gives_nothing(void **state)
{
        SCOPED_MEM void *ctx = mem_root();

        (void)state;
        assert_int_equal(read_text(ctx, &small, "")->count, 0);
        assert_int_equal(read_text(ctx, &small, times(ctx, " \n\t", 5000))->count, 0);
}

static void long_headings_are_cut_at_a_character(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct reading *reading = reading_new(ctx, &small, false);

        (void)state;
        add_heading(reading, 1, times(ctx, "ä", 300));
        add_text(reading, "Text below a heading that is far too long.");
        finish(reading);
        const char *path = reading->pieces[reading->count - 1].heading;

        assert_int_equal(strlen(path), HEADING_TITLE_MAX);
        assert_true(utf8_valid(path, strlen(path)));
}

static enum status refuse(const struct piece *piece, void *arg, struct error *err)
{
        (void)piece;
        ++*(int *)arg;
        return error_set(err, STATUS_UNAVAILABLE, "full");
}

static void a_failure_of_the_taker_ends_it(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        int calls = 0;
        struct chunker *chunker = chunker_new(ctx, &small, false, refuse, &calls);
        const char *text = times(ctx, "Words and words. ", 100);

        (void)state;
        assert_int_equal(chunker_text(chunker, text, strlen(text), &err), STATUS_UNAVAILABLE);
        assert_int_equal(calls, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pieces_are_exact_ranges_of_any_text),
                cmocka_unit_test(sizes_are_near_the_target),
                cmocka_unit_test(paragraphs_are_the_best_place),
                cmocka_unit_test(sentences_come_before_spaces_and_abbreviations_are_none),
                cmocka_unit_test(running_text_repeats_the_last_sentence),
                cmocka_unit_test(a_word_without_end_is_cut_between_characters),
                cmocka_unit_test(pieces_know_the_headings_above_them),
                cmocka_unit_test(small_sections_join_under_what_is_above_both),
                cmocka_unit_test(pages_are_kept_apart),
                cmocka_unit_test(a_tiny_page_joins_the_next_and_takes_its_number),
                cmocka_unit_test(blank_text_gives_nothing),
                cmocka_unit_test(long_headings_are_cut_at_a_character),
                cmocka_unit_test(a_failure_of_the_taker_ends_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
