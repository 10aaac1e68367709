/* SPDX-License-Identifier: Apache-2.0 */
/* Query builder for FTS5. The index cuts text into words at everything that is no letter, digit or
 * mark; a term that it would cut (node.js) is a phrase of its parts there, and is kept whole here.
 */
#include "store/text_query.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "base/buffer.h"

enum { WORD_BYTES_MAX = 128, PHRASE_BYTES_MAX = 512, QUERY_BYTES_MAX = 256 * 1024 };

struct term {
        const char *text; /* into what was typed */
        size_t length;
        bool common;
};

struct text_query {
        struct term items[TEXT_QUERY_TERMS_MAX];
        size_t count;
        bool any_rare;
        const char *scope;
};

/* Sorted. */
static const char *const common_words[] = {
        "a",    "about", "an",    "and",   "are",  "as",   "at",   "be",   "by",  "can",
        "did",  "do",    "does",  "for",   "from", "had",  "has",  "have", "how", "i",
        "if",   "in",    "is",    "it",    "its",  "me",   "my",   "of",   "on",  "or",
        "that", "the",   "their", "there", "they", "this", "to",   "was",  "we",  "were",
        "what", "when",  "where", "which", "who",  "why",  "will", "with", "you", "your",
};

static int compare_word(const void *key, const void *element)
{
        return strcasecmp(key, *(const char *const *)element);
}

static bool is_common(const char *text, size_t length)
{
        char word[8];

        if (length >= sizeof(word))
                return false;
        memcpy(word, text, length);
        word[length] = '\0';
        return bsearch(word, common_words, ARRAY_LENGTH(common_words), sizeof(common_words[0]),
                       compare_word) != NULL;
}

static bool has_term(const struct text_query *query, const char *text, size_t length)
{
        for (size_t i = 0; i < query->count; i++) {
                if (query->items[i].length == length &&
                    strncasecmp(query->items[i].text, text, length) == 0)
                        return true;
        }
        return false;
}

static void terms_add(struct text_query *query, const char *text, size_t length, bool common)
{
        if (query->count == TEXT_QUERY_TERMS_MAX || has_term(query, text, length))
                return;
        query->items[query->count++] = (struct term){text, length, common};
        query->any_rare |= !common;
}

/* --- Characters -------------------------------------------------------------------------------*/
/* Bytes of the character at `text` (1 if invalid); *ret_word: it is part of words, *ret_letter: it
 * makes one by itself. */
static size_t character(const char *text, bool *ret_word, bool *ret_letter)
{
        utf8proc_int32_t code;
        utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)text,
                                                   (utf8proc_ssize_t)strnlen(text, 4), &code);
        utf8proc_category_t category;

        *ret_word = *ret_letter = false;
        if (length < 1)
                return 1;
        category = utf8proc_category(code);
        *ret_letter = (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
                      (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) ||
                      category == UTF8PROC_CATEGORY_CO;
        *ret_word = *ret_letter ||
                    (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME);
        return (size_t)length;
}

/* Joins what stands on both sides of it into one term: don't, gpt-4, v1.2, a_b, me@example. */
static bool joins(const char *text)
{
        bool word, letter;

        if (!strchr("'-._@", *text))
                return false;
        character(text + 1, &word, &letter);
        return letter;
}

/* Length of the word at `text`, 0 if none begins there. */
static size_t word_length(const char *text)
{
        bool word, letter;
        size_t step = character(text, &word, &letter), length = 0;

        while (text[length] && (word || (length && joins(text + length)))) {
                length += step;
                step = character(text + length, &word, &letter);
        }
        return length;
}

static bool has_letter(const char *text, size_t length)
{
        bool word, letter = false;

        for (size_t i = 0; i < length && !letter;)
                i += character(text + i, &word, &letter);
        return letter;
}

/* --- Terms ------------------------------------------------------------------------------------*/
/* A phrase that begins after the quote at `text`: its length, 0 if it is none to hold together. */
static size_t phrase_length(const char *text)
{
        const char *end = strchr(text + 1, '"');
        size_t length = end ? (size_t)(end - text - 1) : 0;

        return length <= PHRASE_BYTES_MAX && has_letter(text + 1, length) ? length : 0;
}

static void collect(struct text_query *query, const char *text)
{
        while (*text && query->count < TEXT_QUERY_TERMS_MAX) {
                size_t length = *text == '"' ? phrase_length(text) : 0;
                bool word, letter;

                if (length) {
                        terms_add(query, text + 1, length, /* common= */ false);
                        text += length + 2;
                } else if ((length = word_length(text))) {
                        if (length <= WORD_BYTES_MAX && has_letter(text, length))
                                terms_add(query, text, length, is_common(text, length));
                        text += length;
                } else {
                        text += character(text, &word, &letter);
                }
        }
}

/* Common words stay only if they are all there is. */
static void drop_common(struct text_query *query)
{
        size_t kept = 0;

        if (!query->any_rare)
                return;
        for (size_t i = 0; i < query->count; i++) {
                if (!query->items[i].common)
                        query->items[kept++] = query->items[i];
        }
        query->count = kept;
}

struct text_query *text_query_new(const void *ctx, const char *text, const char *scope)
{
        struct text_query *query = mem_new(ctx, struct text_query);

        query->scope = scope;
        collect(query, text);
        drop_common(query);
        return query->count ? query : mem_free(query);
}

size_t text_query_count(const struct text_query *query)
{
        return query->count;
}

/* --- Expressions ------------------------------------------------------------------------------*/
static void append_term(struct buffer *out, const struct term *term)
{
        if (out->data[out->length - 1] != '(')
                buffer_text(out, " OR ");
        buffer_char(out, '"');
        buffer_append(out, term->text, term->length);
        buffer_char(out, '"');
}

static struct buffer expression_begin(const struct text_query *query)
{
        struct buffer out = BUFFER_INIT(query, QUERY_BYTES_MAX);

        buffer_text(&out, "{content heading} : (");
        return out;
}

/* Hyphens out: one word of the index. */
static char *expression_end(struct buffer *out, const struct text_query *query)
{
        buffer_char(out, ')');
        if (query->scope) {
                buffer_text(out, " AND scope : \"");
                for (const char *c = query->scope; *c; c++) {
                        if (isalnum((unsigned char)*c))
                                buffer_char(out, *c);
                }
                buffer_char(out, '"');
        }
        return out->data;
}

char *text_query_any(const struct text_query *query)
{
        struct buffer out = expression_begin(query);

        for (size_t i = 0; i < query->count; i++)
                append_term(&out, &query->items[i]);
        return expression_end(&out, query);
}

char *text_query_term(const struct text_query *query, size_t term)
{
        struct buffer out = expression_begin(query);

        append_term(&out, &query->items[term]);
        return expression_end(&out, query);
}

char *text_query_led(const struct text_query *query, const bool lead[TEXT_QUERY_TERMS_MAX])
{
        struct buffer out = expression_begin(query);

        buffer_char(&out, '(');
        for (size_t i = 0; i < query->count; i++) {
                if (lead[i])
                        append_term(&out, &query->items[i]);
        }
        buffer_text(&out, ") AND (");
        for (size_t i = 0; i < query->count; i++) {
                append_term(&out, &query->items[i]);
                if (!lead[i])
                        append_term(&out, &query->items[i]);
        }
        buffer_char(&out, ')');
        return expression_end(&out, query);
}
