/* SPDX-License-Identifier: Apache-2.0 */
/* What a sentence is worth: see local_rank.c. */
#include <math.h>
#include <string.h>

#include "llm/local_ranker.h"

enum { WORDS_LONG = 45, WORDS_SHORT = 4, DEFINED_WORDS_MAX = 12 };

static const double heading_share = 0.5, before_share = 0.2, covered_share = 0.35;
static const double neighbour_bonus = 1.35;

/* --- Scoring -----------------------------------------------------------------------------------
 */

static double weight_of(const struct question *question, uint64_t mask, uint64_t covered)
{
        double sum = 0;

        for (size_t t = 0; t < question->term_count; t++) {
                if (mask >> t & 1)
                        sum += question->terms[t].weight * (covered >> t & 1 ? covered_share : 1);
        }
        return sum;
}

/* Terms of the question that stand within two words of each other and in its order. */
static double order_bonus(const struct ranker *ranker, const struct unit *unit)
{
        const struct question *question = &ranker->question;
        double bonus = 0;

        for (size_t t = 0; t + 1 < question->term_count; t++) {
                uint64_t first = UINT64_C(1) << t, second = first << 1;
                bool found = false;

                for (size_t w = 0; w < unit->word_count && !found; w++) {
                        if (!(ranker->masks[unit->words[w].term] & first))
                                continue;
                        for (size_t n = w + 1; n < unit->word_count && n <= w + 2; n++)
                                found = found || (ranker->masks[unit->words[n].term] & second);
                }
                if (found)
                        bonus += 0.4 *
                                 fmin(question->terms[t].weight, question->terms[t + 1].weight);
        }
        return bonus;
}

/* 1 and more: the terms stand close together. */
static double closeness(const struct ranker *ranker, const struct unit *unit)
{
        size_t first = SIZE_MAX, last = 0;
        double terms = (double)__builtin_popcountll(unit->own);

        if (terms < 2)
                return 1;
        for (size_t w = 0; w < unit->word_count; w++) {
                if (!ranker->masks[unit->words[w].term])
                        continue;
                if (first == SIZE_MAX)
                        first = w;
                last = w;
        }
        return 1 + 0.3 * terms / (double)(last - first + 1);
}

static bool holds_date(const char *text, const struct unit *unit)
{
        static const char *const months[] = {"january",   "february", "march",    "april",
                                             "may",       "june",     "july",     "august",
                                             "september", "october",  "november", "december"};

        for (size_t w = 0; w < unit->word_count; w++) {
                const struct word *word = &unit->words[w];

                if (word->number && word->to - word->from == 4)
                        return true;
                for (size_t m = 0; m < ARRAY_LENGTH(months); m++) {
                        if (word->capital && word_is(text, word, months[m]))
                                return true;
                }
        }
        return false;
}

static bool holds_number(const struct unit *unit)
{
        for (size_t w = 0; w < unit->word_count; w++) {
                if (unit->words[w].number)
                        return true;
        }
        return false;
}

static bool holds_name(const struct unit *unit)
{
        for (size_t w = 1; w < unit->word_count; w++) {
                if (unit->words[w].capital && !unit->words[w].stop)
                        return true;
        }
        return false;
}

static double verb_fit(const char *text, const struct word *words, size_t count)
{
        static const char *const copulas[] = {"is",  "are", "was", "ist", "sind",
                                              "est", "son", "es",  NULL};
        static const char *const articles[] = {"a",    "an",  "the", "one", "any", "used", "ein",
                                               "eine", "der", "die", "das", "un",  "une",  NULL};
        static const char *const verbs[] = {"means",   "refers",   "denotes",  "describes",
                                            "allows",  "provides", "consists", "lets",
                                            "enables", "stands",   "contains", NULL};

        if (word_is_any(text, &words[0], verbs))
                return 0.5;
        if (!word_is_any(text, &words[0], copulas))
                return 0;
        return count > 1 && word_is_any(text, &words[1], articles) ? 0.6 : 0.25;
}

/* "X is a …", "X (…) allows to …": a verb that defines, with what was asked about before it and
 * little else. */
static double definition_fit(const struct ranker *ranker, const char *text, const struct unit *unit)
{
        double all = weight_of(&ranker->question, UINT64_MAX, 0), wanted = 0, other = 0;
        uint64_t before = 0;

        for (size_t w = 0; w < unit->word_count && w < DEFINED_WORDS_MAX; w++) {
                const struct word *word = &unit->words[w];
                double fit = before ? verb_fit(text, word, unit->word_count - w) : 0;

                if (fit > 0)
                        return 1 + fit * weight_of(&ranker->question, before, 0) / all * wanted /
                                           (wanted + other);
                if (ranker->masks[word->term])
                        wanted++;
                else if (!word->stop)
                        other++;
                before |= ranker->masks[word->term];
        }
        return 1;
}

/* "To …, use …", "You can … by …": says how. */
static double way_fit(const char *text, const struct unit *unit)
{
        static const char *const openings[] = {"to",    "you",    "use", "run",  "type",
                                               "first", "simply", "um",  "pour", NULL};
        static const char *const words[] = {"use",    "run",    "type",  "execute", "command",
                                            "by",     "simply", "edit",  "add",     "create",
                                            "select", "choose", "enter", "must",    NULL};
        double fit = 1;

        if (unit->word_count == 0)
                return 1;
        if (word_is_any(text, &unit->words[0], openings))
                fit = 1.25;
        for (size_t w = 0; w < unit->word_count; w++) {
                if (word_is_any(text, &unit->words[w], words))
                        return fit * 1.2;
        }
        return fit;
}

static double fit_of_kind(const struct ranker *ranker, const struct unit *unit)
{
        const char *text = ranker->passages[unit->passage].text + unit->sentence.from;

        switch (ranker->question.asks) {
        case ASKS_NUMBER:
                return holds_number(unit) ? 1.4 : 1;
        case ASKS_DATE:
                return holds_date(text, unit) ? 1.4 : 1;
        case ASKS_NAME:
                return holds_name(unit) ? 1.25 : 1;
        case ASKS_DEFINITION:
                return definition_fit(ranker, text, unit);
        case ASKS_WAY:
                return way_fit(text, unit);
        case ASKS_ANYTHING:
                return 1;
        }
        return 1;
}

/* "X cannot …" rarely answers what X does. */
static bool is_negative(const char *text, const struct unit *unit)
{
        static const char *const words[] = {"cannot", "not", "never", "nicht", "kein", NULL};

        for (size_t w = 0; w < unit->word_count; w++) {
                if (word_is_any(text, &unit->words[w], words))
                        return true;
        }
        return false;
}

/* The question's own words and hardly any other: a title, a link, the question again. */
static bool says_nothing_new(const struct ranker *ranker, const struct unit *unit)
{
        size_t asked = 0, other = 0;

        for (size_t w = 0; w < unit->word_count; w++) {
                if (ranker->masks[unit->words[w].term])
                        asked++;
                else if (!unit->words[w].stop)
                        other++;
        }
        return other * 4 < asked;
}

/* Tables of contents, indexes, rows of figures: little prose. */
static double fit_of_form(const struct ranker *ranker, const struct unit *unit)
{
        const char *text = ranker->passages[unit->passage].text + unit->sentence.from;
        size_t length = unit->sentence.to - unit->sentence.from, letters = 0;
        double fit = 1;

        for (size_t i = 0; i < length; i++)
                letters += (unsigned char)text[i] >= 0x80 ||
                           ((text[i] | 32) >= 'a' && (text[i] | 32) <= 'z');
        if (letters * 2 < length || memmem(text, length, "....", 4) ||
            memmem(text, length, ". . .", 5))
                fit *= 0.3;
        if (!ranker->question.negative && is_negative(text, unit))
                fit *= 0.8;
        if (says_nothing_new(ranker, unit))
                fit *= 0.3;
        if (unit->word_count < WORDS_SHORT && !unit->sentence.item)
                fit *= 0.6;
        if (unit->word_count > WORDS_LONG)
                fit *= sqrt((double)WORDS_LONG / (double)unit->word_count);
        return fit;
}

/* Beside a sentence already picked, in the same paragraph or list. */
static bool goes_on(const struct ranker *ranker, const struct unit *unit)
{
        const struct ranking *ranking = ranker->ranking;
        size_t index = (size_t)(unit - ranking->units);

        if (index > 0 && unit[-1].picked && unit[-1].passage == unit->passage)
                return !unit->sentence.begins_block || unit->sentence.item;
        return index + 1 < ranking->unit_count && unit[1].picked &&
               unit[1].passage == unit->passage && !unit[1].sentence.begins_block;
}

double local_score(const struct ranker *ranker, const struct unit *unit, uint64_t covered)
{
        const struct question *question = &ranker->question;
        const struct ranking *ranking = ranker->ranking;
        uint64_t heading = unit->heading == SIZE_MAX ? 0 : ranking->units[unit->heading].own;
        double sum = weight_of(question, unit->own, covered);

        if (unit->sentence.heading || !(unit->own | unit->around))
                return 0;
        sum += heading_share * weight_of(question, unit->around & heading, covered);
        sum += before_share * weight_of(question, unit->around & ~heading, covered);
        if (!covered)
                sum += order_bonus(ranker, unit);
        else if (goes_on(ranker, unit))
                sum *= neighbour_bonus;
        return sum * closeness(ranker, unit) * fit_of_kind(ranker, unit) *
               fit_of_form(ranker, unit) * (1 + 0.15 / (double)(1 + unit->passage));
}
