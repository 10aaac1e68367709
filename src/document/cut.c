/* SPDX-License-Identifier: Apache-2.0 */
#include "document/cut.h"

#include <ctype.h>
#include <string.h>

size_t cut_characters(const char *text, size_t length)
{
        size_t count = 0;

        for (size_t i = 0; i < length; i++)
                count += !cut_is_continuation(text[i]);
        return count;
}

static bool ends_with(const char *text, size_t length, const char *const *endings, size_t *ret)
{
        for (; *endings; endings++) {
                size_t size = strlen(*endings);

                if (size <= length && memcmp(text + length - size, *endings, size) == 0) {
                        *ret = size;
                        return true;
                }
        }
        return false;
}

/* "J.", "e.g.", and the number of a list item end no sentence. */
static bool is_abbreviation(const char *text, size_t dot)
{
        size_t from = dot;

        if (!dot || !isalnum((unsigned char)text[dot - 1]))
                return false;
        if (isalpha((unsigned char)text[dot - 1]))
                return dot == 1 || !isalnum((unsigned char)text[dot - 2]);
        while (from && isdigit((unsigned char)text[from - 1]))
                from--;
        while (from && (text[from - 1] == ' ' || text[from - 1] == '\t'))
                from--;
        return !from || text[from - 1] == '\n';
}

/* Scripts that put no space after a full stop. */
static bool after_wide_stop(const char *text, size_t at)
{
        static const char *const stops[] = {"。", "！", "？", "．", NULL};
        size_t size;

        return ends_with(text, at, stops, &size);
}

/* text[0..length) ends a sentence: a stop, then perhaps closing quotes or brackets. */
static bool ends_sentence(const char *text, size_t length)
{
        static const char *const closing[] = {"\"", "'", ")", "]", "*", "_", "”", "’", "»", NULL};
        static const char *const stops[] = {".", "!", "?", "…", NULL};
        size_t size;

        if (!length || isalnum((unsigned char)text[length - 1]) || text[length - 1] == ',')
                return false;
        while (ends_with(text, length, closing, &size))
                length -= size;
        if (after_wide_stop(text, length))
                return true;
        if (!ends_with(text, length, stops, &size))
                return false;
        return text[length - 1] != '.' || !is_abbreviation(text, length - 1);
}

/* Start of the white space that ends at `at`. */
static size_t space_start(const char *text, size_t at)
{
        while (at && cut_is_space(text[at - 1]))
                at--;
        return at;
}

static unsigned count_lines(const char *text, size_t from, size_t to)
{
        unsigned lines = 0;

        for (size_t i = from; i < to; i++)
                lines += text[i] == '\n' || text[i] == '\f';
        return lines;
}

bool cut_begins_sentence(const char *text, size_t length, size_t at)
{
        size_t before = space_start(text, at);

        if (!before || at >= length)
                return false;
        if (before == at)
                return after_wide_stop(text, at);
        if (count_lines(text, before, at) >= 2)
                return true;
        return ends_sentence(text, before) && !islower((unsigned char)text[at]);
}

enum cut_class { CUT_NONE, CUT_SPACE, CUT_LINE, CUT_SENTENCE, CUT_PARAGRAPH };

static enum cut_class classify(const char *text, size_t length, size_t at)
{
        size_t before = space_start(text, at);
        unsigned lines = count_lines(text, before, at);

        if (lines >= 2)
                return CUT_PARAGRAPH;
        if (cut_begins_sentence(text, length, at))
                return CUT_SENTENCE;
        if (before == at)
                return CUT_NONE;
        return lines ? CUT_LINE : CUT_SPACE;
}

struct place {
        size_t at, distance;
        enum cut_class class;
};

static void consider(struct place *best, const char *text, size_t length, size_t at,
                     size_t characters, const struct chunk_options *options)
{
        size_t distance = characters > options->target ? characters - options->target
                                                       : options->target - characters;
        enum cut_class class = CUT_NONE;

        if (cut_is_space(text[at - 1]) || !isascii((unsigned char)text[at - 1]))
                class = classify(text, length, at);
        if (class > best->class || (class == best->class && distance < best->distance))
                *best = (struct place){.at = at, .distance = distance, .class = class};
}

size_t cut_find(const char *text, size_t length, const struct chunk_options *options)
{
        struct place best = {.distance = SIZE_MAX};
        /* What is left after the cut is to be more than a scrap. */
        size_t last = options->max - (options->tiny < options->max / 4 ? options->tiny : 0);
        size_t at = 0, characters = 0;

        while (at < length && characters < options->max) {
                do
                        at++;
                while (at < length && cut_is_continuation(text[at]));
                characters++;
                if (characters >= options->target / 2 && characters <= last &&
                    (at == length || !cut_is_space(text[at])))
                        consider(&best, text, length, at, characters, options);
        }
        return best.class == CUT_NONE ? at : best.at;
}

size_t cut_overlap(const char *text, size_t cut, const struct chunk_options *options)
{
        size_t at = cut, found = cut, characters = 0;

        while (at > 1 && characters < options->overlap) {
                at--;
                if (cut_is_continuation(text[at]))
                        continue;
                characters++;
                if (!cut_is_space(text[at]) && cut_begins_sentence(text, cut, at))
                        found = at;
        }
        return found;
}
