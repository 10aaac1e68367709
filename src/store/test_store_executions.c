/* SPDX-License-Identifier: Apache-2.0 */
#include <semaphore.h>

#include "base/clock.h"
#include "store/executions.h"
#include "store/test_store.h"

struct result {
        sem_t done;
        enum status status;
};

static void commit_done(void *arg, const struct error *err)
{
        struct result *result = arg;

        result->status = err ? err->status : STATUS_OK;
        sem_post(&result->done);
}

static enum status commit(struct fixture *fixture, struct execution_commit parts)
{
        struct result result;

        sem_init(&result.done, 0, 0);
        store_commit_execution(fixture->store, &parts, commit_done, &result);
        sem_wait(&result.done);
        sem_destroy(&result.done);
        return result.status;
}

static struct execution execution_of(struct fixture *fixture, const struct workflow *workflow)
{
        char id[UUID_TEXT_SIZE];

        return (struct execution){
                .id = mem_strdup(fixture->ctx, uuid_new(id)),
                .workflow_id = workflow->id,
                .user_id = workflow->owner_id,
                .workflow_version = 1,
                .status = TEXT("queued"),
                .user_input = TEXT("wie gro\xC3\x9F?"),
                .context = TEXT("{\"a\":1}"),
                .created_at = clock_wall_ms(),
        };
}

static struct execution insert(struct fixture *fixture, const struct workflow *workflow)
{
        struct execution row = execution_of(fixture, workflow);

        assert_int_equal(commit(fixture, (struct execution_commit){.insert = &row}), STATUS_OK);
        return row;
}

static enum status add_events(struct fixture *fixture, const struct execution *row, int64_t first,
                              int64_t last)
{
        struct event_batch batch = {.first_seq = first, .last_seq = last, .packed = TEXT("[]")};

        return commit(fixture, (struct execution_commit){.execution_id = row->id,
                                                         .workflow_id = row->workflow_id,
                                                         .events = &batch});
}

static enum status finish(struct fixture *fixture, struct execution *row, const char *status,
                          int64_t finished_at)
{
        row->status = TEXT(status);
        row->finished_at = finished_at;
        return commit(fixture, (struct execution_commit){.update = row});
}

/* --- Rows and steps ---------------------------------------------------------------------------*/
static void an_execution_lives_through_its_commits(void **state)
{
        struct fixture *fixture = *state;
        struct execution row = insert(fixture, &fixture->alices), found = {0};
        struct step first = {.node_id = TEXT("b"),
                             .ordinal = 1,
                             .type = TEXT("userQuery"),
                             .status = TEXT("completed"),
                             .attempt = 1,
                             .started_at = 10,
                             .finished_at = 11,
                             .output = TEXT("{\"text\":\"x\"}")};
        struct step second = {.node_id = TEXT("a"),
                              .ordinal = 2,
                              .type = TEXT("llmEngine"),
                              .status = TEXT("running"),
                              .attempt = 1,
                              .started_at = 12};
        struct step both[] = {second, first}, *steps = NULL;
        size_t count = 0;

        row.status = TEXT("running");
        row.started_at = 9;
        assert_int_equal(commit(fixture, (struct execution_commit){.update = &row,
                                                                   .lease_owner = "me",
                                                                   .execution_id = row.id,
                                                                   .workflow_id = row.workflow_id,
                                                                   .steps = both,
                                                                   .step_count = 2}),
                         STATUS_OK);
        second.status = TEXT("failed");
        second.attempt = 3;
        second.error = TEXT("{\"message\":\"no\"}");
        row.output = TEXT("{\"text\":\"y\"}");
        row.usage = TEXT("{}");
        row.status = TEXT("failed");
        row.finished_at = 20;
        assert_int_equal(commit(fixture, (struct execution_commit){.update = &row,
                                                                   .execution_id = row.id,
                                                                   .workflow_id = row.workflow_id,
                                                                   .steps = &second,
                                                                   .step_count = 1}),
                         STATUS_OK);
        ok(fixture, store_get_execution_full(fixture->store, fixture->ctx, fixture->alice.id,
                                             row.id, &found, &steps, &count, &fixture->err));
        assert_string_equal(found.status, "failed");
        assert_string_equal(found.user_input, row.user_input);
        assert_string_equal(found.context, row.context);
        assert_string_equal(found.output, row.output);
        assert_null(found.error);
        assert_string_equal(found.usage, "{}");
        assert_int_equal(found.started_at, 9);
        assert_int_equal(found.finished_at, 20);
        assert_int_equal(found.workflow_version, 1);
        assert_int_equal(count, 2);
        assert_string_equal(steps[0].node_id, "b");
        assert_string_equal(steps[0].output, first.output);
        assert_null(steps[0].error);
        assert_string_equal(steps[1].status, "failed");
        assert_int_equal(steps[1].attempt, 3);
        assert_string_equal(steps[1].error, second.error);
}

static void a_lease_lasts_while_the_execution_runs(void **state)
{
        struct fixture *fixture = *state;
        struct execution row = execution_of(fixture, &fixture->alices);
        static const char leased[] = "SELECT count(*) FROM executions WHERE lease_owner = 'me'";

        assert_int_equal(
                commit(fixture, (struct execution_commit){.insert = &row, .lease_owner = "me"}),
                STATUS_OK);
        row.status = TEXT("running");
        assert_int_equal(commit(fixture, (struct execution_commit){.update = &row}), STATUS_OK);
        assert_int_equal(fixture_count(fixture, leased), 1);
        assert_int_equal(finish(fixture, &row, "completed", 5), STATUS_OK);
        assert_int_equal(fixture_count(fixture, leased), 0);
}

static void a_commit_is_whole_or_not_at_all(void **state)
{
        struct fixture *fixture = *state;
        struct execution row = execution_of(fixture, &fixture->alices), found = {0};
        struct step bad = {.node_id = TEXT("n"), .type = TEXT("t"), .status = TEXT("dancing")};

        assert_int_not_equal(
                commit(fixture, (struct execution_commit){.insert = &row,
                                                          .execution_id = row.id,
                                                          .workflow_id = row.workflow_id,
                                                          .steps = &bad,
                                                          .step_count = 1}),
                STATUS_OK);
        expect(fixture, STATUS_NOT_FOUND,
               store_get_execution(fixture->store, fixture->ctx, NULL, row.id, &found,
                                   &fixture->err));
}

static void commits_of_a_deleted_execution_are_not_found(void **state)
{
        struct fixture *fixture = *state;
        struct execution row = insert(fixture, &fixture->alices);
        struct step step = {.node_id = TEXT("n"), .type = TEXT("t"), .status = TEXT("running")};

        ok(fixture, store_delete_workflow(fixture->store, NULL, fixture->alices.id, &fixture->err));
        assert_int_equal(finish(fixture, &row, "completed", 5), STATUS_NOT_FOUND);
        assert_int_equal(commit(fixture, (struct execution_commit){.execution_id = row.id,
                                                                   .workflow_id = row.workflow_id,
                                                                   .steps = &step,
                                                                   .step_count = 1}),
                         STATUS_NOT_FOUND);
        assert_int_equal(add_events(fixture, &row, 1, 2), STATUS_NOT_FOUND);
        assert_int_equal(commit(fixture, (struct execution_commit){.insert = &row}),
                         STATUS_NOT_FOUND);
}

/* --- Idempotency ------------------------------------------------------------------------------*/
static void a_repeated_key_gives_the_first_execution(void **state)
{
        struct fixture *fixture = *state;
        struct execution first = execution_of(fixture, &fixture->alices);
        struct execution second = execution_of(fixture, &fixture->alices);
        struct execution bobs = execution_of(fixture, &fixture->bobs);
        struct step step = {.node_id = TEXT("n"), .type = TEXT("t"), .status = TEXT("running")};
        struct idempotency key = {.key = "retry-1", .fingerprint = "aa"};

        assert_int_equal(
                commit(fixture, (struct execution_commit){.insert = &first, .idempotency = &key}),
                STATUS_OK);
        assert_string_equal(key.existing_id, "");
        assert_int_equal(
                commit(fixture, (struct execution_commit){.insert = &second,
                                                          .idempotency = &key,
                                                          .execution_id = second.id,
                                                          .workflow_id = second.workflow_id,
                                                          .steps = &step,
                                                          .step_count = 1}),
                STATUS_OK);
        assert_string_equal(key.existing_id, first.id);
        assert_false(key.mismatch);
        key.fingerprint = "bb";
        assert_int_equal(
                commit(fixture, (struct execution_commit){.insert = &second, .idempotency = &key}),
                STATUS_OK);
        assert_string_equal(key.existing_id, first.id);
        assert_true(key.mismatch);
        assert_int_equal(
                commit(fixture, (struct execution_commit){.insert = &bobs, .idempotency = &key}),
                STATUS_OK);
        assert_string_equal(key.existing_id, "");
        assert_false(key.mismatch);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM executions"), 2);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM steps"), 0);
}

enum { RACERS = 20 };

static void one_of_many_with_the_same_key_wins(void **state)
{
        struct fixture *fixture = *state;
        struct execution rows[RACERS];
        struct idempotency keys[RACERS];
        struct execution_commit parts[RACERS];
        struct result result;
        int winners = 0;

        sem_init(&result.done, 0, 0);
        for (int i = 0; i < RACERS; i++) {
                rows[i] = execution_of(fixture, &fixture->alices);
                keys[i] = (struct idempotency){.key = "same", .fingerprint = "f"};
                parts[i] = (struct execution_commit){.insert = &rows[i], .idempotency = &keys[i]};
                store_commit_execution(fixture->store, &parts[i], commit_done, &result);
        }
        for (int i = 0; i < RACERS; i++)
                sem_wait(&result.done);
        for (int i = 0; i < RACERS; i++) {
                winners += keys[i].existing_id[0] == '\0';
                if (keys[i].existing_id[0])
                        assert_string_equal(keys[i].existing_id, rows[0].id);
        }
        assert_int_equal(winners, 1);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM executions"), 1);
}

/* --- Reading ----------------------------------------------------------------------------------*/
static void executions_belong_to_their_user(void **state)
{
        struct fixture *fixture = *state;
        struct execution row = insert(fixture, &fixture->bobs), found = {0}, *list = NULL;
        struct page page = {.limit = 10};
        struct step *steps = NULL;
        size_t count = 9;

        expect(fixture, STATUS_NOT_FOUND,
               store_get_execution(fixture->store, fixture->ctx, fixture->alice.id, row.id, &found,
                                   &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_get_execution_full(fixture->store, fixture->ctx, fixture->alice.id, row.id,
                                        &found, &steps, &count, &fixture->err));
        ok(fixture, store_list_executions(fixture->store, fixture->ctx, fixture->alice.id, NULL,
                                          NULL, &page, &list, &count, &fixture->err));
        assert_int_equal(count, 0);
        ok(fixture,
           store_list_executions(fixture->store, fixture->ctx, fixture->alice.id, fixture->bobs.id,
                                 NULL, &page, &list, &count, &fixture->err));
        assert_int_equal(count, 0);
        ok(fixture,
           store_get_execution(fixture->store, fixture->ctx, NULL, row.id, &found, &fixture->err));
        ok(fixture,
           store_get_steps(fixture->store, fixture->ctx, row.id, &steps, &count, &fixture->err));
        assert_int_equal(count, 0);
}

static size_t list_executions(struct fixture *fixture, const char *workflow_id, const char *status,
                              struct page *page, struct execution **list)
{
        size_t count = 0;

        ok(fixture, store_list_executions(fixture->store, fixture->ctx, fixture->alice.id,
                                          workflow_id, status, page, list, &count, &fixture->err));
        return count;
}

static void lists_filter_and_page(void **state)
{
        struct fixture *fixture = *state;
        struct workflow other = fixture_workflow(fixture, fixture->alice.id);
        struct execution rows[5], *list = NULL;
        struct page page = {.limit = 2};

        for (int i = 0; i < 5; i++)
                rows[i] = insert(fixture, i == 2 ? &other : &fixture->alices);
        assert_int_equal(finish(fixture, &rows[1], "failed", 5), STATUS_OK);
        assert_int_equal(list_executions(fixture, NULL, NULL, &page, &list), 2);
        assert_int_equal(page.total, 5);
        assert_string_equal(list[0].id, rows[4].id);
        assert_string_equal(list[0].user_input, rows[4].user_input);
        page.cursor = page.next_cursor;
        assert_int_equal(list_executions(fixture, NULL, NULL, &page, &list), 2);
        assert_string_equal(list[0].id, rows[2].id);
        page = (struct page){.limit = 3};
        assert_int_equal(list_executions(fixture, fixture->alices.id, NULL, &page, &list), 3);
        assert_int_equal(page.total, 4);
        page.cursor = page.next_cursor;
        assert_int_equal(list_executions(fixture, fixture->alices.id, NULL, &page, &list), 1);
        assert_string_equal(list[0].id, rows[0].id);
        assert_null(page.next_cursor);
        page = (struct page){.limit = 3};
        assert_int_equal(list_executions(fixture, NULL, "failed", &page, &list), 1);
        assert_string_equal(list[0].id, rows[1].id);
        assert_int_equal(list_executions(fixture, other.id, "failed", &page, &list), 0);
        assert_int_equal(page.total, 0);
}

static void unfinished_executions_come_oldest_first(void **state)
{
        struct fixture *fixture = *state;
        struct execution rows[3], *list = NULL;
        size_t count = 0;

        for (int i = 0; i < 3; i++)
                rows[i] = insert(fixture, i ? &fixture->alices : &fixture->bobs);
        assert_int_equal(finish(fixture, &rows[1], "cancelled", 5), STATUS_OK);
        ok(fixture,
           store_unfinished_executions(fixture->store, fixture->ctx, &list, &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_string_equal(list[0].id, rows[0].id);
        assert_string_equal(list[1].id, rows[2].id);
}

/* --- Events -----------------------------------------------------------------------------------*/
static void events_are_read_after_a_number(void **state)
{
        struct fixture *fixture = *state;
        struct execution a = insert(fixture, &fixture->alices),
                         b = insert(fixture, &fixture->alices);
        struct execution other = insert(fixture, &fixture->bobs);
        struct event_batch *batches = NULL;
        const char *id = fixture->alices.id;
        size_t count = 0;

        assert_int_equal(add_events(fixture, &a, 1, 4), STATUS_OK);
        assert_int_equal(add_events(fixture, &b, 5, 6), STATUS_OK);
        assert_int_equal(add_events(fixture, &a, 7, 9), STATUS_OK);
        assert_int_equal(add_events(fixture, &other, 1, 2), STATUS_OK);
        ok(fixture, store_get_events(fixture->store, fixture->ctx, id, NULL, 0, 2, &batches, &count,
                                     &fixture->err));
        assert_int_equal(count, 2);
        assert_string_equal(batches[0].execution_id, a.id);
        assert_int_equal(batches[0].first_seq, 1);
        assert_int_equal(batches[1].last_seq, 6);
        assert_string_equal(batches[1].packed, "[]");
        /* A batch that ends after the number may begin before it. */
        ok(fixture, store_get_events(fixture->store, fixture->ctx, id, NULL, 8, 10, &batches,
                                     &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_int_equal(batches[0].first_seq, 7);
        ok(fixture, store_get_events(fixture->store, fixture->ctx, id, a.id, 0, 10, &batches,
                                     &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_int_equal(batches[1].first_seq, 7);
        ok(fixture, store_get_events(fixture->store, fixture->ctx, id, other.id, 0, 10, &batches,
                                     &count, &fixture->err));
        assert_int_equal(count, 0);
}

static void check_last(struct fixture *fixture, int64_t seq, bool unfinished)
{
        int64_t last = -1;
        bool running = !unfinished;

        ok(fixture,
           store_last_seq(fixture->store, fixture->alices.id, &last, &running, &fixture->err));
        assert_int_equal(last, seq);
        assert_int_equal(running, unfinished);
}

static int64_t prune(struct fixture *fixture, int64_t before, int64_t limit)
{
        int64_t deleted = -1;

        ok(fixture, store_prune_executions(fixture->store, before, limit, &deleted, &fixture->err));
        return deleted;
}

static void numbers_outlive_pruned_executions(void **state)
{
        struct fixture *fixture = *state;
        int64_t now = clock_wall_ms();
        struct execution a, b;

        check_last(fixture, 0, false);
        a = insert(fixture, &fixture->alices);
        b = insert(fixture, &fixture->alices);
        check_last(fixture, 0, true);
        assert_int_equal(add_events(fixture, &a, 1, 4), STATUS_OK);
        assert_int_equal(add_events(fixture, &b, 5, 8), STATUS_OK);
        assert_int_equal(finish(fixture, &b, "completed", now), STATUS_OK);
        assert_int_equal(prune(fixture, now + 1000, 10), 1);
        check_last(fixture, 8, true);
        assert_int_equal(finish(fixture, &a, "completed", now), STATUS_OK);
        assert_int_equal(prune(fixture, now + 1000, 10), 1);
        check_last(fixture, 8, false);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM event_batches"), 0);
}

static void pruning_takes_finished_old_ones_in_slices(void **state)
{
        struct fixture *fixture = *state;
        int64_t now = clock_wall_ms();
        struct execution rows[5];

        for (int i = 0; i < 5; i++)
                rows[i] = insert(fixture, &fixture->alices);
        for (int i = 0; i < 4; i++)
                assert_int_equal(finish(fixture, &rows[i], "completed", now + 1000LL * i),
                                 STATUS_OK);
        assert_int_equal(prune(fixture, now - 1000, 10), 0);
        /* Created before, but the last two finish later, and one never. */
        assert_int_equal(prune(fixture, now + 1500, 1), 1);
        assert_int_equal(prune(fixture, now + 1500, 1), 1);
        assert_int_equal(prune(fixture, now + 1500, 1), 0);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM executions"), 3);
        assert_int_equal(prune(fixture, now + 9000, 10), 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                store_test(an_execution_lives_through_its_commits),
                store_test(a_lease_lasts_while_the_execution_runs),
                store_test(a_commit_is_whole_or_not_at_all),
                store_test(commits_of_a_deleted_execution_are_not_found),
                store_test(a_repeated_key_gives_the_first_execution),
                store_test(one_of_many_with_the_same_key_wins),
                store_test(executions_belong_to_their_user),
                store_test(lists_filter_and_page),
                store_test(unfinished_executions_come_oldest_first),
                store_test(events_are_read_after_a_number),
                store_test(numbers_outlive_pruned_executions),
                store_test(pruning_takes_finished_old_ones_in_slices),
        };

        return cmocka_run_group_tests_name("store executions", tests, NULL, NULL);
}
