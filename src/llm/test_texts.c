/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "llm/citations.h"
#include "llm/languages.h"
#include "llm/local.h"
#include "llm/prices.h"
#include "llm/sentences.h"
#include "llm/words.h"

#include <cmocka.h>

/* Sentences joined by '|', headings in <>, items in (). */
static void check_sentences(const char *text, const char *expected)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer out = BUFFER_INIT(ctx, 4096);
        struct sentence *sentences;
        size_t count = sentences_split(ctx, text, strlen(text), &sentences);

        for (size_t i = 0; i < count; i++) {
                const struct sentence *s = &sentences[i];

                buffer_text(&out, i ? "|" : "");
                buffer_text(&out, s->heading ? "<" : s->item ? "(" : "");
                buffer_append(&out, text + s->from, s->to - s->from);
                buffer_text(&out, s->heading ? ">" : s->item ? ")" : "");
        }
        assert_string_equal(buffer_string(&out), expected);
}

static void sentences_end_where_they_end(void **state)
{
        (void)state;
        check_sentences("One two. Three four! Five?", "One two.|Three four!|<Five?>");
        check_sentences("Version 3.11 of it, e.g. the one by J. Smith and Dr. Who, is fine. Next.",
                        "Version 3.11 of it, e.g. the one by J. Smith and Dr. Who, is fine.|Next.");
        check_sentences("He said \"stop.\" Then he left. See www.example.org... or not. End",
                        "He said \"stop.\"|Then he left.|See www.example.org... or not.|End");
        check_sentences("A line that is broken\nin the middle of it. And\nanother.",
                        "A line that is broken\nin the middle of it.|And\nanother.");
        check_sentences("Das kostet z.B. 5 Euro. \u00C4pfel sind teurer.",
                        "Das kostet z.B. 5 Euro.|\u00C4pfel sind teurer.");
        check_sentences("\u3053\u308C\u306F\u672C\u3002\u305D\u308C\u3082\u672C\u3002",
                        "\u3053\u308C\u306F\u672C\u3002|\u305D\u308C\u3082\u672C\u3002");
        check_sentences("", "");
        check_sentences(" \n\n \t ", "");
}

static void layout_tells_headings_and_items(void **state)
{
        (void)state;
        check_sentences("# Title\nText follows here.", "<# Title>|Text follows here.");
        check_sentences("3.2 Installing the Server\nThe installer asks for the host name first of "
                        "all, then for a password.",
                        "<3.2 Installing the Server>|The installer asks for the host name first of "
                        "all, then for a password.");
        check_sentences("1. AUTHORS\nJulian wrote most of it, others wrote the remaining parts.",
                        "<1. AUTHORS>|Julian wrote most of it, others wrote the remaining parts.");
        check_sentences("Choose one:\n- first way\n- second way\n\nDone.",
                        "Choose one:|(- first way)|(- second way)|Done.");
        check_sentences("1. Open it.\n2. Close it.", "(1. Open it.)|(2. Close it.)");
}

static void endless_sentences_are_cut(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char *text = mem_array(ctx, char, 5001);
        struct sentence *sentences;
        size_t count, at = 0;

        (void)state;
        memset(text, 'x', 5000);
        for (size_t i = 7; i < 2500; i += 8)
                text[i] = ' ';
        for (size_t i = 2500; i + 1 < 5000; i += 2) {
                text[i] = '\xC3';
                text[i + 1] = '\xA9';
        }
        count = sentences_split(ctx, text, 5000, &sentences);
        assert_true(count > 5);
        for (size_t i = 0; i < count; i++) {
                assert_true(sentences[i].from >= at && sentences[i].to - sentences[i].from <= 701);
                assert_true(((unsigned char)text[sentences[i].from] & 0xC0) != 0x80);
                at = sentences[i].to;
        }
        assert_int_equal(at, 5000);
}

/* Stems joined by blanks, stop words in (). */
static void check_words(const char *sample, const char *text, const char *expected)
{
        SCOPED_MEM void *ctx = mem_root();
        struct vocabulary *vocabulary = vocabulary_new(ctx, sample, strlen(sample));
        struct buffer out = BUFFER_INIT(ctx, 4096);
        struct word *words;
        size_t count = vocabulary_words(vocabulary, ctx, text, strlen(text), &words);

        for (size_t i = 0; i < count; i++) {
                buffer_text(&out, i ? " " : "");
                buffer_text(&out, words[i].stop ? "(" : "");
                buffer_text(&out, vocabulary_text(vocabulary, words[i].term));
                buffer_text(&out, words[i].stop ? ")" : "");
        }
        assert_string_equal(buffer_string(&out), expected);
}

static void words_become_terms(void **state)
{
        (void)state;
        check_words("the", "The Installations, INSTALLED by installers",
                    "(the) instal instal (by) instal");
        check_words("the", "Caf\u00E9 na\u00EFve \u00DCber", "cafe naiv uber");
        check_words("the", "3.11 1,000 v2 infor-\nmation well-known",
                    "3.11 1000 v2 inform well known");
        check_words("the", "DUMP_STATS_AT _xy", "dump_stats_at xy");
        check_words("the", "it's l'eau", "(it) (s) (l) eau");
        check_words("der die das und ist nicht", "die H\u00E4user", "(die) haus");
        check_words("the", "\u65E5\u672C\u8A9E", "\u65E5\u672C \u672C\u8A9E \u8A9E");
        check_words("the", "\xFF\xFE broken \xC3", "broken");
        check_words("", "", "");
}

static void stop_words_are_sorted(void **state)
{
        (void)state;
        for (size_t l = 0; l < language_count; l++) {
                for (size_t i = 1; i < languages[l].stop_word_count; i++)
                        assert_true(strcmp(languages[l].stop_words[i - 1],
                                           languages[l].stop_words[i]) < 0);
        }
}

/* --- Citations --------------------------------------------------------------------------------- */

static const struct llm_passage passages[] = {
        {.document_id = "d1",
         .chunk_id = "c1",
         .filename = "book.pdf",
         .text = "Cats sleep a lot. They eat fish and mice. Dogs bark at strangers.",
         .page = 12,
         .start = 1000},
        {.document_id = "d2",
         .chunk_id = "c2",
         .filename = "notes.txt",
         .text = "Birds sing in the morning.",
         .start = 0},
        {.url = "https://example.org/x", .title = "Fish", .text = "Fish swim. Fish breathe water."},
};

static void passages_are_numbered_for_the_prompt(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer out = BUFFER_INIT(ctx, 4096);

        (void)state;
        citations_write_passages(&out, passages, 3);
        assert_string_equal(
                buffer_string(&out),
                "[1] book.pdf, page 12\nCats sleep a lot. They eat fish and mice. Dogs "
                "bark at strangers.\n\n[2] notes.txt\nBirds sing in the morning.\n\n[3] "
                "Fish (https://example.org/x)\nFish swim. Fish breathe water.\n\n");
}

static void markers_lead_to_the_sentence(void **state)
{
        SCOPED_JSON json_t *citations = citations_resolve(
                "Dogs bark when strangers come [1]. Birds sing early [2, 3]. Again [1] and [7].",
                passages, 3);

        (void)state;
        assert_int_equal(json_array_size(citations), 3);
        assert_string_equal(json_get_text(json_path(citations, "[0]"), "quote", ""),
                            "Dogs bark at strangers.");
        assert_int_equal(json_integer_value(json_path(citations, "[0].start")), 1042);
        assert_int_equal(json_integer_value(json_path(citations, "[0].end")), 1065);
        assert_int_equal(json_integer_value(json_path(citations, "[0].page")), 12);
        assert_true(json_is_null(json_path(citations, "[1].page")));
        assert_string_equal(json_get_text(json_path(citations, "[2]"), "url", ""),
                            "https://example.org/x");
        assert_null(json_path(citations, "[2].document_id"));
}

static void odd_markers_do_no_harm(void **state)
{
        static const char *const none[] = {"",    "[",   "[]",   "[x]",   "[0]", "[9999999999]",
                                           "[1",  "[1,", "[-1]", "[1 2]", "[4]", "no markers",
                                           "[[[", "[1-", "[,1]"};
        SCOPED_JSON json_t *range = citations_resolve("All [1-3]", passages, 3);
        SCOPED_JSON json_t *first = citations_resolve("[2] says so", passages, 3);

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(none); i++) {
                SCOPED_JSON json_t *citations = citations_resolve(none[i], passages, 3);

                if (json_array_size(citations))
                        fail_msg("'%s' cites", none[i]);
        }
        assert_int_equal(json_array_size(range), 3);
        assert_int_equal(json_array_size(first), 1);
}

/* --- Prices ------------------------------------------------------------------------------------ */

static void prices_match_the_longest_prefix(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct prices *prices;
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(prices_load(ctx, NULL, &prices, &err), STATUS_OK);
        assert_float_equal(prices_cost(prices, "openai", "gpt-4o-mini", 1000000, 1000000), 0.75,
                           1e-9);
        assert_float_equal(prices_cost(prices, "openai", "gpt-4o-mini-2024-07-18", 2000000, 0), 0.3,
                           1e-9);
        assert_float_equal(prices_cost(prices, "openai", "gpt-4o", 0, 1000000), 10, 1e-9);
        assert_float_equal(prices_cost(prices, "openai", "gpt-5.9-sol", 1000000, 0), 0, 1e-9);
        assert_float_equal(prices_cost(prices, "openai", "llama3", 1000000, 0), 0, 1e-9);
        assert_true(prices_cost(prices, "gemini", "gemini-3.8-flash", 1000, 1000) > 0);
        assert_true(prices_cost(prices, "gemini", "gpt-4o", 1000, 1000) <= 0);
}

static enum status load_text(void *ctx, const char *text, struct prices **ret, struct error *err)
{
        char path[] = "/tmp/flowgenix-prices-XXXXXX";
        int fd = mkstemp(path);
        enum status status;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
        status = prices_load(ctx, path, ret, err);
        unlink(path);
        return status;
}

static void price_files_are_checked(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct prices *prices = NULL;
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(
                load_text(ctx,
                          "{\"prices\":[{\"provider\":\"openai\",\"model\":\"m\",\"input\":2,"
                          "\"output\":4}]}",
                          &prices, &err),
                STATUS_OK);
        assert_float_equal(prices_cost(prices, "openai", "m-large", 500000, 250000), 2, 1e-9);
        assert_int_equal(load_text(ctx, "{\"prices\":[{\"model\":\"m\"}]}", &prices, &err),
                         STATUS_INVALID);
        assert_int_equal(load_text(ctx, "{", &prices, &err), STATUS_INVALID);
        assert_int_equal(load_text(ctx, "[]", &prices, &err), STATUS_INVALID);
        assert_int_equal(prices_load(ctx, "/nonexistent/prices.json", &prices, &err),
                         STATUS_INVALID);
        assert_non_null(strstr(err.message, "/nonexistent/prices.json"));
}

/* --- The local engine -------------------------------------------------------------------------- */

static char *answer(void *ctx, const char *question, const struct llm_passage *from, size_t count,
                    json_t **ret_citations)
{
        struct buffer out = BUFFER_INIT(ctx, 1 << 16);

        local_answer(question, from, count, &out, ret_citations);
        return mem_strdup(ctx, buffer_string(&out));
}

static const struct llm_passage manual[] = {
        {.document_id = "m",
         .chunk_id = "k1",
         .filename = "manual.pdf",
         .text = "2.1 Cleaning the Filter\nThe filter collects lint. Clean it every 30 days with "
                 "warm "
                 "water. Do not use soap. The warranty ends if the filter is damaged by chemicals.",
         .page = 4,
         .start = 500},
        {.document_id = "m",
         .chunk_id = "k2",
         .filename = "manual.pdf",
         .text = "3. Noise\nThe pump hums at 45 decibels. If the pump is louder than that, call "
                 "the "
                 "service. Our service was founded by Maria Keller in 1987 in Graz.",
         .page = 9,
         .start = 2500},
        {.document_id = "m",
         .chunk_id = "k3",
         .filename = "manual.pdf",
         .text = "To restart the machine do the following:\n- Unplug it.\n- Wait ten seconds.\n- "
                 "Plug "
                 "it in again.\n\nA descaler is a liquid that dissolves limestone. It is sold in "
                 "drugstores.",
         .page = 11,
         .start = 4000},
};

struct expectation {
        const char *question, *holds, *marker;
        size_t chunk;
};

static void local_answers_quote_the_right_sentence(void **state)
{
        static const struct expectation expectations[] = {
                {"How often should I clean the filter?", "Clean it every 30 days", "[1]", 0},
                {"How loud is the pump?", "The pump hums at 45 decibels.", "[1]", 1},
                {"Who founded the service?", "Maria Keller", "[1]", 1},
                {"When was the service founded?", "1987", "[1]", 1},
                {"What is a descaler?", "A descaler is a liquid that dissolves limestone.", "[1]",
                 2},
                {"How do I restart the machine?", "Wait ten seconds.", "[1]", 2},
                {"how to restrat the machin", "Unplug it.", "[1]", 2},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(expectations); i++) {
                const struct expectation *expected = &expectations[i];
                SCOPED_MEM void *ctx = mem_root();
                SCOPED_JSON json_t *citations = NULL;
                char *text = answer(ctx, expected->question, manual, 3, &citations);

                if (!strstr(text, expected->holds) || !strstr(text, expected->marker) ||
                    !strstr(text, "Local extractive answer"))
                        fail_msg("%s: %s", expected->question, text);
                assert_string_equal(json_get_text(json_path(citations, "[0]"), "chunk_id", ""),
                                    manual[expected->chunk].chunk_id);
        }
}

/* Every citation's range is where its quote stands. */
static void local_citations_are_exact(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *citations = NULL;
        const json_t *citation;
        size_t i;

        (void)state;
        answer(ctx, "What about the filter, the pump and the descaler?", manual, 3, &citations);
        assert_int_equal(json_array_size(citations), 3);
        json_array_foreach (citations, i, citation) {
                const char *chunk = json_get_text(citation, "chunk_id", "");
                const struct llm_passage *passage = &manual[chunk[1] - '1'];
                size_t from = (size_t)(json_get_int(citation, "start", 0) - passage->start);
                const char *quote = json_get_text(citation, "quote", "");

                assert_memory_equal(passage->text + from, quote, strlen(quote));
                assert_int_equal(json_get_int(citation, "end", 0) - passage->start,
                                 from + strlen(quote));
                assert_int_equal(json_get_int(citation, "page", 0), passage->page);
        }
}

static void local_admits_what_it_does_not_know(void **state)
{
        static const char *const strange[] = {"What is the capital of Mongolia?",
                                              "Which quarterly revenue did Acme report?", "???",
                                              ""};
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *without = NULL;

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(strange); i++) {
                SCOPED_JSON json_t *citations = NULL;
                char *text = answer(ctx, strange[i], manual, 3, &citations);

                if (!strstr(text, "Nothing in the documents answers this"))
                        fail_msg("%s: %s", strange[i], text);
                assert_int_equal(json_array_size(citations), 0);
        }
        assert_non_null(strstr(answer(ctx, "Anything?", NULL, 0, &without), "Upload documents"));
        assert_int_equal(json_array_size(without), 0);
}

/* Overlapping chunks hold the same sentence twice; the answer says it once. */
static void local_does_not_repeat_itself(void **state)
{
        const struct llm_passage twice[] = {manual[0], manual[0]};
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *citations = NULL, *again = NULL;
        char *text = answer(ctx, "How often should I clean the filter?", twice, 2, &citations);
        const char *first = strstr(text, "Clean it every 30 days");

        (void)state;
        assert_non_null(first);
        assert_null(strstr(first + 1, "Clean it every 30 days"));
        assert_string_equal(text,
                            answer(ctx, "How often should I clean the filter?", twice, 2, &again));
}

static void local_survives_any_bytes(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char noise[3000];
        unsigned seed = 7;

        (void)state;
        for (int round = 0; round < 200; round++) {
                struct llm_passage passage = {.text = noise, .filename = "x"};
                SCOPED_JSON json_t *citations = NULL;

                for (size_t i = 0; i < sizeof(noise) - 1; i++) {
                        seed = seed * 1103515245U + 12345;
                        noise[i] = (char)(seed >> 16);
                        if (noise[i] == '\0' || seed % 5 == 0)
                                noise[i] = " .\n?a"[seed % 5];
                }
                noise[sizeof(noise) - 1] = '\0';
                answer(ctx, noise + 2900, &passage, 1, &citations);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sentences_end_where_they_end),
                cmocka_unit_test(layout_tells_headings_and_items),
                cmocka_unit_test(endless_sentences_are_cut),
                cmocka_unit_test(words_become_terms),
                cmocka_unit_test(stop_words_are_sorted),
                cmocka_unit_test(passages_are_numbered_for_the_prompt),
                cmocka_unit_test(markers_lead_to_the_sentence),
                cmocka_unit_test(odd_markers_do_no_harm),
                cmocka_unit_test(prices_match_the_longest_prefix),
                cmocka_unit_test(price_files_are_checked),
                cmocka_unit_test(local_answers_quote_the_right_sentence),
                cmocka_unit_test(local_citations_are_exact),
                cmocka_unit_test(local_admits_what_it_does_not_know),
                cmocka_unit_test(local_does_not_repeat_itself),
                cmocka_unit_test(local_survives_any_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
