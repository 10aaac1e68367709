/* SPDX-License-Identifier: Apache-2.0 */
#include "store/chat.h"
#include "store/test_store.h"

static struct chat_message say(struct fixture *fixture, const struct workflow *workflow,
                               const char *role, const char *status, const char *content)
{
        struct chat_message message = {.workflow_id = workflow->id,
                                       .user_id = workflow->owner_id,
                                       .role = TEXT(role),
                                       .status = TEXT(status),
                                       .content = TEXT(content)};

        ok(fixture, store_add_message(fixture->store, &message, fixture->ctx, &fixture->err));
        return message;
}

static size_t list(struct fixture *fixture, const char *user_id, const char *workflow_id,
                   struct page *page, struct chat_message **ret)
{
        size_t count = 99;

        ok(fixture, store_list_messages(fixture->store, fixture->ctx, user_id, workflow_id, page,
                                        ret, &count, &fixture->err));
        return count;
}

static void an_answer_is_added_then_finished(void **state)
{
        struct fixture *fixture = *state;
        struct chat_message question = say(fixture, &fixture->alices, "user", "complete",
                                           "Wie gro\xC3\x9F \xF0\x9F\x8F\x94?");
        struct chat_message answer = say(fixture, &fixture->alices, "assistant", "pending", NULL);
        struct chat_message *messages = NULL;
        struct page page = {.limit = 10};

        ok(fixture, store_finish_message(fixture->store, answer.id, "4,478 m", "[{\"page\":1}]",
                                         "complete", &fixture->err));
        assert_int_equal(list(fixture, fixture->alice.id, fixture->alices.id, &page, &messages), 2);
        assert_string_equal(messages[0].id, answer.id);
        assert_string_equal(messages[0].role, "assistant");
        assert_string_equal(messages[0].status, "complete");
        assert_string_equal(messages[0].content, "4,478 m");
        assert_string_equal(messages[0].citations, "[{\"page\":1}]");
        assert_string_equal(messages[1].id, question.id);
        assert_string_equal(messages[1].content, "Wie gro\xC3\x9F \xF0\x9F\x8F\x94?");
        assert_null(messages[1].citations);
        assert_null(messages[1].execution_id);
        assert_true(messages[1].created_at > 0);
        expect(fixture, STATUS_NOT_FOUND,
               store_finish_message(fixture->store, "gone", "x", NULL, "failed", &fixture->err));
}

static void each_user_has_a_talk_of_their_own(void **state)
{
        struct fixture *fixture = *state;
        struct workflow shared = fixture->alices;
        struct chat_message *messages = NULL;
        struct page page = {.limit = 10};

        say(fixture, &fixture->alices, "user", "complete", "mine");
        shared.owner_id = fixture->bob.id;
        say(fixture, &shared, "user", "complete", "bob's");
        assert_int_equal(list(fixture, fixture->alice.id, shared.id, &page, &messages), 1);
        assert_string_equal(messages[0].content, "mine");
        assert_int_equal(page.total, 1);
        ok(fixture,
           store_clear_messages(fixture->store, fixture->alice.id, shared.id, &fixture->err));
        assert_int_equal(list(fixture, fixture->alice.id, shared.id, &page, &messages), 0);
        assert_int_equal(list(fixture, fixture->bob.id, shared.id, &page, &messages), 1);
        assert_int_equal(list(fixture, fixture->bob.id, fixture->bobs.id, &page, &messages), 0);
}

static void a_long_talk_pages_back(void **state)
{
        struct fixture *fixture = *state;
        struct chat_message *messages = NULL;
        struct page page = {.limit = 3};
        int seen = 0;

        for (int i = 0; i < 7; i++)
                say(fixture, &fixture->alices, "user", "complete",
                    mem_printf(fixture->ctx, "%d", 6 - i));
        do {
                size_t count =
                        list(fixture, fixture->alice.id, fixture->alices.id, &page, &messages);

                assert_int_equal(page.total, 7);
                assert_int_equal(count, seen < 6 ? 3 : 1);
                for (size_t i = 0; i < count; i++)
                        assert_string_equal(messages[i].content,
                                            mem_printf(fixture->ctx, "%d", seen++));
                page.cursor = page.next_cursor;
        } while (page.cursor);
        assert_int_equal(seen, 7);
}

static void a_message_needs_its_workflow(void **state)
{
        struct fixture *fixture = *state;
        struct chat_message message = {.workflow_id = TEXT("gone"),
                                       .user_id = fixture->alice.id,
                                       .role = TEXT("user"),
                                       .status = TEXT("complete"),
                                       .content = TEXT("x")};

        expect(fixture, STATUS_NOT_FOUND,
               store_add_message(fixture->store, &message, fixture->ctx, &fixture->err));
        assert_null(message.id);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                store_test(an_answer_is_added_then_finished),
                store_test(each_user_has_a_talk_of_their_own),
                store_test(a_long_talk_pages_back),
                store_test(a_message_needs_its_workflow),
        };

        return cmocka_run_group_tests_name("store chat", tests, NULL, NULL);
}
