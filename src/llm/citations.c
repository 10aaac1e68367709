/* SPDX-License-Identifier: Apache-2.0 */
/* Citations: passages numbered for a prompt, and the numbers of an answer led back to the sentence
 * that bears them out.
 *
 * A marker is [3], [1, 2] or [2-4]. The k-th distinct number of an answer is the k-th citation.
 * Numbers that no passage has are not citations: models make them up. */
#include "llm/citations.h"

#include <string.h>

#include "llm/sentences.h"
#include "llm/words.h"

enum { MARKER_NUMBERS_MAX = 20, CITATIONS_MAX = 100 };

void citations_write_passages(struct buffer *out, const struct llm_passage *passages, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                const struct llm_passage *passage = &passages[i];

                buffer_printf(out, "[%zu] ", i + 1);
                if (passage->url) {
                        buffer_text(out, passage->title ? passage->title : "");
                        buffer_printf(out, " (%s)", passage->url);
                } else {
                        buffer_text(out, passage->filename ? passage->filename : "");
                        if (passage->page > 0)
                                buffer_printf(out, ", page %lld", (long long)passage->page);
                }
                buffer_char(out, '\n');
                buffer_text(out, passage->text ? passage->text : "");
                buffer_text(out, "\n\n");
        }
}

json_t *citation_new(const struct llm_passage *passage, size_t from, size_t to)
{
        const char *quote = passage->text + from;
        size_t length = to - from;

        if (passage->url)
                return json_pack("{s:s, s:s, s:s%}", "url", passage->url, "title",
                                 passage->title ? passage->title : "", "quote", quote, length);
        return json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:s%}", "document_id",
                         passage->document_id ? passage->document_id : "", "chunk_id",
                         passage->chunk_id ? passage->chunk_id : "", "filename",
                         passage->filename ? passage->filename : "", "page",
                         passage->page > 0 ? json_integer(passage->page) : json_null(), "start",
                         (json_int_t)passage->start + (json_int_t)from, "end",
                         (json_int_t)passage->start + (json_int_t)to, "quote", quote, length);
}

struct marker {
        size_t numbers[MARKER_NUMBERS_MAX];
        size_t count;
        size_t to; /* the byte after its bracket */
};

static size_t read_number(const char **at)
{
        size_t number = 0;

        while (**at >= '0' && **at <= '9' && number < 100000)
                number = number * 10 + (size_t)(*(*at)++ - '0');
        return number;
}

static void add_number(struct marker *marker, size_t number)
{
        if (marker->count < MARKER_NUMBERS_MAX)
                marker->numbers[marker->count++] = number;
}

/* True if text[at..] is a marker; `at` is at its bracket. */
static bool read_marker(const char *text, size_t at, struct marker *ret)
{
        const char *cursor = text + at + 1;

        *ret = (struct marker){0};
        for (;;) {
                size_t first, last;

                cursor += strspn(cursor, " ");
                first = last = read_number(&cursor);
                if (first == 0)
                        return false;
                if (*cursor == '-') {
                        cursor++;
                        last = read_number(&cursor);
                }
                for (size_t n = first; n <= last && ret->count < MARKER_NUMBERS_MAX; n++)
                        add_number(ret, n);
                cursor += strspn(cursor, " ");
                if (*cursor == ']')
                        break;
                if (*cursor++ != ',')
                        return false;
        }
        ret->to = (size_t)(cursor + 1 - text);
        return true;
}

/* Terms of meaning of a text, as flags by term number. */
static bool *term_flags(struct vocabulary *vocabulary, const void *ctx, const char *text,
                        size_t length, size_t *ret_size)
{
        struct word *words;
        size_t count = vocabulary_words(vocabulary, ctx, text, length, &words);
        bool *flags = mem_array(ctx, bool, vocabulary_size(vocabulary) + 1);

        for (size_t i = 0; i < count; i++) {
                if (!words[i].stop)
                        flags[words[i].term] = true;
        }
        *ret_size = vocabulary_size(vocabulary);
        return flags;
}

/* Shared terms, each counted once, scaled down for long sentences. */
static double likeness(struct vocabulary *vocabulary, const void *ctx, const bool *wanted,
                       size_t wanted_size, const char *text, size_t length)
{
        struct word *words;
        size_t count = vocabulary_words(vocabulary, ctx, text, length, &words);
        bool *seen = mem_array(ctx, bool, wanted_size + 1);
        double shared = 0;

        for (size_t i = 0; i < count; i++) {
                if (words[i].term >= wanted_size || !wanted[words[i].term] || seen[words[i].term])
                        continue;
                seen[words[i].term] = true;
                shared += words[i].number ? 1.5 : 1;
        }
        return shared / (1 + 0.01 * (double)count);
}

static json_t *cite(const struct llm_passage *passage, const char *claim, size_t claim_length)
{
        SCOPED_MEM void *ctx = mem_root();
        size_t length = strlen(passage->text), best = 0, count, wanted_size;
        struct vocabulary *vocabulary = vocabulary_new(ctx, passage->text, length);
        bool *wanted = term_flags(vocabulary, ctx, claim, claim_length, &wanted_size);
        struct sentence *sentences;
        double best_score = -1;

        count = sentences_split(ctx, passage->text, length, &sentences);
        for (size_t i = 0; i < count; i++) {
                double score = likeness(vocabulary, ctx, wanted, wanted_size,
                                        passage->text + sentences[i].from,
                                        sentences[i].to - sentences[i].from);

                if (sentences[i].heading)
                        score *= 0.5;
                if (score > best_score) {
                        best_score = score;
                        best = i;
                }
        }
        if (count == 0)
                return citation_new(passage, 0, length);
        return citation_new(passage, sentences[best].from, sentences[best].to);
}

/* The claim that a marker at `at` stands behind: the text before it back to the start of its
 * sentence or to the marker before, if words lie between them. */
struct claim {
        size_t from, to;
};

static struct claim claim_before(const char *answer, size_t previous_end, size_t at,
                                 struct claim previous)
{
        SCOPED_MEM void *ctx = mem_root();
        struct sentence *sentences;
        size_t count = sentences_split(ctx, answer + previous_end, at - previous_end, &sentences);

        while (count > 0 && sentences[count - 1].to - sentences[count - 1].from < 3)
                count--;
        if (count == 0)
                return previous;
        return (struct claim){previous_end + sentences[count - 1].from,
                              previous_end + sentences[count - 1].to};
}

json_t *citations_resolve(const char *answer, const struct llm_passage *passages, size_t count)
{
        SCOPED_MEM void *ctx = mem_root();
        bool *cited = mem_array(ctx, bool, count + 1);
        json_t *citations = json_array();
        struct claim claim = {0};
        struct marker marker;
        size_t previous_end = 0;

        for (size_t at = 0; answer[at]; at++) {
                if (answer[at] != '[' || !read_marker(answer, at, &marker))
                        continue;
                claim = claim_before(answer, previous_end, at, claim);
                for (size_t i = 0; i < marker.count; i++) {
                        size_t number = marker.numbers[i];

                        if (number > count || cited[number] || !passages[number - 1].text ||
                            json_array_size(citations) >= CITATIONS_MAX)
                                continue;
                        cited[number] = true;
                        json_array_append_new(citations,
                                              cite(&passages[number - 1], answer + claim.from,
                                                   claim.to - claim.from));
                }
                previous_end = marker.to;
                at = marker.to - 1;
        }
        return citations;
}
