/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db/db_driver.h"
#include "db/test_db.h"

static const struct db_migration old_list[] = {
        {1, "0001_one", "aaa", "CREATE TABLE one (a INTEGER);\nINSERT INTO one VALUES (7);\n"},
        {0},
};
static const struct db_migration new_list[] = {
        {1, "0001_one", "aaa", "CREATE TABLE one (a INTEGER);\nINSERT INTO one VALUES (7);\n"},
        {2, "0002_two", "bbb",
         "ALTER TABLE one ADD COLUMN b INTEGER;\n"
         "UPDATE one SET b = a * 2; -- with a comment; and a semicolon\n"},
        {3, "0003_three", "ccc",
         "CREATE TRIGGER t AFTER INSERT ON one BEGIN UPDATE one SET b = 1; END;\n"},
        {0},
};
static const struct db_migration edited_list[] = {
        {1, "0001_one", "AAA", "CREATE TABLE one (a TEXT);\n"},
        {0},
};
static const struct db_migration failing_list[] = {
        {1, "0001_one", "aaa", "CREATE TABLE one (a INTEGER);\nINSERT INTO one VALUES (7);\n"},
        {2, "0002_bad", "bad", "INSERT INTO one VALUES (8);\nINSERT INTO missing VALUES (1);\n"},
        {0},
};

static void an_older_database_is_brought_up(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;
        unsigned applied = 9;

        assert_int_equal(db_migrate_list(fixture->db, old_list, &applied, &err), STATUS_OK);
        assert_int_equal(applied, 1);
        assert_int_equal(db_migrate_list(fixture->db, new_list, &applied, &err), STATUS_OK);
        assert_int_equal(applied, 2);
        assert_int_equal(number_of(fixture->db, "SELECT b FROM one"), 14);
        assert_int_equal(db_migrate_list(fixture->db, new_list, &applied, &err), STATUS_OK);
        assert_int_equal(applied, 0);
}

static void a_newer_database_is_refused(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;

        assert_int_equal(db_migrate_list(fixture->db, new_list, NULL, &err), STATUS_OK);
        assert_int_equal(db_migrate_list(fixture->db, old_list, NULL, &err), STATUS_CONFLICT);
        assert_non_null(strstr(err.message, "newer"));
}

static void an_edited_migration_is_refused(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;

        assert_int_equal(db_migrate_list(fixture->db, old_list, NULL, &err), STATUS_OK);
        assert_int_equal(db_migrate_list(fixture->db, edited_list, NULL, &err), STATUS_CONFLICT);
        assert_non_null(strstr(err.message, "0001_one was edited"));
        assert_int_equal(number_of(fixture->db, "SELECT a FROM one"), 7);
}

static void a_failing_migration_leaves_nothing_behind(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;

        assert_int_equal(db_migrate_list(fixture->db, failing_list, NULL, &err), STATUS_INTERNAL);
        assert_non_null(strstr(err.message, "0002_bad"));
        assert_int_equal(number_of(fixture->db, "SELECT count(*) FROM one"), 1);
        assert_int_equal(number_of(fixture->db, "SELECT max(version) FROM schema_migrations"), 1);
        err = ERROR_INIT;
        assert_int_equal(db_migrate_list(fixture->db, new_list, NULL, &err), STATUS_OK);
}

static void the_programs_own_migrations_apply(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;
        unsigned current = 9, latest = 0, applied = 0;

        assert_int_equal(db_schema_version(fixture->db, &current, &latest, &err), STATUS_OK);
        assert_int_equal(current, 0);
        assert_true(latest >= 1);
        assert_int_equal(db_migrate(fixture->db, &applied, &err), STATUS_OK);
        assert_int_equal(applied, latest);
        assert_int_equal(db_schema_version(fixture->db, &current, &latest, &err), STATUS_OK);
        assert_int_equal(current, latest);
}

static int migrate_in_child(const char *url)
{
        struct error err = ERROR_INIT;
        struct db *db = NULL;

        if (db_open(url, NULL, &db, &err) || db_migrate_list(db, new_list, NULL, &err))
                fprintf(stderr, "%s\n", err.message);
        db_free(db);
        return err.status != STATUS_OK;
}

enum { STARTS = 6 };

/* Processes that create, open and migrate the same file at the same moment. */
static void concurrent_starts_take_turns(void **state)
{
        struct test_folder folder = test_folder_new();
        struct error err = ERROR_INIT;
        struct db *db = NULL;

        (void)state;
        for (int i = 0; i < STARTS; i++) {
                if (fork() == 0)
                        _exit(migrate_in_child(folder.url));
        }
        for (int i = 0; i < STARTS; i++) {
                int result = -1;

                wait(&result);
                assert_int_equal(result, 0);
        }
        assert_int_equal(db_open(folder.url, NULL, &db, &err), STATUS_OK);
        assert_int_equal(number_of(db, "SELECT count(*) FROM one"), 1);
        assert_int_equal(number_of(db, "SELECT count(*) FROM schema_migrations"), 3);
        db_free(db);
        test_folder_remove(&folder);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                /* First: children begin without threads. */
                cmocka_unit_test(concurrent_starts_take_turns),
                db_test(an_older_database_is_brought_up),
                db_test(a_newer_database_is_refused),
                db_test(an_edited_migration_is_refused),
                db_test(a_failing_migration_leaves_nothing_behind),
                db_test(the_programs_own_migrations_apply),
        };

        return cmocka_run_group_tests_name("db migrations", tests, NULL, NULL);
}
