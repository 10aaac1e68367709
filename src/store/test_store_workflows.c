/* SPDX-License-Identifier: Apache-2.0 */
#include "store/chat.h"
#include "store/executions.h"
#include "store/test_store.h"

static void a_workflow_comes_back_as_it_was(void **state)
{
        static const char name[] = "Flu\xC3\x9F \xF0\x9F\x8C\x8A \xE6\xB5\x81";
        struct fixture *fixture = *state;
        struct workflow workflow = {.owner_id = fixture->alice.id,
                                    .name = TEXT(name),
                                    .graph = TEXT("{\"nodes\":[1]}")};
        struct workflow found = {0};

        ok(fixture, store_create_workflow(fixture->store, &workflow, fixture->ctx, &fixture->err));
        assert_true(uuid_valid(workflow.id));
        assert_int_equal(workflow.version, 1);
        ok(fixture, store_get_workflow(fixture->store, fixture->ctx, fixture->alice.id, workflow.id,
                                       &found, &fixture->err));
        assert_string_equal(found.name, name);
        assert_string_equal(found.description, "");
        assert_string_equal(found.graph, "{\"nodes\":[1]}");
        assert_string_equal(found.owner_id, fixture->alice.id);
        assert_int_equal(found.version, 1);
        assert_int_equal(found.created_at, workflow.created_at);
        assert_int_equal(found.updated_at, workflow.updated_at);
}

static void another_owners_workflow_is_not_there(void **state)
{
        struct fixture *fixture = *state;
        const char *alice = fixture->alice.id, *id = fixture->bobs.id;
        struct workflow found = {.id = TEXT("untouched")}, forged = fixture->bobs;
        struct workflow_version version = {0}, *versions = NULL;
        struct page page = {.limit = 5};
        int64_t number = 0;
        size_t count = 0;

        expect(fixture, STATUS_NOT_FOUND,
               store_get_workflow(fixture->store, fixture->ctx, alice, id, &found, &fixture->err));
        assert_string_equal(found.id, "untouched");
        expect(fixture, STATUS_NOT_FOUND,
               store_check_workflow(fixture->store, alice, id, &number, &fixture->err));
        forged.owner_id = TEXT(alice);
        expect(fixture, STATUS_NOT_FOUND,
               store_update_workflow(fixture->store, &forged, 0, &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_list_versions(fixture->store, fixture->ctx, alice, id, &page, &versions,
                                   &count, &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_get_version(fixture->store, fixture->ctx, alice, id, 1, &version,
                                 &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_delete_workflow(fixture->store, alice, id, &fixture->err));
        ok(fixture,
           store_get_workflow(fixture->store, fixture->ctx, NULL, id, &found, &fixture->err));
        ok(fixture,
           store_check_workflow(fixture->store, fixture->bob.id, id, &number, &fixture->err));
        assert_int_equal(number, 1);
}

static void a_save_makes_a_version(void **state)
{
        struct fixture *fixture = *state;
        struct workflow edit = fixture->alices, found = {0};
        struct workflow_version version = {0}, *versions = NULL;
        struct page page = {.limit = 1};
        size_t count = 0;

        edit.name = TEXT("Second");
        edit.graph = TEXT("{\"nodes\":[2]}");
        ok(fixture, store_update_workflow(fixture->store, &edit, 1, &fixture->err));
        assert_int_equal(edit.version, 2);
        ok(fixture,
           store_get_workflow(fixture->store, fixture->ctx, NULL, edit.id, &found, &fixture->err));
        assert_string_equal(found.name, "Second");
        assert_string_equal(found.graph, "{\"nodes\":[2]}");
        assert_int_equal(found.version, 2);
        ok(fixture, store_get_version(fixture->store, fixture->ctx, fixture->alice.id, edit.id, 1,
                                      &version, &fixture->err));
        assert_string_equal(version.name, "Flow");
        assert_string_equal(version.graph, "{\"nodes\":[]}");
        ok(fixture, store_list_versions(fixture->store, fixture->ctx, fixture->alice.id, edit.id,
                                        &page, &versions, &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_int_equal(page.total, 2);
        assert_int_equal(versions[0].version, 2);
        assert_null(versions[0].graph);
        page.cursor = page.next_cursor;
        ok(fixture, store_list_versions(fixture->store, fixture->ctx, fixture->alice.id, edit.id,
                                        &page, &versions, &count, &fixture->err));
        assert_int_equal(versions[0].version, 1);
        assert_null(page.next_cursor);
        page.cursor = "99999999999999999999";
        expect(fixture, STATUS_INVALID,
               store_list_versions(fixture->store, fixture->ctx, fixture->alice.id, edit.id, &page,
                                   &versions, &count, &fixture->err));
}

static void a_save_over_another_save_conflicts(void **state)
{
        struct fixture *fixture = *state;
        struct workflow first = fixture->alices, second = fixture->alices;

        ok(fixture, store_update_workflow(fixture->store, &first, 1, &fixture->err));
        expect(fixture, STATUS_CONFLICT,
               store_update_workflow(fixture->store, &second, 1, &fixture->err));
        assert_non_null(strstr(fixture->err.message, "version 2"));
        ok(fixture, store_update_workflow(fixture->store, &second, 0, &fixture->err));
        assert_int_equal(second.version, 3);
}

static void wait_done(void *arg, const struct error *err)
{
        *(enum status *)arg = err ? err->status : STATUS_OK;
}

static void run_once(struct fixture *fixture, const struct workflow *workflow, const char *id,
                     const char *status)
{
        struct execution row = {.id = TEXT(id),
                                .workflow_id = workflow->id,
                                .user_id = workflow->owner_id,
                                .workflow_version = 1,
                                .status = TEXT(status),
                                .created_at = 1,
                                .finished_at = 77};
        struct step step = {
                .node_id = TEXT("n"), .type = TEXT("output"), .status = TEXT("completed")};
        struct event_batch events = {.first_seq = 1, .last_seq = 3, .packed = TEXT("p")};
        struct idempotency key = {.key = "k", .fingerprint = "f"};
        struct execution_commit commit = {.insert = &row,
                                          .idempotency = &key,
                                          .execution_id = row.id,
                                          .workflow_id = workflow->id,
                                          .steps = &step,
                                          .step_count = 1,
                                          .events = &events};
        enum status result = STATUS_INTERNAL;

        store_commit_execution(fixture->store, &commit, wait_done, &result);
        ok(fixture, store_ping(fixture->store, &fixture->err));
        assert_int_equal(result, STATUS_OK);
}

static void the_list_tells_what_ran_last(void **state)
{
        struct fixture *fixture = *state;
        struct workflow_summary *list = NULL;
        struct page page = {.limit = 10};
        struct workflow second = fixture_workflow(fixture, fixture->alice.id);
        char id[UUID_TEXT_SIZE];
        size_t count = 0;

        run_once(fixture, &fixture->alices, uuid_new(id), "failed");
        ok(fixture, store_list_workflows(fixture->store, fixture->ctx, fixture->alice.id, &page,
                                         &list, &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_int_equal(page.total, 2);
        assert_string_equal(list[0].workflow.id, second.id);
        assert_null(list[0].last_execution_id);
        assert_null(list[0].last_status);
        assert_null(list[0].workflow.graph);
        assert_string_equal(list[1].last_execution_id, id);
        assert_string_equal(list[1].last_status, "failed");
        assert_int_equal(list[1].last_finished_at, 77);
}

/* Everything that can hang below a workflow. */
static void fill_workflow(struct fixture *fixture, struct workflow *workflow)
{
        struct document document = {.owner_id = workflow->owner_id,
                                    .workflow_id = workflow->id,
                                    .filename = TEXT("f"),
                                    .content_type = TEXT("t"),
                                    .sha256 = TEXT("s")};
        struct chat_message message = {.workflow_id = workflow->id,
                                       .user_id = workflow->owner_id,
                                       .role = TEXT("user"),
                                       .status = TEXT("complete"),
                                       .content = TEXT("hello")};
        struct chunk chunks[250] = {0};
        char ids[ARRAY_LENGTH(chunks)][UUID_TEXT_SIZE], execution_id[UUID_TEXT_SIZE];
        float vector[2] = {1, 0};
        struct embedding embedding = {ids[0], vector};
        char *existing = NULL;

        ok(fixture, store_create_document(fixture->store, &document, fixture->ctx, &existing,
                                          &fixture->err));
        for (size_t i = 0; i < ARRAY_LENGTH(chunks); i++)
                chunks[i] = (struct chunk){.id = uuid_new(ids[i]),
                                           .ordinal = (int64_t)i,
                                           .content = TEXT("pineapple")};
        ok(fixture, store_add_chunks(fixture->store, document.id, workflow->id, chunks,
                                     ARRAY_LENGTH(chunks), &fixture->err));
        ok(fixture, store_add_embeddings(fixture->store, "m", 2, &embedding, 1, &fixture->err));
        ok(fixture, store_add_message(fixture->store, &message, fixture->ctx, &fixture->err));
        run_once(fixture, workflow, uuid_new(execution_id), "running");
}

static const char *const tables[] = {
        "SELECT count(*) FROM workflows",
        "SELECT count(*) FROM workflow_versions",
        "SELECT count(*) FROM executions",
        "SELECT count(*) FROM steps",
        "SELECT count(*) FROM event_batches",
        "SELECT count(*) FROM idempotency_keys",
        "SELECT count(*) FROM documents",
        "SELECT count(*) FROM chat_messages",
        "SELECT count(*) FROM chunks",
        "SELECT count(*) FROM embeddings",
        "SELECT count(*) FROM chunk_index_docsize",
};

static void check_counts(struct fixture *fixture, int64_t single, int64_t chunks)
{
        for (size_t i = 0; i < ARRAY_LENGTH(tables); i++) {
                bool many = strstr(tables[i], "chunks") || strstr(tables[i], "chunk_index");

                assert_int_equal(fixture_count(fixture, tables[i]), many ? chunks : single);
        }
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM chunk_index"
                                                " WHERE chunk_index MATCH 'pineapple'"),
                         chunks);
}

static void deleting_a_workflow_takes_everything_below_it(void **state)
{
        struct fixture *fixture = *state;
        struct workflow found = {0};

        fill_workflow(fixture, &fixture->alices);
        fill_workflow(fixture, &fixture->bobs);
        check_counts(fixture, 2, 500);
        ok(fixture, store_delete_workflow(fixture->store, fixture->alice.id, fixture->alices.id,
                                          &fixture->err));
        check_counts(fixture, 1, 250);
        expect(fixture, STATUS_NOT_FOUND,
               store_get_workflow(fixture->store, fixture->ctx, NULL, fixture->alices.id, &found,
                                  &fixture->err));
        ok(fixture,
           store_delete_workflow(fixture->store, fixture->bob.id, fixture->bobs.id, &fixture->err));
        check_counts(fixture, 0, 0);
}

static enum status hide_all(struct db_conn *conn, void *arg, struct error *err)
{
        (void)arg;
        if (db_exec(conn, "UPDATE workflows SET deleted_at = 1", DB_NO_ARGS, NULL, err))
                return err->status;
        return db_exec(conn, "UPDATE documents SET deleted_at = 1", DB_NO_ARGS, NULL, err);
}

/* As if the program had been killed between hiding and removing. */
static void a_deletion_cut_short_is_finished_at_the_next_start(void **state)
{
        struct fixture *fixture = *state;

        fill_workflow(fixture, &fixture->alices);
        fill_workflow(fixture, &fixture->bobs);
        ok(fixture, db_write(store_db(fixture->store), hide_all, NULL, &fixture->err));
        fixture->store = store_free(fixture->store);
        ok(fixture, store_open(fixture->folder.url, &fixture->store, &fixture->err));
        check_counts(fixture, 0, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                store_test(a_workflow_comes_back_as_it_was),
                store_test(another_owners_workflow_is_not_there),
                store_test(a_save_makes_a_version),
                store_test(a_save_over_another_save_conflicts),
                store_test(the_list_tells_what_ran_last),
                store_test(deleting_a_workflow_takes_everything_below_it),
                store_test(a_deletion_cut_short_is_finished_at_the_next_start),
        };

        return cmocka_run_group_tests_name("store workflows", tests, NULL, NULL);
}
