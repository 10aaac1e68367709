/* SPDX-License-Identifier: Apache-2.0 */
/* Words: runs of letters, digits and marks. Inside a word, a full stop or comma between digits is
 * kept or dropped ("3.11", "1,000"), an underscore belongs to a name of a program, a hyphen at a
 * line end joins the halves ("infor-\nmation").
 * Scripts written without spaces give overlapping pairs of characters. */
#include "llm/words.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "llm/languages.h"

enum { SAMPLE_WORDS = 400 };

struct vocabulary {
        const struct language *language; /* NULL while guessing */
        struct sb_stemmer *stemmer;
        const char **terms;
        size_t count, capacity;
        uint32_t *slots; /* term number + 1; open addressing */
        size_t slot_count;
};

/* One word as it is read. */
struct reader {
        const char *text;
        size_t length, at;
        char folded[WORD_BYTES_MAX + 8];
        size_t folded_length;
        struct word word;
};

static int vocabulary_close(struct vocabulary *vocabulary)
{
        sb_stemmer_delete(vocabulary->stemmer);
        return 0;
}

static size_t read_point(const struct reader *reader, size_t at, utf8proc_int32_t *ret)
{
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)reader->text + at,
                                                 (utf8proc_ssize_t)(reader->length - at), ret);

        if (step > 0)
                return (size_t)step;
        *ret = ' ';
        return 1;
}

static bool is_word_point(utf8proc_int32_t point)
{
        utf8proc_category_t category = utf8proc_category(point);

        return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO);
}

static bool is_unspaced_script(utf8proc_int32_t point)
{
        return (point >= 0x3040 && point <= 0x30FF) || (point >= 0x3400 && point <= 0x9FFF) ||
               (point >= 0xF900 && point <= 0xFAFF) || (point >= 0x0E00 && point <= 0x0E7F) ||
               (point >= 0x20000 && point <= 0x3FFFF);
}

static bool is_digit_at(const struct reader *reader, size_t at)
{
        return at < reader->length && reader->text[at] >= '0' && reader->text[at] <= '9';
}

static void fold(struct reader *reader, utf8proc_int32_t point)
{
        utf8proc_int32_t points[8];
        utf8proc_ssize_t count;
        int boundary = 0;

        if (reader->folded_length >= WORD_BYTES_MAX)
                return;
        count = utf8proc_decompose_char(point, points, 8,
                                        UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                                                UTF8PROC_STRIPMARK,
                                        &boundary);
        for (utf8proc_ssize_t i = 0; i < count && i < 8; i++) {
                if (reader->folded_length < WORD_BYTES_MAX)
                        reader->folded_length += (size_t)utf8proc_encode_char(
                                points[i],
                                (utf8proc_uint8_t *)reader->folded + reader->folded_length);
        }
}

/* Steps over a character that does not end the word though it is none of its letters. */
static bool skip_joint(struct reader *reader)
{
        size_t at = reader->at;
        char c = reader->text[at];
        utf8proc_int32_t point;

        if (c == '_' && at + 1 < reader->length) {
                read_point(reader, at + 1, &point);
                if (!is_word_point(point))
                        return false;
                fold(reader, c);
                reader->word.name = true;
                reader->at++;
                return true;
        }
        if ((c == '.' || c == ',') && at > 0 && is_digit_at(reader, at - 1) &&
            is_digit_at(reader, at + 1)) {
                if (c == '.')
                        fold(reader, '.');
                reader->at++;
                return true;
        }
        if (c != '-' || at + 2 >= reader->length || reader->text[at + 1] != '\n')
                return false;
        read_point(reader, at + 2, &point);
        if (utf8proc_category(point) != UTF8PROC_CATEGORY_LL)
                return false;
        reader->at += 2;
        return true;
}

static void read_pair(struct reader *reader, utf8proc_int32_t first, size_t step)
{
        utf8proc_int32_t second;

        fold(reader, first);
        reader->at += step;
        reader->word.to = reader->at;
        if (reader->at >= reader->length)
                return;
        step = read_point(reader, reader->at, &second);
        if (is_unspaced_script(second)) {
                fold(reader, second);
                reader->word.to = reader->at + step;
        }
}

static void read_letters(struct reader *reader)
{
        utf8proc_int32_t point;

        while (reader->at < reader->length) {
                size_t step = read_point(reader, reader->at, &point);

                if (!is_word_point(point) || is_unspaced_script(point)) {
                        if (skip_joint(reader))
                                continue;
                        break;
                }
                fold(reader, point);
                if (point >= '0' && point <= '9')
                        reader->word.number = true;
                reader->at += step;
        }
        reader->word.to = reader->at;
}

/* The next word into reader->word and reader->folded; false at the end. */
static bool read_word(struct reader *reader)
{
        utf8proc_int32_t point = 0;
        size_t step = 0;

        for (; reader->at < reader->length; reader->at += step) {
                step = read_point(reader, reader->at, &point);
                if (is_word_point(point))
                        break;
        }
        if (reader->at >= reader->length)
                return false;
        reader->folded_length = 0;
        reader->word = (struct word){.from = reader->at};
        reader->word.capital = utf8proc_category(point) == UTF8PROC_CATEGORY_LU;
        if (is_unspaced_script(point))
                read_pair(reader, point, step);
        else
                read_letters(reader);
        reader->folded[reader->folded_length] = '\0';
        return true;
}

static int compare_words(const void *key, const void *item)
{
        return strcmp(key, *(const char *const *)item);
}

static bool is_stop_word(const struct language *language, const char *word)
{
        return bsearch(word, language->stop_words, language->stop_word_count,
                       sizeof(language->stop_words[0]), compare_words) != NULL;
}

static const struct language *guess_language(const char *sample, size_t length)
{
        struct reader reader = {.text = sample, .length = length};
        size_t hits[16] = {0}, best = 0;

        for (int i = 0; i < SAMPLE_WORDS && read_word(&reader); i++) {
                for (size_t l = 0; l < language_count; l++)
                        hits[l] += is_stop_word(&languages[l], reader.folded);
        }
        for (size_t l = 1; l < language_count; l++) {
                if (hits[l] > hits[best])
                        best = l;
        }
        return &languages[best];
}

struct vocabulary *vocabulary_new(const void *ctx, const char *sample, size_t length)
{
        struct vocabulary *vocabulary = mem_new(ctx, struct vocabulary);

        vocabulary->language = guess_language(sample, length);
        vocabulary->stemmer = sb_stemmer_new(vocabulary->language->name, NULL);
        talloc_set_destructor(vocabulary, vocabulary_close);
        return vocabulary;
}

static uint32_t hash_text(const char *text)
{
        uint32_t hash = 2166136261U;

        for (; *text; text++)
                hash = (hash ^ (unsigned char)*text) * 16777619U;
        return hash;
}

static void place(struct vocabulary *vocabulary, uint32_t term)
{
        size_t slot = hash_text(vocabulary->terms[term]) & (vocabulary->slot_count - 1);

        while (vocabulary->slots[slot])
                slot = (slot + 1) & (vocabulary->slot_count - 1);
        vocabulary->slots[slot] = term + 1;
}

static void grow(struct vocabulary *vocabulary)
{
        vocabulary->capacity = vocabulary->capacity ? vocabulary->capacity * 2 : 256;
        vocabulary->terms =
                mem_resize(vocabulary, vocabulary->terms, const char *, vocabulary->capacity);
        mem_free(vocabulary->slots);
        vocabulary->slot_count = vocabulary->capacity * 2;
        vocabulary->slots = mem_array(vocabulary, uint32_t, vocabulary->slot_count);
        for (uint32_t term = 0; term < vocabulary->count; term++)
                place(vocabulary, term);
}

static uint32_t find_or_add(struct vocabulary *vocabulary, const char *stem)
{
        size_t slot;

        if (vocabulary->count == vocabulary->capacity)
                grow(vocabulary);
        for (slot = hash_text(stem) & (vocabulary->slot_count - 1); vocabulary->slots[slot];
             slot = (slot + 1) & (vocabulary->slot_count - 1)) {
                if (strcmp(vocabulary->terms[vocabulary->slots[slot] - 1], stem) == 0)
                        return vocabulary->slots[slot] - 1;
        }
        vocabulary->terms[vocabulary->count] = mem_strdup(vocabulary, stem);
        vocabulary->slots[slot] = (uint32_t)++vocabulary->count;
        return (uint32_t)vocabulary->count - 1;
}

static const char *stem(struct vocabulary *vocabulary, const struct reader *reader)
{
        const sb_symbol *stemmed = NULL;

        if (!reader->word.number && !reader->word.name && vocabulary->stemmer)
                stemmed = sb_stemmer_stem(vocabulary->stemmer, (const sb_symbol *)reader->folded,
                                          (int)reader->folded_length);
        return stemmed && *stemmed ? (const char *)stemmed : reader->folded;
}

/* What an apostrophe leaves behind ("l'", "'s") is a single letter. */
static bool is_fragment(const struct reader *reader)
{
        return reader->folded_length == 1 && !reader->word.number;
}

size_t vocabulary_words(struct vocabulary *vocabulary, const void *ctx, const char *text,
                        size_t length, struct word **ret)
{
        struct reader reader = {.text = text, .length = length};
        size_t count = 0, capacity = 0;

        *ret = NULL;
        while (read_word(&reader)) {
                if (count == capacity) {
                        capacity = capacity ? capacity * 2 : 32;
                        *ret = mem_resize(ctx, *ret, struct word, capacity);
                }
                reader.word.stop =
                        is_fragment(&reader) || is_stop_word(vocabulary->language, reader.folded);
                reader.word.term = find_or_add(vocabulary, stem(vocabulary, &reader));
                (*ret)[count++] = reader.word;
        }
        return count;
}

size_t vocabulary_size(const struct vocabulary *vocabulary)
{
        return vocabulary->count;
}

const char *vocabulary_text(const struct vocabulary *vocabulary, uint32_t term)
{
        return vocabulary->terms[term];
}
