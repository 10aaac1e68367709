/* SPDX-License-Identifier: Apache-2.0 */
#include "store/test_store.h"
#include "store/text_query.h"

/* --- The query builder ------------------------------------------------------------------------*/
static void check_query(const char *text, const char *expected)
{
        SCOPED_MEM void *ctx = mem_root();
        struct text_query *query = text_query_new(ctx, text, NULL);

        if (!expected) {
                assert_null(query);
                return;
        }
        assert_non_null(query);
        assert_string_equal(text_query_any(query),
                            mem_printf(ctx, "{content heading} : (%s)", expected));
}

static void words_and_phrases_become_quoted_terms(void **state)
{
        (void)state;
        check_query("pump pressure", "\"pump\" OR \"pressure\"");
        check_query("the \"rated flow\" of pumps", "\"rated flow\" OR \"pumps\"");
        check_query("What is node.js, and gpt-4?", "\"node.js\" OR \"gpt-4\"");
        check_query("don't a_b v1.2.", "\"don't\" OR \"a_b\" OR \"v1.2\"");
        check_query("\xC3\x84rger,\xE6\xB5\x81\xE9\x87\x8F!",
                    "\"\xC3\x84rger\" OR \"\xE6\xB5\x81\xE9\x87\x8F\"");
        check_query("Pump pump PUMP", "\"Pump\"");
        check_query("col:umn -minus +plus a*", "\"col\" OR \"umn\" OR \"minus\" OR \"plus\"");
}

static void common_words_count_when_nothing_else_is_there(void **state)
{
        (void)state;
        check_query("Who are you?", "\"Who\" OR \"are\" OR \"you\"");
        check_query("who are the Beatles", "\"Beatles\"");
        check_query("\"the who\" and", "\"the who\"");
}

static void text_without_words_is_no_query(void **state)
{
        (void)state;
        check_query("", NULL);
        check_query(" \t\n", NULL);
        check_query("\"\" '' -- !!! \xE2\x80\xA6", NULL);
        check_query("\xFF\xFE\xC3", NULL);
        check_query("\"", NULL);
}

static void long_text_is_bounded(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer text = BUFFER_INIT(ctx, 1 << 20);

        (void)state;
        for (int i = 0; i < 10000; i++)
                buffer_printf(&text, "word%d ", i);
        assert_int_equal(text_query_count(text_query_new(ctx, text.data, NULL)),
                         TEXT_QUERY_TERMS_MAX);
        memset(text.data, 'x', text.length);
        assert_null(text_query_new(ctx, text.data, NULL));
}

static void the_scope_is_one_word(void **state)
{
        SCOPED_MEM void *ctx = mem_root();

        (void)state;
        assert_string_equal(text_query_any(text_query_new(ctx, "a", "01-ab\" OR x")),
                            "{content heading} : (\"a\") AND scope : \"01abORx\"");
}

static void leading_words_select_and_all_words_rank(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct text_query *query = text_query_new(ctx, "pump \"rated flow\" x9", "w");
        const bool lead[TEXT_QUERY_TERMS_MAX] = {false, true, false};

        (void)state;
        assert_string_equal(text_query_led(query, lead),
                            "{content heading} : ((\"rated flow\") AND (\"pump\" OR \"pump\" OR"
                            " \"rated flow\" OR \"x9\" OR \"x9\")) AND scope : \"w\"");
        assert_string_equal(text_query_term(query, 2),
                            "{content heading} : (\"x9\") AND scope : \"w\"");
}

/* --- Searching --------------------------------------------------------------------------------*/
struct library {
        struct document pumps, music, bobs;
        char *rated, *noise, *valve, *chords, *bobs_rated;
};

static struct document add_document(struct fixture *fixture, const struct workflow *workflow,
                                    const char *filename)
{
        struct document document = {.owner_id = workflow->owner_id,
                                    .workflow_id = workflow->id,
                                    .filename = TEXT(filename),
                                    .content_type = TEXT("text/plain"),
                                    .sha256 = TEXT(filename)};
        char *existing = NULL;

        ok(fixture, store_create_document(fixture->store, &document, fixture->ctx, &existing,
                                          &fixture->err));
        ok(fixture, store_set_document_status(fixture->store, document.id, "ready", NULL, 1, 1,
                                              &fixture->err));
        return document;
}

static char *add_chunk(struct fixture *fixture, const struct document *document, int64_t ordinal,
                       const char *heading, const char *content)
{
        char id[UUID_TEXT_SIZE];
        struct chunk chunk = {.id = mem_strdup(fixture->ctx, uuid_new(id)),
                              .ordinal = ordinal,
                              .heading = TEXT(heading),
                              .content = TEXT(content),
                              .page = 4};

        ok(fixture, store_add_chunks(fixture->store, document->id, document->workflow_id, &chunk, 1,
                                     &fixture->err));
        return chunk.id;
}

static struct library fill_library(struct fixture *fixture)
{
        struct library library = {
                .pumps = add_document(fixture, &fixture->alices, "pumps.pdf"),
                .music = add_document(fixture, &fixture->alices, "music.txt"),
                .bobs = add_document(fixture, &fixture->bobs, "pumps.pdf"),
        };

        library.rated = add_chunk(fixture, &library.pumps, 0, "Pumps > Ratings",
                                  "The rated flow of this pump is 40 litres a minute.");
        library.noise = add_chunk(fixture, &library.pumps, 1, "Pumps > Noise",
                                  "Pumping makes noise; a flow that is rated low is quieter.");
        library.valve = add_chunk(fixture, &library.pumps, 2, "Druckventil",
                                  "Die \xC3\x9C"
                                  "berdr\xC3\xBC"
                                  "cke fallen langsam ab.");
        library.chords = add_chunk(fixture, &library.music, 0, "", "A minor chord sounds sad.");
        library.bobs_rated = add_chunk(fixture, &library.bobs, 0, "", "Rated flow: 99 litres.");
        return library;
}

static size_t search(struct fixture *fixture, const struct document_set *set, const char *text,
                     struct chunk **ret)
{
        size_t count = 99;

        ok(fixture, store_search_chunks(fixture->store, fixture->ctx, set, text, 10, ret, &count,
                                        &fixture->err));
        for (size_t i = 0; i < count; i++) {
                assert_true((*ret)[i].score > 0);
                assert_true(i == 0 || (*ret)[i].score <= (*ret)[i - 1].score);
        }
        return count;
}

static void the_best_match_comes_first(void **state)
{
        struct fixture *fixture = *state;
        struct library library = fill_library(fixture);
        struct document_set set = {.workflow_id = fixture->alices.id};
        struct chunk *hits = NULL;

        assert_int_equal(search(fixture, &set, "how many litres of rated flow?", &hits), 2);
        assert_string_equal(hits[0].id, library.rated);
        assert_string_equal(hits[0].filename, "pumps.pdf");
        assert_string_equal(hits[0].document_id, library.pumps.id);
        assert_string_equal(hits[0].heading, "Pumps > Ratings");
        assert_int_equal(hits[0].page, 4);
        assert_string_equal(hits[1].id, library.noise);
}

static void phrases_hold_together(void **state)
{
        struct fixture *fixture = *state;
        struct library library = fill_library(fixture);
        struct document_set set = {.workflow_id = fixture->alices.id};
        struct chunk *hits = NULL;

        assert_int_equal(search(fixture, &set, "rated flow", &hits), 2);
        assert_int_equal(search(fixture, &set, "\"rated flow\"", &hits), 1);
        assert_string_equal(hits[0].id, library.rated);
        assert_int_equal(search(fixture, &set, "\"flow rated\"", &hits), 0);
}

static void endings_case_accents_and_headings_match(void **state)
{
        struct fixture *fixture = *state;
        struct library library = fill_library(fixture);
        struct document_set set = {.workflow_id = fixture->alices.id};
        struct chunk *hits = NULL;

        assert_int_equal(search(fixture, &set, "CHORDS", &hits), 1);
        assert_string_equal(hits[0].id, library.chords);
        assert_int_equal(search(fixture, &set, "uberdrucke", &hits), 1);
        assert_string_equal(hits[0].id, library.valve);
        assert_int_equal(search(fixture, &set, "druckventil", &hits), 1);
        assert_string_equal(hits[0].id, library.valve);
}

static void a_search_sees_its_set_only(void **state)
{
        struct fixture *fixture = *state;
        struct library library = fill_library(fixture);
        const char *music[] = {library.music.id};
        const char *both[] = {library.music.id, library.pumps.id, library.bobs.id, "'] OR 1"};
        struct document_set of_bob = {.workflow_id = fixture->bobs.id};
        struct document_set one = {fixture->alices.id, music, 1},
                            more = {fixture->alices.id, both, 4};
        struct chunk *hits = NULL;

        assert_int_equal(search(fixture, &of_bob, "rated flow", &hits), 1);
        assert_string_equal(hits[0].id, library.bobs_rated);
        assert_int_equal(search(fixture, &one, "rated flow", &hits), 0);
        assert_int_equal(search(fixture, &one, "chord", &hits), 1);
        assert_int_equal(search(fixture, &more, "rated flow", &hits), 2);
        /* The word that keeps workflows apart cannot be searched for. */
        assert_int_equal(search(fixture, &of_bob, fixture->bobs.id, &hits), 0);
}

static void only_ready_documents_are_searched(void **state)
{
        struct fixture *fixture = *state;
        struct library library = fill_library(fixture);
        struct document_set set = {.workflow_id = fixture->alices.id};
        struct chunk *hits = NULL;

        ok(fixture, store_set_document_status(fixture->store, library.pumps.id, "embedding", NULL,
                                              1, 1, &fixture->err));
        assert_int_equal(search(fixture, &set, "rated flow chord", &hits), 1);
        assert_string_equal(hits[0].id, library.chords);
        ok(fixture, store_delete_document(fixture->store, NULL, library.music.id, &fixture->err));
        assert_int_equal(search(fixture, &set, "rated flow chord", &hits), 0);
}

static void the_limit_is_kept(void **state)
{
        struct fixture *fixture = *state;
        struct document_set set = {.workflow_id = fixture->alices.id};
        struct chunk *hits = NULL;
        size_t count = 0;

        fill_library(fixture);
        ok(fixture, store_search_chunks(fixture->store, fixture->ctx, &set, "rated flow", 1, &hits,
                                        &count, &fixture->err));
        assert_int_equal(count, 1);
}

/* Whatever people type is words, never syntax. */
static void no_text_breaks_a_search(void **state)
{
        /* clang-format off */
        static const char *const texts[] = {
                "\"", "\"\"", "\"\"\"", "a\"b", "\"unbalanced", "'; DROP TABLE chunks; --", "*",
                "a*", "^a", "NEAR(a b, 5)", "NEAR(", "a AND", "OR OR", "NOT", "a NOT b", "AND",
                "(", ")", "((a)", "content:", "content:a", "{content}:a", "{heading scope} : x",
                "-", "--", "+a", "a+b", ":", "chunk_index:x", "rank", "scope:1", "\\", "%", "_",
                "?1", "@x", "$x", "\x01\x02\x7F", "\xFF\xFE", "x\xFFz", "\"a\xFF\"",
                "\xF0\x9F\x98\x80", "\xE2\x80\x9Cq\xE2\x80\x9D", "a\nb\tc", "0", "1e9", "NULL",
                "a.b.c.", "''''", "\" \"", "\"!\" \"?\" x",
        };
        /* clang-format on */
        struct fixture *fixture = *state;
        struct document_set set = {.workflow_id = fixture->alices.id};
        struct chunk *hits = NULL;

        fill_library(fixture);
        for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
                SCOPED_MEM void *ctx = mem_root();

                search(fixture, &set, texts[i], &hits);
                /* And beside words that are there, they are found all the same. */
                assert_true(search(fixture, &set, mem_printf(ctx, "chord %s", texts[i]), &hits) >
                            0);
        }
}

enum { MANY = 2200, BATCH = 200 };

/* Chunks that all have "common"; each tenth has "rare", the one asked for has both twice. */
static void fill_large(struct fixture *fixture, const struct document *document)
{
        for (int first = 0; first < MANY; first += BATCH) {
                struct chunk chunks[BATCH];
                char ids[BATCH][UUID_TEXT_SIZE];

                for (int i = 0; i < BATCH; i++) {
                        int n = first + i;

                        chunks[i] = (struct chunk){.id = uuid_new(ids[i]), .ordinal = n};
                        chunks[i].content = TEXT(n == 1230     ? "common rare common rare"
                                                 : n % 10 == 0 ? "common rare filler words"
                                                               : "common filler filler words");
                }
                ok(fixture, store_add_chunks(fixture->store, document->id, document->workflow_id,
                                             chunks, BATCH, &fixture->err));
        }
}

static void rare_words_lead_a_large_search(void **state)
{
        struct fixture *fixture = *state;
        struct document large = add_document(fixture, &fixture->alices, "large");
        struct document small = add_document(fixture, &fixture->alices, "small");
        const char *ids[] = {small.id};
        struct document_set all = {.workflow_id = fixture->alices.id};
        struct document_set one = {fixture->alices.id, ids, 1};
        char *chunk = add_chunk(fixture, &small, 0, "", "a common thing");
        struct chunk *hits = NULL;
        double alone;

        fill_large(fixture, &large);
        assert_int_equal(search(fixture, &all, "rare", &hits), 10);
        alone = hits[0].score;
        assert_int_equal(search(fixture, &all, "common rare", &hits), 10);
        assert_int_equal(hits[0].ordinal, 1230);
        for (int i = 1; i < 10; i++)
                assert_int_equal(hits[i].ordinal % 10, 0);
        /* Scores mean the same as in a small search: "common" adds nearly nothing here. */
        assert_true(hits[0].score > alone * 0.99 && hits[0].score < alone * 1.01);
        /* The rare word's chunks are in another document. */
        assert_int_equal(search(fixture, &one, "common rare", &hits), 1);
        assert_string_equal(hits[0].id, chunk);
}

static void check_state(struct fixture *fixture, const struct document_set *set, bool any,
                        bool processing)
{
        bool got_any = !any, got_processing = !processing;

        ok(fixture, store_set_state(fixture->store, set, &got_any, &got_processing, &fixture->err));
        assert_int_equal(got_any, any);
        assert_int_equal(got_processing, processing);
}

static void a_set_tells_whether_it_is_empty_or_in_work(void **state)
{
        struct fixture *fixture = *state;
        struct document_set set = {.workflow_id = fixture->alices.id};
        struct library library;
        const char *ids[1];
        struct document_set one = {fixture->alices.id, ids, 1};

        check_state(fixture, &set, false, false);
        library = fill_library(fixture);
        ids[0] = library.music.id;
        check_state(fixture, &set, true, false);
        check_state(fixture, &one, true, false);
        ok(fixture, store_set_document_status(fixture->store, library.music.id, "chunking", NULL, 0,
                                              1, &fixture->err));
        check_state(fixture, &set, true, true);
        check_state(fixture, &one, false, true);
        ids[0] = library.bobs.id;
        check_state(fixture, &one, false, true);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_and_phrases_become_quoted_terms),
                cmocka_unit_test(common_words_count_when_nothing_else_is_there),
                cmocka_unit_test(text_without_words_is_no_query),
                cmocka_unit_test(long_text_is_bounded),
                cmocka_unit_test(the_scope_is_one_word),
                cmocka_unit_test(leading_words_select_and_all_words_rank),
                store_test(the_best_match_comes_first),
                store_test(phrases_hold_together),
                store_test(endings_case_accents_and_headings_match),
                store_test(a_search_sees_its_set_only),
                store_test(only_ready_documents_are_searched),
                store_test(the_limit_is_kept),
                store_test(rare_words_lead_a_large_search),
                store_test(no_text_breaks_a_search),
                store_test(a_set_tells_whether_it_is_empty_or_in_work),
        };

        return cmocka_run_group_tests_name("store search", tests, NULL, NULL);
}
