/* SPDX-License-Identifier: Apache-2.0 */
/* Which sentences make the answer: the best first, then what adds to it, then what they lean on. */
#include <string.h>

#include "llm/local_ranker.h"

enum { ANSWER_BYTES_MAX = 900, FOLLOW_BYTES_MAX = 450, PICKS_WANTED = 4 };

static const double gain_wanted = 0.4; /* of the best sentence's score */

/* --- Picking -----------------------------------------------------------------------------------
 */

/* Share of the shorter one's words that both have; overlapping chunks repeat sentences whole. */
static bool is_repetition(const struct unit *a, const struct unit *b)
{
        size_t shared = 0;

        for (size_t i = 0; i < a->word_count; i++) {
                for (size_t j = 0; j < b->word_count; j++) {
                        if (a->words[i].term == b->words[j].term) {
                                shared++;
                                break;
                        }
                }
        }
        return a->word_count && b->word_count && shared * 10 >= a->word_count * 8;
}

static bool is_repeated(const struct ranking *ranking, const struct unit *unit)
{
        for (size_t i = 0; i < ranking->pick_count; i++) {
                if (is_repetition(unit, &ranking->units[ranking->picks[i]]))
                        return true;
        }
        return false;
}

static bool pick(struct ranking *ranking, size_t index, size_t *bytes)
{
        struct unit *unit = &ranking->units[index];
        size_t length = unit->sentence.to - unit->sentence.from;

        if (unit->picked || ranking->pick_count == PICKS_MAX)
                return false;
        if (ranking->pick_count > 0 && *bytes + length > ANSWER_BYTES_MAX)
                return false;
        unit->picked = true;
        ranking->picks[ranking->pick_count++] = index;
        *bytes += length;
        return true;
}

/* "It does so by …": without the sentence before nobody knows who. */
static bool leans_back(const char *text, const struct unit *unit)
{
        static const char *const words[] = {
                "it",   "this",  "these", "they", "that",    "those",     "he",   "she",
                "its",  "their", "such",  "then", "however", "therefore", "thus", "otherwise",
                "also", "er",    "sie",   "dies", "diese",   "il",        "elle", NULL};

        return unit->word_count > 0 &&
               word_is_any(text + unit->sentence.from, &unit->words[0], words);
}

/* The next sentence of the paragraph carries the thought on: "To do so, …", "Then …", "It …". */
static bool leads_on(const char *text, const struct unit *unit)
{
        static const char *const words[] = {"then", "next",   "finally",    "after",
                                            "once", "second", "afterwards", NULL};
        static const char *const todo[] = {"do", "this", NULL};

        if (unit->word_count < 3 || unit->sentence.begins_block || unit->sentence.heading)
                return false;
        text += unit->sentence.from;
        return word_is_any(text, &unit->words[0], words) ||
               (word_is(text, &unit->words[0], "to") && word_is_any(text, &unit->words[1], todo));
}

/* What a colon announces: the list below it, or the next sentence. */
static void pick_announced(struct ranking *ranking, size_t index, size_t *bytes)
{
        for (size_t n = index + 1; n < ranking->unit_count; n++) {
                const struct unit *next = &ranking->units[n];

                if (next->passage != ranking->units[index].passage || next->sentence.heading ||
                    (n > index + 1 && !next->sentence.item) || !pick(ranking, n, bytes))
                        break;
        }
}

static void pick_neighbours(struct ranker *ranker, size_t index, size_t *bytes)
{
        struct ranking *ranking = ranker->ranking;
        const struct unit *unit = &ranking->units[index];
        const char *text = ranker->passages[unit->passage].text;
        size_t next = index + 1;

        if (leans_back(text, unit) && index > 0 && unit[-1].passage == unit->passage &&
            !unit[-1].sentence.heading && !is_repeated(ranking, unit - 1))
                pick(ranking, index - 1, bytes);
        while (next < ranking->unit_count && ranking->units[next].passage == unit->passage &&
               *bytes < FOLLOW_BYTES_MAX && leads_on(text, &ranking->units[next]))
                pick(ranking, next++, bytes);
        if (text[unit->sentence.to - 1] == ':')
                pick_announced(ranking, index, bytes);
}

static size_t best_unit(struct ranker *ranker, uint64_t covered, double *ret_score)
{
        struct ranking *ranking = ranker->ranking;
        size_t best = SIZE_MAX;

        *ret_score = 0;
        for (size_t u = 0; u < ranking->unit_count; u++) {
                double value;

                if (ranking->units[u].picked || is_repeated(ranking, &ranking->units[u]))
                        continue;
                value = local_score(ranker, &ranking->units[u], covered);
                if (value > *ret_score) {
                        *ret_score = value;
                        best = u;
                }
        }
        return best;
}

void local_pick(struct ranker *ranker)
{
        struct ranking *ranking = ranker->ranking;
        uint64_t covered = 0;
        double first = 0, value;
        size_t bytes = 0;

        for (int i = 0; i < PICKS_WANTED; i++) {
                size_t best = best_unit(ranker, covered, &value);

                if (best == SIZE_MAX || value < first * gain_wanted)
                        break;
                if (i == 0)
                        first = value;
                ranking->units[best].score = value;
                if (!pick(ranking, best, &bytes))
                        break;
                covered |= ranking->units[best].own | ranking->units[best].around;
                pick_neighbours(ranker, best, &bytes);
        }
}
