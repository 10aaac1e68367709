/* SPDX-License-Identifier: Apache-2.0 */
/* How sentences are chosen.
 *
 * The question's words (without stop words, stemmed) are weighed by how rare they are among the
 * sentences of the passages. A sentence scores for the words it holds, somewhat for those of its
 * heading, a little for those of the sentence before it; more if the words stand close together, in
 * the question's order, or if it holds what the question word asks for (a number for "how many", a
 * date for "when", a definition for "what is"). Then the best is taken, the words it covers lose
 * most of their weight, and so on, until what is left adds too little: a short answer that covers
 * the question rather than the same statement five times. */
#include "llm/local_rank.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "llm/local_ranker.h"

bool word_is(const char *text, const struct word *word, const char *expected)
{
        size_t length = word->to - word->from;

        return strlen(expected) == length && strncasecmp(text + word->from, expected, length) == 0;
}

bool word_is_any(const char *text, const struct word *word, const char *const list[])
{
        for (size_t i = 0; list[i]; i++) {
                if (word_is(text, word, list[i]))
                        return true;
        }
        return false;
}

enum { SAMPLE_MAX = 16 * 1024 };

static const double name_bonus = 1.6, common_malus = 0.5;

/* --- Reading -----------------------------------------------------------------------------------
 */

static struct vocabulary *make_vocabulary(const void *ctx, const char *question,
                                          const struct llm_passage *passages, size_t count)
{
        struct buffer sample = BUFFER_INIT(ctx, SAMPLE_MAX);

        buffer_text(&sample, question);
        for (size_t i = 0; i < count && sample.length < 4096; i++) {
                size_t length = strlen(passages[i].text);

                buffer_char(&sample, ' ');
                buffer_append(&sample, passages[i].text, length < 2048 ? length : 2048);
        }
        return vocabulary_new(ctx, buffer_string(&sample), sample.length);
}

static void add_passage(struct ranker *ranker, size_t index)
{
        struct ranking *ranking = ranker->ranking;
        const char *text = ranker->passages[index].text;
        struct sentence *sentences;
        size_t count = sentences_split(ranker->ctx, text, strlen(text), &sentences);
        size_t heading = SIZE_MAX;

        ranking->units =
                mem_resize(ranking, ranking->units, struct unit, ranking->unit_count + count + 1);
        for (size_t i = 0; i < count; i++) {
                struct unit *unit = &ranking->units[ranking->unit_count];

                *unit = (struct unit){
                        .passage = index, .sentence = sentences[i], .heading = heading};
                unit->word_count =
                        vocabulary_words(ranker->vocabulary, ranker->ctx, text + sentences[i].from,
                                         sentences[i].to - sentences[i].from, &unit->words);
                if (sentences[i].heading)
                        heading = ranking->unit_count;
                ranking->unit_count++;
        }
}

static bool begins_with(const char *text, const struct word *words, size_t count,
                        const char *const phrases[][2])
{
        for (size_t i = 0; phrases[i][0]; i++) {
                if (count > 1 && word_is(text, &words[0], phrases[i][0]) &&
                    (!phrases[i][1] || word_is(text, &words[1], phrases[i][1])))
                        return true;
        }
        return false;
}

static enum asks read_asks(const char *text, const struct word *words, size_t count)
{
        static const char *const number[][2] = {{"how", "many"},  {"how", "much"},
                                                {"how", "long"},  {"how", "old"},
                                                {"how", "large"}, {"wie", "viel"},
                                                {"wie", "viele"}, {"combien", NULL},
                                                {"quanto", NULL}, {0}};
        static const char *const date[][2] = {
                {"when", NULL},   {"wann", NULL},    {"quand", NULL},  {"quando", NULL},
                {"what", "year"}, {"which", "year"}, {"what", "date"}, {0}};
        static const char *const name[][2] = {{"who", NULL}, {"whose", NULL}, {"wer", NULL},
                                              {"qui", NULL}, {"chi", NULL},   {0}};
        static const char *const way[][2] = {
                {"how", "do"},     {"how", "can"}, {"how", "to"},     {"how", "does"},
                {"how", "should"}, {"wie", NULL},  {"comment", NULL}, {0}};
        static const char *const definition[][2] = {{"what", "is"},   {"what", "are"},
                                                    {"was", "ist"},   {"was", "sind"},
                                                    {"define", NULL}, {0}};

        if (begins_with(text, words, count, number))
                return ASKS_NUMBER;
        if (begins_with(text, words, count, date))
                return ASKS_DATE;
        if (begins_with(text, words, count, name))
                return ASKS_NAME;
        if (begins_with(text, words, count, way))
                return ASKS_WAY;
        return begins_with(text, words, count, definition) ? ASKS_DEFINITION : ASKS_ANYTHING;
}

/* Words that tell what to do with the subject, not what the subject is. */
static bool is_request(const char *text, const struct word *word)
{
        static const char *const requests[] = {
                "explain",   "describe", "list",      "give",      "show",   "find",  "summarise",
                "summarize", "please",   "many",      "much",      "mean",   "means", "say",
                "says",      "document", "documents", "according", "happens"};

        for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
                if (word_is(text, word, requests[i]))
                        return true;
        }
        return false;
}

static bool is_common(const char *text, const struct word *word)
{
        static const char *const commons[] = {
                "use",  "used",  "using",    "make",   "get",       "set",
                "work", "works", "need",     "want",   "take",      "go",
                "way",  "thing", "things",   "new",    "different", "difference",
                "main", "role",  "possible", "called", "first",     "whole"};

        for (size_t i = 0; i < ARRAY_LENGTH(commons); i++) {
                if (word_is(text, word, commons[i]))
                        return true;
        }
        return false;
}

static void add_term(struct question *question, const char *text, const struct word *word,
                     bool first)
{
        struct term *term;

        for (size_t i = 0; i < question->term_count; i++) {
                if (question->terms[i].number == word->term)
                        return;
        }
        if (question->term_count == QUESTION_TERMS_MAX)
                return;
        term = &question->terms[question->term_count++];
        *term = (struct term){
                .number = word->term,
                .name = (word->capital && !first) || word->number,
                .common = is_common(text, word),
        };
}

/* First without stop words and requests; a question of nothing else keeps what it has. */
static void read_question(struct ranker *ranker, const char *text)
{
        struct question *question = &ranker->question;
        struct word *words;
        size_t count =
                vocabulary_words(ranker->vocabulary, ranker->ctx, text, strlen(text), &words);

        question->asks = read_asks(text, words, count);
        for (size_t i = 0; i < count; i++)
                question->negative = question->negative || word_is(text, &words[i], "not") ||
                                     word_is(text, &words[i], "cannot");
        for (int pass = 0; pass < 3 && question->term_count == 0; pass++) {
                for (size_t i = 0; i < count; i++) {
                        if ((words[i].stop && pass < 2) ||
                            (pass < 1 && is_request(text, &words[i])))
                                continue;
                        add_term(question, text, &words[i], i == 0);
                }
        }
}

/* --- Matching ----------------------------------------------------------------------------------
 */

static size_t common_prefix(const char *a, const char *b)
{
        size_t length = 0;

        while (a[length] && a[length] == b[length])
                length++;
        return length;
}

/* One letter wrong, missing, added, or two swapped. */
static bool is_slip(const char *a, size_t a_length, const char *b, size_t b_length)
{
        size_t prefix = common_prefix(a, b);
        const char *rest_a = a + prefix, *rest_b = b + prefix;

        if (a_length == b_length)
                return (*rest_a && strcmp(rest_a + 1, rest_b + 1) == 0) ||
                       (a_length > prefix + 1 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0] &&
                        strcmp(rest_a + 2, rest_b + 2) == 0);
        if (a_length == b_length + 1)
                return strcmp(rest_a + 1, rest_b) == 0;
        return b_length == a_length + 1 && strcmp(rest_a, rest_b + 1) == 0;
}

/* A stand-in for a word that no passage holds: a relative, a compound, a misspelling. */
static bool is_akin(const char *wanted, const char *found)
{
        size_t wanted_length = strlen(wanted), found_length = strlen(found);
        size_t shorter = wanted_length < found_length ? wanted_length : found_length;
        size_t prefix = common_prefix(wanted, found);

        if (shorter < 4 || strpbrk(wanted, "0123456789"))
                return false;
        if (prefix >= 5 && prefix * 4 >= shorter * 3)
                return true;
        if (shorter >= 5 && (strstr(found, wanted) || strstr(wanted, found)))
                return true;
        return wanted_length >= 5 && is_slip(wanted, wanted_length, found, found_length);
}

static bool is_present(const struct ranker *ranker, uint32_t number)
{
        const struct ranking *ranking = ranker->ranking;

        for (size_t u = 0; u < ranking->unit_count; u++) {
                for (size_t w = 0; w < ranking->units[u].word_count; w++) {
                        if (ranking->units[u].words[w].term == number)
                                return true;
                }
        }
        return false;
}

static void fill_masks(struct ranker *ranker)
{
        const struct question *question = &ranker->question;
        size_t size = vocabulary_size(ranker->vocabulary);

        ranker->masks = mem_array(ranker->ctx, uint64_t, size + 1);
        for (size_t t = 0; t < question->term_count; t++) {
                uint32_t number = question->terms[t].number;
                const char *wanted = vocabulary_text(ranker->vocabulary, number);

                ranker->masks[number] |= UINT64_C(1) << t;
                if (is_present(ranker, number))
                        continue;
                for (uint32_t other = 0; other < size; other++) {
                        if (is_akin(wanted, vocabulary_text(ranker->vocabulary, other)))
                                ranker->masks[other] |= UINT64_C(1) << t;
                }
        }
}

static void match_units(struct ranker *ranker)
{
        struct ranking *ranking = ranker->ranking;

        for (size_t u = 0; u < ranking->unit_count; u++) {
                struct unit *unit = &ranking->units[u];
                const struct unit *before = u > 0 ? unit - 1 : NULL;

                for (size_t w = 0; w < unit->word_count; w++)
                        unit->own |= ranker->masks[unit->words[w].term];
                if (unit->heading != SIZE_MAX)
                        unit->around |= ranking->units[unit->heading].own;
                if (before && before->passage == unit->passage && !before->sentence.heading)
                        unit->around |= before->own;
                unit->around &= ~unit->own;
        }
}

static void weigh_terms(struct ranker *ranker)
{
        struct question *question = &ranker->question;
        const struct ranking *ranking = ranker->ranking;
        double total = (double)ranking->unit_count;

        for (size_t t = 0; t < question->term_count; t++) {
                struct term *term = &question->terms[t];
                double found = 0;

                for (size_t u = 0; u < ranking->unit_count; u++)
                        found += (double)(ranking->units[u].own >> t & 1);
                double rarity = log(1 + (total - found + 0.5) / (found + 0.5));

                /* The passages were found by these words, so that the subject's own are common in
                 * them: rarity counts, but not alone. */
                term->weight = 1 + 0.5 * rarity;
                if (term->name)
                        term->weight *= name_bonus;
                if (term->common)
                        term->weight *= common_malus;
                /* A word that is nowhere says that the question is about something else, a name all
                 * the more so. */
                term->coverage = (0.5 + fmin(rarity, 3) / 3) * (term->common ? common_malus : 1);
                if (found == 0 && term->name)
                        term->coverage *= 2;
        }
}

/* A passage that keeps coming back to the question's words is about them. */
static void weigh_passages(struct ranker *ranker)
{
        const struct question *question = &ranker->question;
        const struct ranking *ranking = ranker->ranking;
        double most = 0;

        ranker->topics = mem_array(ranker->ctx, double, ranker->passage_count);
        for (size_t t = 0; t < question->term_count; t++) {
                for (size_t p = 0, u = 0; p < ranker->passage_count; p++) {
                        double found = 0;

                        for (; u < ranking->unit_count && ranking->units[u].passage == p; u++)
                                found += (double)(ranking->units[u].own >> t & 1);
                        ranker->topics[p] += question->terms[t].weight * log(1 + found);
                }
        }
        for (size_t p = 0; p < ranker->passage_count; p++)
                most = fmax(most, ranker->topics[p]);
        for (size_t p = 0; p < ranker->passage_count && most > 0; p++)
                ranker->topics[p] /= most;
}

static double coverage(const struct ranker *ranker)
{
        const struct ranking *ranking = ranker->ranking;
        const struct question *question = &ranker->question;
        double sum = 0, all = 0;
        uint64_t mask = 0;

        for (size_t i = 0; i < ranking->pick_count; i++)
                mask |= ranking->units[ranking->picks[i]].own |
                        ranking->units[ranking->picks[i]].around;
        for (size_t t = 0; t < question->term_count; t++) {
                all += question->terms[t].coverage;
                if (mask >> t & 1)
                        sum += question->terms[t].coverage;
        }
        return all > 0 ? sum / all : 0;
}

struct ranking *local_rank(const void *ctx, const char *question,
                           const struct llm_passage *passages, size_t count)
{
        struct ranking *ranking = mem_new(ctx, struct ranking);
        struct ranker ranker = {
                .ctx = ranking,
                .ranking = ranking,
                .passages = passages,
                .passage_count = count,
        };

        ranker.vocabulary = make_vocabulary(ranker.ctx, question, passages, count);
        for (size_t i = 0; i < count; i++)
                add_passage(&ranker, i);
        read_question(&ranker, question);
        fill_masks(&ranker);
        match_units(&ranker);
        weigh_terms(&ranker);
        weigh_passages(&ranker);
        local_pick(&ranker);
        ranking->coverage = coverage(&ranker);
        return ranking;
}
