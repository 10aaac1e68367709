/* SPDX-License-Identifier: Apache-2.0 */
/* Sentence splitting in two steps: lines into blocks (heading, list item, paragraph), blocks into
 * sentences at their punctuation. Abbreviations, initials, list numbers and decimals do not end a
 * sentence; a sentence longer than SENTENCE_MAX is cut at a space. */
#include "llm/sentences.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

enum { SENTENCE_MAX = 700, HEADING_BYTES_MAX = 90, HEADING_WORDS_MAX = 12 };

struct span {
        size_t from, to;
};

struct splitter {
        const char *text;
        size_t length;
        struct sentence *items;
        size_t count, capacity;
        const void *ctx;
        bool heading, item, begins_block; /* of the block at hand */
};

static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trim(const char *text, struct span span)
{
        while (span.from < span.to && is_space(text[span.from]))
                span.from++;
        while (span.to > span.from && is_space(text[span.to - 1]))
                span.to--;
        return span;
}

static void emit(struct splitter *splitter, size_t from, size_t to)
{
        struct span span = trim(splitter->text, (struct span){from, to});

        if (span.from == span.to)
                return;
        if (splitter->count == splitter->capacity) {
                splitter->capacity = splitter->capacity ? splitter->capacity * 2 : 32;
                splitter->items = mem_resize(splitter->ctx, splitter->items, struct sentence,
                                             splitter->capacity);
        }
        splitter->items[splitter->count++] = (struct sentence){
                .from = span.from,
                .to = span.to,
                .heading = splitter->heading || splitter->text[span.to - 1] == '?',
                .item = splitter->item,
                .begins_block = splitter->begins_block,
        };
        splitter->begins_block = false;
}

/* Cuts what is too long at the last space that fits; without one, at a character. */
static void emit_bounded(struct splitter *splitter, size_t from, size_t to)
{
        while (to - from > SENTENCE_MAX) {
                size_t cut = from + SENTENCE_MAX;

                while (cut > from + SENTENCE_MAX / 2 && !is_space(splitter->text[cut]))
                        cut--;
                while (cut < to && ((unsigned char)splitter->text[cut] & 0xC0) == 0x80)
                        cut++;
                emit(splitter, from, cut);
                from = cut;
        }
        emit(splitter, from, to);
}

static int32_t code_point(const char *text, size_t length)
{
        utf8proc_int32_t point = -1;

        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &point);
        return point;
}

/* Bytes of the sentence terminator at `text`, or 0; *ret_final when it needs no space after it. */
static size_t terminator(const char *text, size_t length, bool *ret_final)
{
        static const char *const wide[] = {"\u3002", "\uFF01", "\uFF1F"};

        *ret_final = false;
        if (*text == '.' || *text == '!' || *text == '?')
                return 1;
        if (length >= 3 && memcmp(text, "\u2026", 3) == 0)
                return 3;
        for (size_t i = 0; i < ARRAY_LENGTH(wide); i++) {
                if (length >= 3 && memcmp(text, wide[i], 3) == 0) {
                        *ret_final = true;
                        return 3;
                }
        }
        return 0;
}

/* Bytes of a closing quote or bracket at `text`, or 0. */
static size_t closer(const char *text, size_t length)
{
        static const char *const wide[] = {"\u201D", "\u2019", "\u00BB", "\u300D"};

        if (length > 0 && strchr(")]\"'", *text))
                return 1;
        for (size_t i = 0; i < ARRAY_LENGTH(wide); i++) {
                if (length >= strlen(wide[i]) && memcmp(text, wide[i], strlen(wide[i])) == 0)
                        return strlen(wide[i]);
        }
        return 0;
}

static bool is_abbreviation(const char *word, size_t length)
{
        static const char *const known[] = {
                "mr",  "mrs", "ms",   "dr",     "prof", "sr",  "jr",  "st",   "vs",   "e.g", "i.e",
                "cf",  "fig", "figs", "no",     "nos",  "p",   "pp",  "vol",  "ch",   "sec", "eq",
                "ref", "al",  "ca",   "approx", "inc",  "ltd", "co",  "corp", "dept", "est", "ed",
                "eds", "gen", "gov",  "hon",    "rev",  "z.b", "d.h", "bzw",  "usw",  "nr",  "abb",
                "art", "tab", "jan",  "feb",    "mar",  "apr", "jun", "jul",  "aug",  "sep", "sept",
                "oct", "nov", "dec",  "u.s",    "u.k",  "a.m", "p.m",
        };

        for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
                if (strlen(known[i]) == length && strncasecmp(word, known[i], length) == 0)
                        return true;
        }
        return length == 1 && isupper((unsigned char)*word);
}

/* The full stop at `at` belongs to its word: "Dr.", "J.", "2. Install". */
static bool dot_belongs_to_word(const char *text, size_t from, size_t at)
{
        size_t start = at;

        while (start > from && !is_space(text[start - 1]) && !strchr("([\"'", text[start - 1]))
                start--;
        if (start == at)
                return false;
        if (start == from && strspn(text + start, "0123456789") >= at - start)
                return true;
        return is_abbreviation(text + start, at - start);
}

/* What comes next can begin a sentence: anything but a lower-case letter. */
static bool may_begin(const char *text, size_t length)
{
        int32_t point = code_point(text, length);

        return point < 0 || utf8proc_category(point) != UTF8PROC_CATEGORY_LL;
}

/* The end of the sentence whose terminator is at `at`, or 0 if it does not end there. */
static size_t sentence_end(const char *text, size_t from, size_t at, size_t to)
{
        bool final, ignored;
        size_t end = at + terminator(text + at, to - at, &final), more, next;

        if (end == at)
                return 0;
        while (end < to && ((more = terminator(text + end, to - end, &ignored)) > 0 ||
                            (more = closer(text + end, to - end)) > 0))
                end += more;
        if (final || end == to)
                return end;
        for (next = end; next < to && is_space(text[next]); next++)
                continue;
        if (next == end || (next < to && !may_begin(text + next, to - next)))
                return 0;
        if (text[at] == '.' && dot_belongs_to_word(text, from, at))
                return 0;
        return end;
}

static void split_block(struct splitter *splitter, size_t from, size_t to)
{
        splitter->begins_block = true;
        for (size_t at = from; at < to && !splitter->heading;) {
                size_t end = sentence_end(splitter->text, from, at, to);

                if (end) {
                        emit_bounded(splitter, from, end);
                        from = at = end;
                } else {
                        at++;
                }
        }
        emit_bounded(splitter, from, to);
}

static struct span next_line(const struct splitter *splitter, size_t at)
{
        size_t end = at;

        while (end < splitter->length && splitter->text[end] != '\n' && splitter->text[end] != '\f')
                end++;
        return (struct span){at, end};
}

/* "- x", "* x", a bullet character, "1. x", "2) x", a row of a table. */
static bool is_item(const char *line, size_t length)
{
        size_t digits = 0;

        if (length >= 2 && strchr("-*+|", line[0]) && (line[1] == ' ' || line[0] == '|'))
                return true;
        if (length >= 4 && memcmp(line, "\u2022", 3) == 0)
                return true;
        while (digits < length && isdigit((unsigned char)line[digits]))
                digits++;
        return digits > 0 && digits <= 3 && digits + 1 < length &&
               (line[digits] == '.' || line[digits] == ')') && line[digits + 1] == ' ';
}

static size_t count_words(const char *line, size_t length, size_t *ret_capitals)
{
        size_t words = 0;

        *ret_capitals = 0;
        for (size_t i = 0; i < length; i++) {
                if (is_space(line[i]) || (i > 0 && !is_space(line[i - 1])))
                        continue;
                words++;
                *ret_capitals += !may_begin(line + i, length - i) ? 0 : 1;
        }
        return words;
}

static bool ends_inside(const struct splitter *splitter, struct span line)
{
        for (size_t at = line.from; at < line.to; at++) {
                if (sentence_end(splitter->text, line.from, at, line.to))
                        return true;
        }
        return false;
}

/* A short line that opens a block, ends without punctuation and is followed by nothing, or by a
 * line that begins anew and is clearly longer. */
static bool is_heading(const struct splitter *splitter, struct span line, struct span after)
{
        const char *text = splitter->text + line.from;
        size_t length = line.to - line.from, next_length, words, capitals;

        if (length > 2 && text[0] == '#')
                return true;
        words = count_words(text, length, &capitals);
        if (length > HEADING_BYTES_MAX || words > HEADING_WORDS_MAX || !may_begin(text, length) ||
            strchr(":;,-|", text[length - 1]) || ends_inside(splitter, line))
                return false;
        next_length = after.to - after.from;
        if (next_length == 0)
                return true;
        return may_begin(splitter->text + after.from, next_length) &&
               (length * 10 < next_length * 6 || capitals * 10 >= words * 7);
}

struct block {
        size_t from, to;
        bool open, item;
};

static void close_block(struct splitter *splitter, struct block *block)
{
        if (block->open) {
                splitter->item = block->item;
                splitter->heading = false;
                split_block(splitter, block->from, block->to);
        }
        *block = (struct block){0};
}

static void take_heading(struct splitter *splitter, struct span line)
{
        splitter->heading = true;
        splitter->item = false;
        split_block(splitter, line.from, line.to);
        splitter->heading = false;
}

/* A line follows at once and is none of a list. */
static bool opens_text(const struct splitter *splitter, struct span after)
{
        return after.to > after.from &&
               !is_item(splitter->text + after.from, after.to - after.from);
}

static void take_line(struct splitter *splitter, struct block *block, struct span line,
                      struct span after)
{
        const char *text = splitter->text + line.from;
        size_t length = line.to - line.from;
        bool item = is_item(text, length);

        if (length == 0 || item)
                close_block(splitter, block);
        if (length == 0)
                return;
        /* "1. Introduction" over a paragraph is a title, over "2. …" an item. */
        if (!block->open &&
            (!item || (isdigit((unsigned char)*text) && opens_text(splitter, after))) &&
            is_heading(splitter, line, after)) {
                take_heading(splitter, line);
                return;
        }
        if (!block->open)
                *block = (struct block){.from = line.from, .open = true, .item = item};
        block->to = line.to;
}

size_t sentences_split(const void *ctx, const char *text, size_t length, struct sentence **ret)
{
        struct splitter splitter = {.text = text, .length = length, .ctx = ctx};
        struct block block = {0};
        struct span raw = {0}, after;

        for (size_t at = 0; at < length; at = raw.to + 1) {
                raw = next_line(&splitter, at);
                after = (struct span){0};
                if (raw.to < length && text[raw.to] == '\n')
                        after = trim(text, next_line(&splitter, raw.to + 1));
                take_line(&splitter, &block, trim(text, raw), after);
        }
        close_block(&splitter, &block);
        *ret = splitter.items;
        return splitter.count;
}
