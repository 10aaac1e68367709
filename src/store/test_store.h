/* SPDX-License-Identifier: Apache-2.0 */
/* An open store with two users and a workflow of each, for the tests of this folder. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/uuid.h"
#include "db/test_folder.h"
#include "store/documents.h"
#include "store/users.h"
#include "store/workflows.h"

#include <cmocka.h>

struct fixture {
        struct test_folder folder;
        struct store *store;
        void *ctx; /* of results; the fixture itself */
        struct user alice, bob;
        struct workflow alices, bobs;
        struct error err;
};

#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* Runs a store function and says what went wrong if its status is another one. */
#define expect(fixture, wanted, call)                                                              \
        do {                                                                                       \
                (fixture)->err = ERROR_INIT;                                                       \
                enum status got_ = (call);                                                         \
                if (got_ != (wanted))                                                              \
                        fail_msg("%s: %s", status_name(got_), (fixture)->err.message);             \
                assert_int_equal(got_, (fixture)->err.status);                                     \
        } while (0)
#define ok(fixture, call) expect(fixture, STATUS_OK, call)

static inline struct user fixture_user(struct fixture *fixture, const char *email)
{
        struct user user = {
                .email = TEXT(email), .full_name = TEXT("N"), .password_hash = TEXT("h")};

        ok(fixture, store_create_user(fixture->store, &user, fixture->ctx, &fixture->err));
        return user;
}

static inline struct workflow fixture_workflow(struct fixture *fixture, const char *owner_id)
{
        struct workflow workflow = {.owner_id = TEXT(owner_id),
                                    .name = TEXT("Flow"),
                                    .description = TEXT("d"),
                                    .graph = TEXT("{\"nodes\":[]}")};

        ok(fixture, store_create_workflow(fixture->store, &workflow, fixture->ctx, &fixture->err));
        return workflow;
}

static inline int fixture_setup(void **state)
{
        struct fixture *fixture = mem_new(NULL, struct fixture);

        fixture->ctx = fixture;
        fixture->folder = test_folder_new();
        ok(fixture, store_open(fixture->folder.url, &fixture->store, &fixture->err));
        fixture->alice = fixture_user(fixture, "alice@example.com");
        fixture->bob = fixture_user(fixture, "bob@example.com");
        fixture->alices = fixture_workflow(fixture, fixture->alice.id);
        fixture->bobs = fixture_workflow(fixture, fixture->bob.id);
        *state = fixture;
        return 0;
}

static inline int fixture_teardown(void **state)
{
        struct fixture *fixture = *state;

        store_free(fixture->store);
        test_folder_remove(&fixture->folder);
        mem_free(fixture);
        return 0;
}

/* Rows of a table, by SQL of the test's own. */
struct fixture_count {
        const char *sql;
        int64_t value;
};

static inline enum status fixture_count_fn(struct db_conn *conn, void *arg, struct error *err)
{
        struct fixture_count *count = arg;
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, count->sql, DB_NO_ARGS, &rows, err))
                return err->status;
        if (db_next(&rows, err))
                count->value = db_int(&rows, 0);
        return err->status;
}

static inline int64_t fixture_count(struct fixture *fixture, const char *sql)
{
        struct fixture_count count = {sql, -1};

        ok(fixture, db_read(store_db(fixture->store), fixture_count_fn, &count, &fixture->err));
        return count.value;
}

#define store_test(function)                                                                       \
        cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
