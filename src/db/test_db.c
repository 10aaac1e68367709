/* SPDX-License-Identifier: Apache-2.0 */
#include "db/test_db.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char count_sql[] = "SELECT count(*) FROM item";

/* --- Opening ----------------------------------------------------------------------------------*/
/* Of the writer's connection. */
static int64_t writer_setting(struct db *db, const char *sql)
{
        struct number number = {sql, -1};
        struct error err = ERROR_INIT;

        assert_int_equal(db_write(db, read_number, &number, &err), STATUS_OK);
        return number.value;
}

static void opening_creates_folders_and_a_private_file(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct test_folder folder = test_folder_new();
        char *path = mem_printf(ctx, "%s/a/b/c.db", folder.path);
        struct error err = ERROR_INIT;
        struct db *db = NULL;
        struct stat stat_of;

        (void)state;
        assert_int_equal(db_open(mem_printf(ctx, "sqlite:%s", path), NULL, &db, &err), STATUS_OK);
        assert_string_equal(db_engine(db), "sqlite");
        assert_int_equal(writer_setting(db, "PRAGMA synchronous"), 2);
        assert_int_equal(writer_setting(db, "PRAGMA foreign_keys"), 1);
        assert_int_equal(stat(path, &stat_of), 0);
        assert_int_equal(stat_of.st_mode & 0777, 0600);
        db_free(db);
        assert_int_equal(access(mem_printf(ctx, "%s-wal", path), F_OK), -1);
        test_folder_remove(&folder);
}

static void opening_refuses_what_is_no_file(void **state)
{
        static const char *const urls[] = {
                "sqlite:", "sqlite::memory:", "sqlite:file:x?mode=memory", "mysql://x", ""};

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(urls); i++) {
                struct error err = ERROR_INIT;
                struct db *db = NULL;

                assert_int_equal(db_open(urls[i], NULL, &db, &err), STATUS_INVALID);
                assert_null(db);
        }
}

static void opening_a_damaged_file_is_unavailable(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct test_folder folder = test_folder_new();
        struct error err = ERROR_INIT;
        struct db *db = NULL;
        FILE *file = fopen(mem_printf(ctx, "%s/test.db", folder.path), "w");

        (void)state;
        for (int i = 0; i < 1000; i++)
                fputs("this is not a database\n", file);
        fclose(file);
        assert_int_equal(db_open(folder.url, NULL, &db, &err), STATUS_UNAVAILABLE);
        assert_non_null(strstr(err.message, "damaged"));
        test_folder_remove(&folder);
}

/* --- Values and statements --------------------------------------------------------------------*/
static enum status check_values(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] = "SELECT ?1, ?2, ?3, ?4, ?5, ?6";
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_ROWS struct db_rows rows = {0};
        const void *blob;
        size_t length;

        (void)arg;
        if (db_query(conn, sql,
                     DB_ARGS(DB_INT(INT64_MIN), DB_REAL(0.5), DB_TEXT("\xC3\xA9t\xC3\xA9"),
                             DB_BLOB("a\0b", 3), DB_TEXT(NULL), DB_BLOB(NULL, 0)),
                     &rows, err))
                return err->status;
        assert_true(db_next(&rows, err));
        assert_true(db_int(&rows, 0) == INT64_MIN);
        assert_true(db_real(&rows, 1) == 0.5);
        assert_string_equal(db_text(&rows, ctx, 2), "\xC3\xA9t\xC3\xA9");
        blob = db_blob(&rows, 3, &length);
        assert_int_equal(length, 3);
        assert_memory_equal(blob, "a\0b", 3);
        assert_true(db_is_null(&rows, 4));
        assert_null(db_text(&rows, ctx, 4));
        assert_false(db_is_null(&rows, 5));
        assert_false(db_next(&rows, err));
        return err->status;
}

static void values_come_back_as_they_were(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;

        assert_int_equal(db_read(fixture->db, check_values, NULL, &err), STATUS_OK);
}

/* The same statement, open twice at once. */
static enum status nest_statement(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] = "SELECT value FROM (SELECT 1 AS value UNION ALL SELECT 2)";
        SCOPED_ROWS struct db_rows outer = {0};
        int64_t *sum = arg;

        if (db_query(conn, sql, DB_NO_ARGS, &outer, err))
                return err->status;
        while (db_next(&outer, err)) {
                SCOPED_ROWS struct db_rows inner = {0};

                if (db_query(conn, sql, DB_NO_ARGS, &inner, err))
                        return err->status;
                while (db_next(&inner, err))
                        *sum += db_int(&outer, 0) * 10 + db_int(&inner, 0);
        }
        return err->status;
}

static void a_statement_may_be_open_twice(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;
        int64_t sum = 0;

        assert_int_equal(db_read(fixture->db, nest_statement, &sum, &err), STATUS_OK);
        assert_int_equal(sum, 11 + 12 + 21 + 22);
}

static void constraints_have_statuses_of_their_own(void **state)
{
        struct fixture *fixture = *state;
        struct error err;

        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (1, 'a', NULL)", &err),
                         STATUS_OK);
        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (2, 'a', NULL)", &err),
                         STATUS_CONFLICT);
        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (1, 'b', NULL)", &err),
                         STATUS_CONFLICT);
        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (3, 'c', 99)", &err),
                         STATUS_NOT_FOUND);
        assert_int_equal(write_sql(fixture->db, "INSERT INTO nothing VALUES (3)", &err),
                         STATUS_INTERNAL);
        assert_int_equal(number_of(fixture->db, count_sql), 1);
}

static void readers_cannot_write(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;

        assert_int_not_equal(
                db_read(fixture->db, run_sql, (void *)(uintptr_t) "CREATE TABLE x (a)", &err),
                STATUS_OK);
        assert_int_not_equal(
                db_read(fixture->db, run_sql, (void *)(uintptr_t) "DELETE FROM item", &err),
                STATUS_OK);
}

static enum status count_changes(struct db_conn *conn, void *arg, struct error *err)
{
        return db_exec(conn, "UPDATE item SET name = id WHERE id > 1", DB_NO_ARGS, arg, err);
}

static void exec_counts_changed_rows(void **state)
{
        struct fixture *fixture = *state;
        struct error err;
        int64_t changed = 0;

        assert_int_equal(write_sql(fixture->db, "INSERT INTO item (id) VALUES (1), (2), (3)", &err),
                         STATUS_OK);
        assert_int_equal(db_write(fixture->db, count_changes, &changed, &err), STATUS_OK);
        assert_int_equal(changed, 2);
}

/* --- Reads ------------------------------------------------------------------------------------*/
struct snapshot {
        struct db *db;
        sem_t reached, open;
        int64_t before, after;
        enum status status;
};

static enum status read_twice(struct db_conn *conn, void *arg, struct error *err)
{
        struct snapshot *snapshot = arg;
        struct number number = {count_sql, -1};

        if (read_number(conn, &number, err))
                return err->status;
        snapshot->before = number.value;
        sem_post(&snapshot->reached);
        sem_wait(&snapshot->open);
        if (read_number(conn, &number, err))
                return err->status;
        snapshot->after = number.value;
        return STATUS_OK;
}

static void *snapshot_thread(void *arg)
{
        struct snapshot *snapshot = arg;
        struct error err = ERROR_INIT;

        snapshot->status = db_read(snapshot->db, read_twice, snapshot, &err);
        return NULL;
}

static void a_read_is_one_snapshot(void **state)
{
        struct fixture *fixture = *state;
        struct snapshot snapshot = {.db = fixture->db, .before = -1, .after = -1};
        struct error err;
        pthread_t thread;

        sem_init(&snapshot.reached, 0, 0);
        sem_init(&snapshot.open, 0, 0);
        pthread_create(&thread, NULL, snapshot_thread, &snapshot);
        sem_wait(&snapshot.reached);
        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (1, 'a', NULL)", &err),
                         STATUS_OK);
        assert_int_equal(number_of(fixture->db, count_sql), 1);
        sem_post(&snapshot.open);
        pthread_join(thread, NULL);
        assert_int_equal(snapshot.status, STATUS_OK);
        assert_int_equal(snapshot.before, 0);
        assert_int_equal(snapshot.after, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(opening_creates_folders_and_a_private_file),
                cmocka_unit_test(opening_refuses_what_is_no_file),
                cmocka_unit_test(opening_a_damaged_file_is_unavailable),
                db_test(values_come_back_as_they_were),
                db_test(a_statement_may_be_open_twice),
                items_test(constraints_have_statuses_of_their_own),
                items_test(readers_cannot_write),
                items_test(exec_counts_changed_rows),
                items_test(a_read_is_one_snapshot),
        };

        return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
