/* SPDX-License-Identifier: Apache-2.0 */
/* The local engine's answer as text: the picked sentences in reading order, best passage first, one
 * marker behind each run of them, and a line that says who speaks. Marker [n] is the n-th citation. */
#include <string.h>

#include "llm/citations.h"
#include "llm/local.h"
#include "llm/local_rank.h"

/* Shares of the question that the picks must cover to pass as an answer, or as something near. */
static const double covers_well = 0.5, covers_somewhat = 0.34;

enum { RUN_GAP_MAX = 400 };

static const char signature[] = "\n\n_Local extractive answer: sentences quoted from the passages, "
                                "not written by a language "
                                "model._";
static const char no_passages[] =
        "There are no passages to answer from. Upload documents to this workflow's knowledge base, "
        "ask "
        "in the words of the documents, or choose a provider with a key (Gemini, or a server that "
        "speaks "
        "OpenAI's API) in the LLM node: the local extractive engine only quotes what it is given.";
static const char no_answer[] = "Nothing in the documents answers this.\n\n_Local extractive "
                                "answer: this engine only quotes the "
                                "passages that were found; it looked through %zu of them._";
static const char near_answer[] =
        "The documents do not answer this directly. The closest they say:\n\n";

/* Writes text on one line: the layout's line breaks are not the author's. */
static void write_line(struct buffer *out, const char *text, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                bool space = text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r');

                if (space && i > 0 && text[i - 1] == '-' && text[i] == '\n')
                        continue;
                if (!space)
                        buffer_char(out, text[i]);
                else if (out->length > 0 && out->data[out->length - 1] != ' ' &&
                         out->data[out->length - 1] != '\n')
                        buffer_char(out, ' ');
        }
}

static void write_sentence(struct buffer *out, const struct unit *unit, const char *passage,
                           bool *in_list)
{
        if (out->length > 0) {
                char last = out->data[out->length - 1];

                if (unit->sentence.item)
                        buffer_char(out, '\n');
                else if (*in_list)
                        buffer_text(out, "\n\n");
                else if (last != '\n' && last != ' ')
                        buffer_char(out, ' ');
        }
        *in_list = unit->sentence.item;
        write_line(out, passage + unit->sentence.from, unit->sentence.to - unit->sentence.from);
}

/* The range to cite of a passage: around its best sentence, with picked neighbours. */
static json_t *cite(const struct ranking *ranking, const struct llm_passage *passages, size_t best)
{
        const struct unit *units = ranking->units;
        size_t passage = units[best].passage, first = best, last = best;

        for (size_t u = best; u-- > 0 && units[u].passage == passage;) {
                if (units[first].sentence.from - units[u].sentence.to > RUN_GAP_MAX)
                        break;
                if (units[u].picked)
                        first = u;
        }
        for (size_t u = best + 1; u < ranking->unit_count && units[u].passage == passage; u++) {
                if (units[u].sentence.from - units[last].sentence.to > RUN_GAP_MAX)
                        break;
                if (units[u].picked)
                        last = u;
        }
        return citation_new(&passages[passage], units[first].sentence.from,
                            units[last].sentence.to);
}

/* All picks of one passage, a marker behind each run of neighbouring sentences. */
static void write_passage(struct buffer *out, const struct ranking *ranking,
                          const struct llm_passage *passages, size_t passage, size_t marker,
                          bool *in_list)
{
        const struct unit *units = ranking->units;
        bool open = false;

        for (size_t u = 0; u < ranking->unit_count; u++) {
                if (units[u].passage != passage)
                        continue;
                if (units[u].picked) {
                        write_sentence(out, &units[u], passages[passage].text, in_list);
                        open = true;
                } else if (open) {
                        buffer_printf(out, " [%zu]", marker);
                        open = false;
                }
        }
        if (open)
                buffer_printf(out, " [%zu]", marker);
}

static void write_picks(struct buffer *out, const struct ranking *ranking,
                        const struct llm_passage *passages, size_t count, json_t *citations)
{
        SCOPED_MEM bool *written = mem_array(NULL, bool, count);
        bool in_list = false;

        for (size_t i = 0; i < ranking->pick_count; i++) {
                size_t passage = ranking->units[ranking->picks[i]].passage;

                if (written[passage])
                        continue;
                written[passage] = true;
                json_array_append_new(citations, cite(ranking, passages, ranking->picks[i]));
                write_passage(out, ranking, passages, passage, json_array_size(citations),
                              &in_list);
        }
}

void local_answer(const char *question, const struct llm_passage *passages, size_t count,
                  struct buffer *out, json_t **ret_citations)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct ranking *ranking;

        *ret_citations = json_array();
        if (count == 0) {
                buffer_text(out, no_passages);
                return;
        }
        ranking = local_rank(ctx, question, passages, count);
        if (ranking->pick_count == 0 || ranking->coverage < covers_somewhat) {
                buffer_printf(out, no_answer, count);
                return;
        }
        if (ranking->coverage < covers_well)
                buffer_text(out, near_answer);
        write_picks(out, ranking, passages, count, *ret_citations);
        buffer_text(out, signature);
}
