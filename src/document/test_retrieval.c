/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "document/retrieval.h"
#include "document/test_embed.h"
#include "store/test_store.h"

static struct vector *vector;
static const struct llm_target model = {.provider = "test", .model = "m"};

static int setup(void **state)
{
        struct fixture *fixture;

        fixture_setup(state);
        fixture = *state;
        atomic_store(&test_embed_fails, false);
        ok(fixture, vector_new(fixture->store, &vector, &fixture->err));
        return 0;
}

static int teardown(void **state)
{
        vector_free(vector);
        return fixture_teardown(state);
}

/* --- Material ----------------------------------------------------------------------------------*/
static struct document add_document(struct fixture *fixture, const struct workflow *workflow,
                                    const char *filename)
{
        static unsigned number;
        struct document document = {.owner_id = workflow->owner_id,
                                    .workflow_id = workflow->id,
                                    .filename = TEXT(filename),
                                    .content_type = TEXT("text/plain"),
                                    .sha256 = mem_printf(fixture->ctx, "%u", number++)};
        char *existing = NULL;

        ok(fixture, store_create_document(fixture->store, &document, fixture->ctx, &existing,
                                          &fixture->err));
        return document;
}

static void set_status(struct fixture *fixture, const struct document *document, const char *status)
{
        ok(fixture, store_set_document_status(fixture->store, document->id, status, NULL, 1, 1,
                                              &fixture->err));
}

static void embed(struct fixture *fixture, const struct document *document, const char *chunk_id,
                  const char *content)
{
        struct vector_item item = {.chunk_id = chunk_id, .document_id = document->id};
        float *values;
        size_t dims;

        ok(fixture, llm_embed(NULL, fixture->ctx, &model, LLM_EMBED_DOCUMENT, &content, 1, &values,
                              &dims, &fixture->err));
        item.values = values;
        ok(fixture,
           vector_add(vector, document->workflow_id, "test/m", dims, &item, 1, &fixture->err));
}

static char *add_chunk(struct fixture *fixture, const struct document *document,
                       const char *content)
{
        static int64_t ordinal;
        char id[UUID_TEXT_SIZE];
        struct chunk chunk = {.id = mem_strdup(fixture->ctx, uuid_new(id)),
                              .ordinal = ordinal++,
                              .content = TEXT(content),
                              .heading = TEXT("Part > One"),
                              .page = 3,
                              .start = 10,
                              .end = 10 + (int64_t)strlen(content)};

        ok(fixture, store_add_chunks(fixture->store, document->id, document->workflow_id, &chunk, 1,
                                     &fixture->err));
        embed(fixture, document, chunk.id, content);
        return chunk.id;
}

/* A ready document with one chunk; the chunk's id. */
static char *add_text(struct fixture *fixture, const struct workflow *workflow,
                      const char *filename, const char *content)
{
        struct document document = add_document(fixture, workflow, filename);
        char *id = add_chunk(fixture, &document, content);

        set_status(fixture, &document, "ready");
        return id;
}

struct found {
        struct chunk *hits;
        size_t count;
};

static struct retrieval_query query_of(struct fixture *fixture, enum retrieval_mode mode,
                                       const char *text)
{
        return (struct retrieval_query){.set = {.workflow_id = fixture->alices.id},
                                        .text = text,
                                        .limit = 10,
                                        .mode = mode,
                                        .embedding = model};
}

static struct found search_for(struct fixture *fixture, const struct retrieval_query *query)
{
        struct found found;

        ok(fixture, retrieval_search(fixture->store, vector, NULL, fixture->ctx, query, &found.hits,
                                     &found.count, &fixture->err));
        for (size_t i = 1; i < found.count; i++)
                assert_true(found.hits[i].score <= found.hits[i - 1].score);
        return found;
}

static struct found search(struct fixture *fixture, enum retrieval_mode mode, const char *text)
{
        struct retrieval_query query = query_of(fixture, mode, text);

        return search_for(fixture, &query);
}

/* --- Modes -------------------------------------------------------------------------------------*/
static void words_are_found_with_their_place(void **state)
{
        struct fixture *fixture = *state;
        char *id = add_text(fixture, &fixture->alices, "a.pdf", "The boiler holds nine bar.");
        struct found found = search(fixture, RETRIEVAL_KEYWORD, "boiler pressure?");

        add_text(fixture, &fixture->alices, "b.pdf", "Nothing to see here.");
        assert_int_equal(found.count, 1);
        assert_string_equal(found.hits[0].id, id);
        assert_string_equal(found.hits[0].content, "The boiler holds nine bar.");
        assert_string_equal(found.hits[0].filename, "a.pdf");
        assert_string_equal(found.hits[0].heading, "Part > One");
        assert_int_equal(found.hits[0].page, 3);
        assert_int_equal(found.hits[0].start, 10);
        assert_int_equal(found.hits[0].end, 36);
        assert_true(found.hits[0].score == 1);
}

static void meaning_finds_other_words(void **state)
{
        struct fixture *fixture = *state;
        char *id = add_text(fixture, &fixture->alices, "a.txt", "Each automobile needs fuel.");

        add_text(fixture, &fixture->alices, "b.txt", "Birds fly south in autumn.");
        assert_int_equal(search(fixture, RETRIEVAL_KEYWORD, "car").count, 0);
        assert_string_equal(search(fixture, RETRIEVAL_SEMANTIC, "car").hits[0].id, id);
        assert_string_equal(search(fixture, RETRIEVAL_HYBRID, "car").hits[0].id, id);
}

static void both_lists_are_fused_by_rank(void **state)
{
        struct fixture *fixture = *state;
        char *words = add_text(fixture, &fixture->alices, "a.txt", "holiday holiday zebra holiday");
        char *both = add_text(fixture, &fixture->alices, "b.txt", "vacation leave holiday");
        struct found found = search(fixture, RETRIEVAL_HYBRID, "holiday");
        double best = 2.0 / 61;

        /* By words `words` is first and `both` second; by meaning the other way round. */
        assert_string_equal(search(fixture, RETRIEVAL_KEYWORD, "holiday").hits[0].id, words);
        assert_string_equal(search(fixture, RETRIEVAL_SEMANTIC, "holiday").hits[0].id, both);
        assert_int_equal(found.count, 2);
        for (size_t i = 0; i < 2; i++)
                assert_true(fabs(found.hits[i].score - (1.0 / 61 + 1.0 / 62) / best) < 1e-9);
        /* Equal: the older id comes first. */
        assert_string_equal(found.hits[0].id, words);
        add_text(fixture, &fixture->alices, "c.txt", "vacation vacation cash salary");
        found = search(fixture, RETRIEVAL_HYBRID, "vacation");
        assert_true(found.hits[0].score > found.hits[1].score);
}

static void without_a_model(void **state)
{
        struct fixture *fixture = *state;
        struct retrieval_query query;
        struct found found;

        add_text(fixture, &fixture->alices, "a.txt", "Each automobile needs fuel.");
        query = query_of(fixture, RETRIEVAL_HYBRID, "fuel");
        query.embedding = (struct llm_target){0};
        assert_int_equal(search_for(fixture, &query).count, 1);
        query.mode = RETRIEVAL_SEMANTIC;
        expect(fixture, STATUS_UNPROCESSABLE,
               retrieval_search(fixture->store, vector, NULL, fixture->ctx, &query, &found.hits,
                                &found.count, &fixture->err));
        assert_non_null(strstr(fixture->err.message, "embedding model"));
}

static void a_model_that_is_down(void **state)
{
        struct fixture *fixture = *state;
        struct retrieval_query query = query_of(fixture, RETRIEVAL_SEMANTIC, "fuel");
        struct found found;

        add_text(fixture, &fixture->alices, "a.txt", "Each automobile needs fuel.");
        atomic_store(&test_embed_fails, true);
        found = search(fixture, RETRIEVAL_HYBRID, "fuel");
        assert_int_equal(found.count, 1);
        assert_true(found.hits[0].score == 1);
        expect(fixture, STATUS_UPSTREAM,
               retrieval_search(fixture->store, vector, NULL, fixture->ctx, &query, &found.hits,
                                &found.count, &fixture->err));
}

/* --- What is left out --------------------------------------------------------------------------*/
static void the_same_passage_comes_once(void **state)
{
        struct fixture *fixture = *state;
        const char *text = "The terms of service apply to all customers of the company without "
                           "exception, from the first day of the contract to the last.";

        for (int i = 0; i < 5; i++)
                add_text(fixture, &fixture->alices, "copy.txt", text);
        add_text(fixture, &fixture->alices, "other.txt", "Customers may cancel the contract.");
        assert_int_equal(search(fixture, RETRIEVAL_KEYWORD, "customers contract").count, 2);
        assert_int_equal(search(fixture, RETRIEVAL_HYBRID, "customers contract").count, 2);
}

static void unfinished_documents_are_not_seen(void **state)
{
        struct fixture *fixture = *state;
        struct document document = add_document(fixture, &fixture->alices, "a.txt");

        add_chunk(fixture, &document, "Each automobile needs fuel.");
        set_status(fixture, &document, "embedding");
        assert_int_equal(search(fixture, RETRIEVAL_HYBRID, "automobile").count, 0);
        assert_int_equal(search(fixture, RETRIEVAL_SEMANTIC, "car").count, 0);
        set_status(fixture, &document, "ready");
        assert_int_equal(search(fixture, RETRIEVAL_HYBRID, "automobile").count, 1);
        ok(fixture, store_delete_document(fixture->store, NULL, document.id, &fixture->err));
        /* The engine still has the vector; its chunk is gone. */
        assert_int_equal(search(fixture, RETRIEVAL_SEMANTIC, "car").count, 0);
}

static void only_the_set_is_searched(void **state)
{
        struct fixture *fixture = *state;
        struct document red = add_document(fixture, &fixture->alices, "red.txt");
        const char *ids[] = {red.id};
        struct retrieval_query query = query_of(fixture, RETRIEVAL_HYBRID, "automobile");

        add_chunk(fixture, &red, "The red automobile.");
        set_status(fixture, &red, "ready");
        add_text(fixture, &fixture->alices, "blue.txt", "A blue automobile there.");
        add_text(fixture, &fixture->bobs, "bob.txt", "Bob has some automobile.");
        assert_int_equal(search_for(fixture, &query).count, 2);
        query.set.document_ids = ids;
        query.set.document_count = 1;
        assert_int_equal(search_for(fixture, &query).count, 1);
        assert_string_equal(search_for(fixture, &query).hits[0].filename, "red.txt");
}

static void limit_and_score_bound_the_result(void **state)
{
        struct fixture *fixture = *state;
        struct retrieval_query query = query_of(fixture, RETRIEVAL_KEYWORD, "pump");

        for (int i = 0; i < 30; i++)
                add_text(fixture, &fixture->alices, "a.txt",
                         mem_printf(fixture->ctx,
                                    "The pump %c%c%c%c is model number %d of series %d",
                                    'a' + i % 26, 'b' + i % 7, 'c' + i % 5, 'd' + i % 3, i * 7, i));
        query.limit = 100;
        assert_int_equal(search_for(fixture, &query).count, 30);
        query.limit = 7;
        assert_int_equal(search_for(fixture, &query).count, 7);
        query.limit = 100;
        query.min_score = 61.0 / (60 + 10) - 1e-9; /* the score of rank 10 */
        assert_int_equal(search_for(fixture, &query).count, 10);
        query.min_score = 1;
        assert_int_equal(search_for(fixture, &query).count, 1);
        query.limit = 0;
        assert_int_equal(search_for(fixture, &query).count, 0);
        query = query_of(fixture, RETRIEVAL_KEYWORD, " ?!");
        assert_int_equal(search_for(fixture, &query).count, 0);
}

static void modes_have_names(void **state)
{
        enum retrieval_mode mode;

        (void)state;
        assert_true(retrieval_mode_parse("semantic", &mode));
        assert_int_equal(mode, RETRIEVAL_SEMANTIC);
        assert_true(retrieval_mode_parse("hybrid", &mode));
        assert_true(retrieval_mode_parse("keyword", &mode));
        assert_false(retrieval_mode_parse("Hybrid", &mode));
        assert_false(retrieval_mode_parse("", &mode));
}

#define retrieval_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                retrieval_test(words_are_found_with_their_place),
                retrieval_test(meaning_finds_other_words),
                retrieval_test(both_lists_are_fused_by_rank),
                retrieval_test(without_a_model),
                retrieval_test(a_model_that_is_down),
                retrieval_test(the_same_passage_comes_once),
                retrieval_test(unfinished_documents_are_not_seen),
                retrieval_test(only_the_set_is_searched),
                retrieval_test(limit_and_score_bound_the_result),
                cmocka_unit_test(modes_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
