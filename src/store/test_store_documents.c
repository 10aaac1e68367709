/* SPDX-License-Identifier: Apache-2.0 */
#include "store/test_store.h"

static struct document add_document(struct fixture *fixture, const struct workflow *workflow,
                                    const char *filename, const char *sha256)
{
        struct document document = {.owner_id = workflow->owner_id,
                                    .workflow_id = workflow->id,
                                    .filename = TEXT(filename),
                                    .content_type = TEXT("text/plain"),
                                    .sha256 = TEXT(sha256),
                                    .file_size = 12};
        char *existing = NULL;

        ok(fixture, store_create_document(fixture->store, &document, fixture->ctx, &existing,
                                          &fixture->err));
        assert_null(existing);
        return document;
}

static void set_status(struct fixture *fixture, const struct document *document, const char *status)
{
        ok(fixture, store_set_document_status(fixture->store, document->id, status, NULL, 1, 3,
                                              &fixture->err));
}

static char *add_chunk(struct fixture *fixture, const struct document *document, int64_t ordinal,
                       const char *heading, const char *content)
{
        char id[UUID_TEXT_SIZE];
        struct chunk chunk = {.id = mem_strdup(fixture->ctx, uuid_new(id)),
                              .ordinal = ordinal,
                              .heading = TEXT(heading),
                              .content = TEXT(content),
                              .page = 2,
                              .start = 100 * ordinal,
                              .end = 100 * ordinal + 50};

        ok(fixture, store_add_chunks(fixture->store, document->id, document->workflow_id, &chunk, 1,
                                     &fixture->err));
        return chunk.id;
}

/* --- Rows -------------------------------------------------------------------------------------*/
static void a_document_goes_through_its_states(void **state)
{
        struct fixture *fixture = *state;
        struct document document = add_document(fixture, &fixture->alices, "\xC3\xBC.pdf", "aa");
        struct document found = {0};

        assert_string_equal(document.status, "queued");
        assert_true(uuid_valid(document.id));
        ok(fixture, store_set_document_status(fixture->store, document.id, "failed", "It is empty",
                                              0.25, 7, &fixture->err));
        ok(fixture, store_get_document(fixture->store, fixture->ctx, fixture->alice.id, document.id,
                                       &found, &fixture->err));
        assert_string_equal(found.filename, "\xC3\xBC.pdf");
        assert_string_equal(found.status, "failed");
        assert_string_equal(found.error, "It is empty");
        assert_true(found.progress == 0.25);
        assert_int_equal(found.page_count, 7);
        assert_int_equal(found.file_size, 12);
        assert_int_equal(found.chunk_count, 0);
        assert_true(found.updated_at >= found.created_at);
        expect(fixture, STATUS_NOT_FOUND,
               store_set_document_status(fixture->store, "gone", "ready", NULL, 1, 1,
                                         &fixture->err));
}

static void the_same_bytes_are_recognised(void **state)
{
        struct fixture *fixture = *state;
        struct document first = add_document(fixture, &fixture->alices, "a", "same");
        struct document again = {.owner_id = fixture->alice.id,
                                 .workflow_id = fixture->alices.id,
                                 .filename = TEXT("b"),
                                 .content_type = TEXT("t"),
                                 .sha256 = TEXT("same")};
        char *existing = NULL;

        ok(fixture,
           store_create_document(fixture->store, &again, fixture->ctx, &existing, &fixture->err));
        assert_string_equal(existing, first.id);
        assert_null(again.id);
        add_document(fixture, &fixture->bobs, "another workflow", "same");
        set_status(fixture, &first, "failed");
        ok(fixture,
           store_create_document(fixture->store, &again, fixture->ctx, &existing, &fixture->err));
        assert_null(existing);
        assert_string_not_equal(again.id, first.id);
        again.id = NULL;
        again.sha256 = TEXT("x");
        again.workflow_id = TEXT("nowhere");
        expect(fixture, STATUS_NOT_FOUND,
               store_create_document(fixture->store, &again, fixture->ctx, &existing,
                                     &fixture->err));
}

static void documents_belong_to_their_owner(void **state)
{
        struct fixture *fixture = *state;
        struct document mine = add_document(fixture, &fixture->alices, "mine", "1");
        struct document bobs = add_document(fixture, &fixture->bobs, "bobs", "2");
        struct document found = {0}, *list = NULL;
        struct page page = {.limit = 10};
        size_t count = 9;

        expect(fixture, STATUS_NOT_FOUND,
               store_get_document(fixture->store, fixture->ctx, fixture->alice.id, bobs.id, &found,
                                  &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_delete_document(fixture->store, fixture->alice.id, bobs.id, &fixture->err));
        ok(fixture, store_list_documents(fixture->store, fixture->ctx, fixture->alice.id,
                                         fixture->bobs.id, &page, &list, &count, &fixture->err));
        assert_int_equal(count, 0);
        ok(fixture, store_list_documents(fixture->store, fixture->ctx, fixture->alice.id, NULL,
                                         &page, &list, &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_string_equal(list[0].id, mine.id);
        ok(fixture,
           store_get_document(fixture->store, fixture->ctx, NULL, bobs.id, &found, &fixture->err));
}

static void lists_page_and_skip_deleted(void **state)
{
        struct fixture *fixture = *state;
        struct document documents[4], *list = NULL;
        struct page page = {.limit = 2};
        size_t count = 0;

        for (int i = 0; i < 4; i++) {
                char sha[2] = {(char)('a' + i), 0};

                documents[i] =
                        add_document(fixture, &fixture->alices, "f", mem_strdup(fixture->ctx, sha));
        }
        ok(fixture, store_delete_document(fixture->store, fixture->alice.id, documents[2].id,
                                          &fixture->err));
        ok(fixture, store_list_documents(fixture->store, fixture->ctx, fixture->alice.id,
                                         fixture->alices.id, &page, &list, &count, &fixture->err));
        assert_int_equal(page.total, 3);
        assert_string_equal(list[0].id, documents[3].id);
        assert_string_equal(list[1].id, documents[1].id);
        page.cursor = page.next_cursor;
        ok(fixture, store_list_documents(fixture->store, fixture->ctx, fixture->alice.id,
                                         fixture->alices.id, &page, &list, &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_string_equal(list[0].id, documents[0].id);
        set_status(fixture, &documents[0], "ready");
        ok(fixture,
           store_unfinished_documents(fixture->store, fixture->ctx, &list, &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_string_equal(list[0].id, documents[1].id);
        assert_string_equal(list[1].id, documents[3].id);
}

/* --- Chunks -----------------------------------------------------------------------------------*/
static void chunks_come_in_order_and_by_id(void **state)
{
        struct fixture *fixture = *state;
        struct document document = add_document(fixture, &fixture->alices, "f.txt", "1"), found;
        struct page page = {.limit = 2};
        struct chunk *chunks = NULL;
        const char *ids[3];
        size_t count = 0;

        for (int i = 2; i >= 0; i--)
                ids[i] = add_chunk(fixture, &document, i, i ? "Intro > Ways" : NULL,
                                   "w\xC3\xB6rter");
        ok(fixture, store_list_chunks(fixture->store, fixture->ctx, document.id, &page, &chunks,
                                      &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_int_equal(page.total, 3);
        assert_string_equal(chunks[0].id, ids[0]);
        assert_string_equal(chunks[0].heading, "");
        assert_string_equal(chunks[1].heading, "Intro > Ways");
        assert_string_equal(chunks[1].content, "w\xC3\xB6rter");
        assert_string_equal(chunks[1].filename, "f.txt");
        assert_string_equal(chunks[1].document_id, document.id);
        assert_int_equal(chunks[1].page, 2);
        assert_int_equal(chunks[1].start, 100);
        assert_int_equal(chunks[1].end, 150);
        page.cursor = page.next_cursor;
        ok(fixture, store_list_chunks(fixture->store, fixture->ctx, document.id, &page, &chunks,
                                      &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_string_equal(chunks[0].id, ids[2]);
        ok(fixture,
           store_get_chunks(fixture->store, fixture->ctx, (const char *[]){ids[2], "gone", ids[0]},
                            3, &chunks, &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_string_equal(chunks[0].id, ids[2]);
        assert_string_equal(chunks[1].id, ids[0]);
        ok(fixture, store_get_document(fixture->store, fixture->ctx, NULL, document.id, &found,
                                       &fixture->err));
        assert_int_equal(found.chunk_count, 3);
}

static void a_batch_of_chunks_is_whole_or_not_at_all(void **state)
{
        struct fixture *fixture = *state;
        struct document document = add_document(fixture, &fixture->alices, "f", "1");
        char first[UUID_TEXT_SIZE], second[UUID_TEXT_SIZE];
        struct chunk chunks[] = {
                {.id = uuid_new(first), .ordinal = 0, .content = TEXT("a")},
                {.id = uuid_new(second), .ordinal = 0, .content = TEXT("same place")},
        };

        expect(fixture, STATUS_CONFLICT,
               store_add_chunks(fixture->store, document.id, fixture->alices.id, chunks, 2,
                                &fixture->err));
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM chunks"), 0);
        expect(fixture, STATUS_NOT_FOUND,
               store_add_chunks(fixture->store, "gone", fixture->alices.id, chunks, 1,
                                &fixture->err));
}

static void clearing_starts_a_document_over(void **state)
{
        struct fixture *fixture = *state;
        struct document document = add_document(fixture, &fixture->alices, "f", "1"), found;

        for (int i = 0; i < 230; i++) /* more than a slice */
                add_chunk(fixture, &document, i, "", "zebra");
        ok(fixture, store_clear_chunks(fixture->store, document.id, &fixture->err));
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM chunks"), 0);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM chunk_index_docsize"), 0);
        ok(fixture, store_get_document(fixture->store, fixture->ctx, NULL, document.id, &found,
                                       &fixture->err));
        assert_int_equal(found.chunk_count, 0);
        add_chunk(fixture, &document, 0, "", "zebra");
}

/* --- Embeddings -------------------------------------------------------------------------------*/
static void embeddings_are_kept_a_model(void **state)
{
        struct fixture *fixture = *state;
        struct document document = add_document(fixture, &fixture->alices, "f", "1");
        char *a = add_chunk(fixture, &document, 0, "", "x");
        char *b = add_chunk(fixture, &document, 1, "", "y");
        const float vector[3] = {0.6f, 0, 0.8f};
        struct embedding embeddings[] = {{a, vector}, {TEXT("gone"), vector}};
        struct chunk *missing = NULL;
        size_t count = 0;

        expect(fixture, STATUS_NOT_FOUND,
               store_add_embeddings(fixture->store, "p/m", 3, embeddings, 2, &fixture->err));
        ok(fixture, store_missing_embeddings(fixture->store, fixture->ctx, document.id, "p/m", 10,
                                             &missing, &count, &fixture->err));
        assert_int_equal(count, 2);
        ok(fixture, store_add_embeddings(fixture->store, "p/m", 3, embeddings, 1, &fixture->err));
        ok(fixture, store_add_embeddings(fixture->store, "p/m", 3, embeddings, 1, &fixture->err));
        ok(fixture, store_missing_embeddings(fixture->store, fixture->ctx, document.id, "p/m", 10,
                                             &missing, &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_string_equal(missing[0].id, b);
        assert_string_equal(missing[0].content, "y");
        ok(fixture, store_missing_embeddings(fixture->store, fixture->ctx, document.id, "p/other",
                                             1, &missing, &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_string_equal(missing[0].id, a);
}

struct walked {
        int count;
        char chunk_id[UUID_TEXT_SIZE], document_id[UUID_TEXT_SIZE];
        size_t dims;
        float sum;
};

static void walk(const char *chunk_id, const char *document_id, const float *vector, size_t dims,
                 void *arg)
{
        struct walked *walked = arg;

        walked->count++;
        snprintf(walked->chunk_id, UUID_TEXT_SIZE, "%s", chunk_id);
        snprintf(walked->document_id, UUID_TEXT_SIZE, "%s", document_id);
        walked->dims = dims;
        for (size_t i = 0; i < dims; i++)
                walked->sum += vector[i];
}

static void embeddings_are_walked_by_workflow_and_model(void **state)
{
        struct fixture *fixture = *state;
        struct document mine = add_document(fixture, &fixture->alices, "f", "1");
        struct document bobs = add_document(fixture, &fixture->bobs, "f", "1");
        char *id = add_chunk(fixture, &mine, 0, "", "x");
        const float vector[5] = {1, 2, 3, 4, 5};
        struct embedding embedding = {id, vector};
        struct embedding other = {add_chunk(fixture, &bobs, 0, "", "x"), vector};
        struct walked walked = {0}, none = {0};

        ok(fixture, store_add_embeddings(fixture->store, "m", 5, &embedding, 1, &fixture->err));
        ok(fixture, store_add_embeddings(fixture->store, "m2", 2, &embedding, 1, &fixture->err));
        ok(fixture, store_add_embeddings(fixture->store, "m", 5, &other, 1, &fixture->err));
        ok(fixture, store_each_embedding(fixture->store, fixture->alices.id, "m", walk, &walked,
                                         &fixture->err));
        assert_int_equal(walked.count, 1);
        assert_string_equal(walked.chunk_id, id);
        assert_string_equal(walked.document_id, mine.id);
        assert_int_equal(walked.dims, 5);
        assert_true(walked.sum == 15);
        ok(fixture, store_delete_document(fixture->store, NULL, mine.id, &fixture->err));
        ok(fixture, store_each_embedding(fixture->store, fixture->alices.id, "m", walk, &none,
                                         &fixture->err));
        assert_int_equal(none.count, 0);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM embeddings"), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                store_test(a_document_goes_through_its_states),
                store_test(the_same_bytes_are_recognised),
                store_test(documents_belong_to_their_owner),
                store_test(lists_page_and_skip_deleted),
                store_test(chunks_come_in_order_and_by_id),
                store_test(a_batch_of_chunks_is_whole_or_not_at_all),
                store_test(clearing_starts_a_document_over),
                store_test(embeddings_are_kept_a_model),
                store_test(embeddings_are_walked_by_workflow_and_model),
        };

        return cmocka_run_group_tests_name("store documents", tests, NULL, NULL);
}
