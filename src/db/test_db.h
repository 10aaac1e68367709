/* SPDX-License-Identifier: Apache-2.0 */
/* An open database in a temporary folder, for the tests of this folder. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "db/db.h"
#include "db/test_folder.h"

#include <cmocka.h>

struct fixture {
        struct test_folder folder;
        struct db *db;
};

static inline struct fixture *fixture_new(void)
{
        struct fixture *fixture = mem_new(NULL, struct fixture);
        struct error err = ERROR_INIT;

        fixture->folder = test_folder_new();
        assert_int_equal(db_open(fixture->folder.url, NULL, &fixture->db, &err), STATUS_OK);
        return fixture;
}

static inline int fixture_setup(void **state)
{
        *state = fixture_new();
        return 0;
}

static inline int fixture_teardown(void **state)
{
        struct fixture *fixture = *state;

        db_free(fixture->db);
        test_folder_remove(&fixture->folder);
        mem_free(fixture);
        return 0;
}

/* One number from SQL without placeholders; a db_fn. */
struct number {
        const char *sql;
        int64_t value;
};

static inline enum status read_number(struct db_conn *conn, void *arg, struct error *err)
{
        struct number *number = arg;
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, number->sql, DB_NO_ARGS, &rows, err))
                return err->status;
        if (db_next(&rows, err))
                number->value = db_int(&rows, 0);
        return err->status;
}

static inline int64_t number_of(struct db *db, const char *sql)
{
        struct number number = {sql, -1};
        struct error err = ERROR_INIT;

        assert_int_equal(db_read(db, read_number, &number, &err), STATUS_OK);
        return number.value;
}

/* A db_fn: one statement, given as `arg`. */
static inline enum status run_sql(struct db_conn *conn, void *arg, struct error *err)
{
        return db_exec(conn, arg, DB_NO_ARGS, NULL, err);
}

static inline enum status write_sql(struct db *db, const char *sql, struct error *err)
{
        *err = ERROR_INIT;
        return db_write(db, run_sql, (void *)(uintptr_t)sql, err);
}

/* With the table that most tests write to. */
static inline int items_setup(void **state)
{
        static const char sql[] = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE,"
                                  " parent INTEGER REFERENCES item)";
        struct fixture *fixture = fixture_new();
        struct error err;

        assert_int_equal(write_sql(fixture->db, sql, &err), STATUS_OK);
        *state = fixture;
        return 0;
}

#define db_test(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
#define items_test(function)                                                                       \
        cmocka_unit_test_setup_teardown(function, items_setup, fixture_teardown)
