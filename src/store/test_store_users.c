/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "store/test_store.h"

static void the_first_user_is_admin(void **state)
{
        struct fixture *fixture = *state;
        struct user found = {0};

        assert_string_equal(fixture->alice.role, "admin");
        assert_string_equal(fixture->bob.role, "member");
        ok(fixture,
           store_get_user(fixture->store, fixture->ctx, fixture->alice.id, &found, &fixture->err));
        assert_string_equal(found.role, "admin");
        assert_string_equal(found.email, "alice@example.com");
        assert_string_equal(found.full_name, "N");
        assert_string_equal(found.password_hash, "h");
        assert_true(found.created_at > 0);
        assert_int_equal(found.created_at, fixture->alice.created_at);
}

static void a_role_that_is_given_is_kept(void **state)
{
        struct fixture *fixture = *state;
        struct user user = {.email = TEXT("c@example.com"),
                            .full_name = TEXT(""),
                            .password_hash = TEXT("h"),
                            .role = TEXT("admin")};

        ok(fixture, store_create_user(fixture->store, &user, fixture->ctx, &fixture->err));
        ok(fixture, store_get_user(fixture->store, fixture->ctx, user.id, &user, &fixture->err));
        assert_string_equal(user.role, "admin");
}

static void emails_are_compared_without_case(void **state)
{
        struct fixture *fixture = *state;
        struct user user = {.email = TEXT("ALICE@Example.COM"),
                            .full_name = TEXT("x"),
                            .password_hash = TEXT("x")};
        struct user greek, found = {0};

        expect(fixture, STATUS_CONFLICT,
               store_create_user(fixture->store, &user, fixture->ctx, &fixture->err));
        assert_non_null(strstr(fixture->err.message, "already registered"));
        assert_null(user.id);
        greek = fixture_user(fixture, "\xCE\xA3\xCE\xAF\xCF\x83\xCF\x85@example.com"); /* Σίσυ */
        ok(fixture,
           store_find_user(fixture->store, fixture->ctx,
                           "\xCF\x83\xCE\x8A\xCE\xA3\xCE\xA5@EXAMPLE.com", &found, &fixture->err));
        assert_string_equal(found.id, greek.id);
        assert_string_equal(found.email, "\xCE\xA3\xCE\xAF\xCF\x83\xCF\x85@example.com");
        expect(fixture, STATUS_NOT_FOUND,
               store_find_user(fixture->store, fixture->ctx, "nobody@example.com", &found,
                               &fixture->err));
        expect(fixture, STATUS_INVALID,
               store_find_user(fixture->store, fixture->ctx, "\xFF@x", &found, &fixture->err));
}

static void updating_changes_what_is_given(void **state)
{
        struct fixture *fixture = *state;
        struct user found = {0};

        ok(fixture, store_update_user(fixture->store, fixture->bob.id,
                                      "B\xC3\xB6"
                                      "b",
                                      NULL, &fixture->err));
        ok(fixture,
           store_get_user(fixture->store, fixture->ctx, fixture->bob.id, &found, &fixture->err));
        assert_string_equal(found.full_name, "B\xC3\xB6"
                                             "b");
        assert_string_equal(found.password_hash, "h");
        assert_int_equal(found.token_version, fixture->bob.token_version);
        ok(fixture, store_update_user(fixture->store, fixture->bob.id, NULL, "new", &fixture->err));
        ok(fixture,
           store_get_user(fixture->store, fixture->ctx, fixture->bob.id, &found, &fixture->err));
        assert_string_equal(found.full_name, "B\xC3\xB6"
                                             "b");
        assert_string_equal(found.password_hash, "new");
        assert_int_equal(found.token_version, fixture->bob.token_version + 1);
        expect(fixture, STATUS_NOT_FOUND,
               store_update_user(fixture->store, "nobody", "x", NULL, &fixture->err));
}

static void lists_page_newest_first(void **state)
{
        struct fixture *fixture = *state;
        struct page page = {.limit = 2};
        struct user *users = NULL;
        size_t count = 0;

        fixture_user(fixture, "c@example.com");
        ok(fixture,
           store_list_users(fixture->store, fixture->ctx, &page, &users, &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_int_equal(page.total, 3);
        assert_string_equal(users[0].email, "c@example.com");
        assert_string_equal(users[1].email, "bob@example.com");
        page.cursor = page.next_cursor;
        assert_non_null(page.cursor);
        ok(fixture,
           store_list_users(fixture->store, fixture->ctx, &page, &users, &count, &fixture->err));
        assert_int_equal(count, 1);
        assert_string_equal(users[0].email, "alice@example.com");
        assert_int_equal(page.total, 3);
        assert_null(page.next_cursor);
}

static void forged_pages_are_refused(void **state)
{
        static const char *const cursors[] = {"", "x", "' OR 1=1 --", "0192aaaa-aaaa-7aaa-8aaa"};
        struct fixture *fixture = *state;
        struct user *users = NULL;
        size_t count = 0;

        for (size_t i = 0; i < ARRAY_LENGTH(cursors); i++) {
                struct page page = {.limit = 10, .cursor = cursors[i]};

                expect(fixture, STATUS_INVALID,
                       store_list_users(fixture->store, fixture->ctx, &page, &users, &count,
                                        &fixture->err));
        }
        for (int64_t limit = -1; limit <= 101; limit += limit ? 101 : 1) {
                struct page page = {.limit = limit};

                if (limit != 100)
                        expect(fixture, STATUS_INVALID,
                               store_list_users(fixture->store, fixture->ctx, &page, &users, &count,
                                                &fixture->err));
        }
}

/* --- Refresh tokens ---------------------------------------------------------------------------*/
enum { HOUR_MS = 3600 * 1000 };

static void add_token(struct fixture *fixture, const char *hash, const char *family,
                      int64_t expires_at)
{
        struct refresh_token token = {TEXT(hash), fixture->alice.id, TEXT(family), expires_at};

        ok(fixture, store_add_refresh_token(fixture->store, &token, &fixture->err));
}

static enum status rotate(struct fixture *fixture, const char *old, const char *fresh_hash,
                          int64_t now, struct refresh_token *fresh)
{
        *fresh = (struct refresh_token){.hash = TEXT(fresh_hash), .expires_at = now + HOUR_MS};
        fixture->err = ERROR_INIT;
        return store_rotate_refresh_token(fixture->store, fixture->ctx, old, now, fresh,
                                          &fixture->err);
}

static void tokens_rotate_inside_their_family(void **state)
{
        struct fixture *fixture = *state;
        int64_t now = clock_wall_ms();
        struct refresh_token fresh;

        add_token(fixture, "h1", "f1", now + HOUR_MS);
        assert_int_equal(rotate(fixture, "h1", "h2", now, &fresh), STATUS_OK);
        assert_string_equal(fresh.user_id, fixture->alice.id);
        assert_string_equal(fresh.family_id, "f1");
        assert_int_equal(rotate(fixture, "h2", "h3", now, &fresh), STATUS_OK);
        assert_int_equal(rotate(fixture, "unknown", "h4", now, &fresh), STATUS_UNAUTHENTICATED);
        assert_int_equal(rotate(fixture, "h3", "h5", now + 2LL * HOUR_MS, &fresh),
                         STATUS_UNAUTHENTICATED);
        assert_int_equal(rotate(fixture, "h3", "h5", now, &fresh), STATUS_OK);
}

static void a_token_used_twice_ends_its_family(void **state)
{
        struct fixture *fixture = *state;
        int64_t now = clock_wall_ms();
        struct refresh_token fresh;

        add_token(fixture, "h1", "f1", now + HOUR_MS);
        add_token(fixture, "other", "f2", now + HOUR_MS);
        assert_int_equal(rotate(fixture, "h1", "h2", now, &fresh), STATUS_OK);
        assert_int_equal(rotate(fixture, "h1", "h3", now, &fresh), STATUS_UNAUTHENTICATED);
        assert_int_equal(rotate(fixture, "h2", "h4", now, &fresh), STATUS_UNAUTHENTICATED);
        assert_int_equal(rotate(fixture, "other", "h5", now, &fresh), STATUS_OK);
}

static void revoking_ends_a_family_or_all(void **state)
{
        struct fixture *fixture = *state;
        int64_t now = clock_wall_ms();
        struct refresh_token fresh;

        add_token(fixture, "h1", "f1", now + HOUR_MS);
        add_token(fixture, "h2", "f2", now + HOUR_MS);
        add_token(fixture, "h3", "f3", now + HOUR_MS);
        ok(fixture,
           store_revoke_refresh_tokens(fixture->store, fixture->bob.id, NULL, &fixture->err));
        ok(fixture, store_revoke_refresh_tokens(fixture->store, fixture->alice.id, "unknown",
                                                &fixture->err));
        ok(fixture,
           store_revoke_refresh_tokens(fixture->store, /* user_id= */ NULL, "h2", &fixture->err));
        assert_int_equal(rotate(fixture, "h2", "x", now, &fresh), STATUS_UNAUTHENTICATED);
        assert_int_equal(rotate(fixture, "h1", "h4", now, &fresh), STATUS_OK);
        ok(fixture,
           store_revoke_refresh_tokens(fixture->store, fixture->alice.id, NULL, &fixture->err));
        assert_int_equal(rotate(fixture, "h3", "y", now, &fresh), STATUS_UNAUTHENTICATED);
        assert_int_equal(rotate(fixture, "h4", "z", now, &fresh), STATUS_UNAUTHENTICATED);
}

static void a_new_password_ends_all_families(void **state)
{
        struct fixture *fixture = *state;
        int64_t now = clock_wall_ms();
        struct refresh_token fresh;

        add_token(fixture, "h1", "f1", now + HOUR_MS);
        ok(fixture,
           store_update_user(fixture->store, fixture->alice.id, "Name", NULL, &fixture->err));
        assert_int_equal(rotate(fixture, "h1", "h2", now, &fresh), STATUS_OK);
        ok(fixture,
           store_update_user(fixture->store, fixture->alice.id, NULL, "new", &fixture->err));
        assert_int_equal(rotate(fixture, "h2", "h3", now, &fresh), STATUS_UNAUTHENTICATED);
}

static void expired_tokens_do_not_pile_up(void **state)
{
        struct fixture *fixture = *state;
        int64_t now = clock_wall_ms();

        add_token(fixture, "h1", "f1", now - 1);
        add_token(fixture, "h2", "f2", now + HOUR_MS);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM refresh_tokens"), 1);
}

/* --- Keys -------------------------------------------------------------------------------------*/
static struct api_key add_key(struct fixture *fixture, const char *hash, int64_t expires_at)
{
        struct api_key key = {.user_id = fixture->alice.id,
                              .name = TEXT("ci"),
                              .prefix = TEXT("fgx_ab"),
                              .hash = TEXT(hash),
                              .expires_at = expires_at};

        ok(fixture, store_add_api_key(fixture->store, &key, fixture->ctx, &fixture->err));
        return key;
}

static void api_keys_are_found_by_hash_until_they_expire(void **state)
{
        struct fixture *fixture = *state;
        struct api_key key = add_key(fixture, "hash1", 0), dated = add_key(fixture, "hash2", 1000);
        struct api_key found = {0};

        ok(fixture, store_find_api_key(fixture->store, fixture->ctx, "hash1", INT64_MAX, &found,
                                       &fixture->err));
        assert_string_equal(found.id, key.id);
        assert_string_equal(found.user_id, fixture->alice.id);
        assert_int_equal(found.last_used_at, 0);
        ok(fixture,
           store_find_api_key(fixture->store, fixture->ctx, "hash2", 999, &found, &fixture->err));
        assert_string_equal(found.id, dated.id);
        expect(fixture, STATUS_NOT_FOUND,
               store_find_api_key(fixture->store, fixture->ctx, "hash2", 1000, &found,
                                  &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_find_api_key(fixture->store, fixture->ctx, "nope", 0, &found, &fixture->err));
}

static void touching_an_api_key_keeps_the_latest_use(void **state)
{
        struct fixture *fixture = *state;
        struct api_key key = add_key(fixture, "hash1", 0), found = {0};

        store_touch_api_key(fixture->store, key.id, 700);
        store_touch_api_key(fixture->store, key.id, 500);
        store_touch_api_key(fixture->store, "gone", 500);
        ok(fixture, store_ping(fixture->store, &fixture->err)); /* a write behind those */
        ok(fixture,
           store_find_api_key(fixture->store, fixture->ctx, "hash1", 0, &found, &fixture->err));
        assert_int_equal(found.last_used_at, 700);
}

static void api_keys_belong_to_their_user(void **state)
{
        struct fixture *fixture = *state;
        struct api_key key = add_key(fixture, "hash1", 0), *keys = NULL;
        struct page page = {.limit = 10};
        size_t count = 0;

        add_key(fixture, "hash2", 0);
        ok(fixture, store_list_api_keys(fixture->store, fixture->ctx, fixture->alice.id, &page,
                                        &keys, &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_string_equal(keys[1].id, key.id);
        assert_string_equal(keys[1].prefix, "fgx_ab");
        ok(fixture, store_list_api_keys(fixture->store, fixture->ctx, fixture->bob.id, &page, &keys,
                                        &count, &fixture->err));
        assert_int_equal(count, 0);
        expect(fixture, STATUS_NOT_FOUND,
               store_delete_api_key(fixture->store, fixture->bob.id, key.id, &fixture->err));
        ok(fixture, store_delete_api_key(fixture->store, fixture->alice.id, key.id, &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_delete_api_key(fixture->store, fixture->alice.id, key.id, &fixture->err));
}

static void credentials_are_one_a_provider(void **state)
{
        struct fixture *fixture = *state;
        struct credential first = {.user_id = fixture->alice.id,
                                   .provider = TEXT("openai"),
                                   .sealed_key = TEXT("sealed1"),
                                   .hint = TEXT("..ab")};
        struct credential second = {.user_id = fixture->alice.id,
                                    .provider = TEXT("openai"),
                                    .sealed_key = TEXT("sealed2"),
                                    .base_url = TEXT("http://x")};
        struct credential found = {0}, *list = NULL;
        size_t count = 0;

        ok(fixture, store_put_credential(fixture->store, &first, &fixture->err));
        ok(fixture, store_put_credential(fixture->store, &second, &fixture->err));
        second.provider = TEXT("gemini");
        ok(fixture, store_put_credential(fixture->store, &second, &fixture->err));
        ok(fixture, store_get_credential(fixture->store, fixture->ctx, fixture->alice.id, "openai",
                                         &found, &fixture->err));
        assert_string_equal(found.sealed_key, "sealed2");
        assert_null(found.hint);
        assert_string_equal(found.base_url, "http://x");
        assert_true(found.updated_at > 0);
        ok(fixture, store_list_credentials(fixture->store, fixture->ctx, fixture->alice.id, &list,
                                           &count, &fixture->err));
        assert_int_equal(count, 2);
        assert_string_equal(list[0].provider, "gemini");
        expect(fixture, STATUS_NOT_FOUND,
               store_get_credential(fixture->store, fixture->ctx, fixture->bob.id, "openai", &found,
                                    &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_delete_credential(fixture->store, fixture->bob.id, "openai", &fixture->err));
        ok(fixture,
           store_delete_credential(fixture->store, fixture->alice.id, "openai", &fixture->err));
        expect(fixture, STATUS_NOT_FOUND,
               store_get_credential(fixture->store, fixture->ctx, fixture->alice.id, "openai",
                                    &found, &fixture->err));
}

static void the_store_answers_to_a_ping_and_keeps_what_it_has(void **state)
{
        struct fixture *fixture = *state;
        struct user found = {0};

        ok(fixture, store_ping(fixture->store, &fixture->err));
        ok(fixture, store_ping(fixture->store, &fixture->err));
        fixture->store = store_free(fixture->store);
        ok(fixture, store_open(fixture->folder.url, &fixture->store, &fixture->err));
        ok(fixture,
           store_get_user(fixture->store, fixture->ctx, fixture->bob.id, &found, &fixture->err));
        assert_string_equal(found.email, "bob@example.com");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                store_test(the_first_user_is_admin),
                store_test(a_role_that_is_given_is_kept),
                store_test(emails_are_compared_without_case),
                store_test(updating_changes_what_is_given),
                store_test(lists_page_newest_first),
                store_test(forged_pages_are_refused),
                store_test(tokens_rotate_inside_their_family),
                store_test(a_token_used_twice_ends_its_family),
                store_test(revoking_ends_a_family_or_all),
                store_test(a_new_password_ends_all_families),
                store_test(expired_tokens_do_not_pile_up),
                store_test(api_keys_are_found_by_hash_until_they_expire),
                store_test(touching_an_api_key_keeps_the_latest_use),
                store_test(api_keys_belong_to_their_user),
                store_test(credentials_are_one_a_provider),
                store_test(the_store_answers_to_a_ping_and_keeps_what_it_has),
        };

        return cmocka_run_group_tests_name("store users", tests, NULL, NULL);
}
