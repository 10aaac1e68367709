/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/db.h"
#include "db/test_folder.h"

struct fixture {
        struct test_folder folder;
        struct db *db;
};

static const char create_sql[] = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE,"
                                 " parent INTEGER REFERENCES item)";
static const char insert_sql[] = "INSERT INTO item (id, name) VALUES (?1, ?2)";
static const char count_sql[] = "SELECT count(*) FROM item";

static enum status create_items(struct db_conn *conn, void *arg, struct error *err)
{
        (void)arg;
        return db_exec(conn, create_sql, DB_NO_ARGS, NULL, err);
}

static int fixture_setup(void **state)
{
        struct fixture *fixture = mem_new(NULL, struct fixture);
        struct error err = ERROR_INIT;

        fixture->folder = test_folder_new();
        assert_int_equal(db_open(fixture->folder.url, NULL, &fixture->db, &err), STATUS_OK);
        assert_int_equal(db_write(fixture->db, create_items, NULL, &err), STATUS_OK);
        *state = fixture;
        return 0;
}

static int fixture_teardown(void **state)
{
        struct fixture *fixture = *state;

        db_free(fixture->db);
        test_folder_remove(&fixture->folder);
        mem_free(fixture);
        return 0;
}

/* One number from SQL without placeholders. */
struct number {
        const char *sql;
        int64_t value;
};

static enum status read_number(struct db_conn *conn, void *arg, struct error *err)
{
        struct number *number = arg;
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, number->sql, DB_NO_ARGS, &rows, err))
                return err->status;
        if (db_next(&rows, err))
                number->value = db_int(&rows, 0);
        return err->status;
}

static int64_t number_of(struct db *db, const char *sql)
{
        struct number number = {sql, -1};
        struct error err = ERROR_INIT;

        assert_int_equal(db_read(db, read_number, &number, &err), STATUS_OK);
        return number.value;
}

/* Inserts `id` under two rows' worth of statements, so that a failure has something to undo. */
struct insert {
        int64_t id;
        const char *name;
        sem_t *done;
        enum status status;
};

static enum status insert_item(struct db_conn *conn, void *arg, struct error *err)
{
        struct insert *insert = arg;

        if (db_exec(conn, insert_sql, DB_ARGS(DB_INT(insert->id + 1000000), DB_NULL), NULL, err))
                return err->status;
        return db_exec(conn, insert_sql, DB_ARGS(DB_INT(insert->id), DB_TEXT(insert->name)), NULL,
                       err);
}

static void insert_done(void *arg, const struct error *err)
{
        struct insert *insert = arg;

        insert->status = err ? err->status : STATUS_OK;
        sem_post(insert->done);
}

/* Holds the writer thread until it is let go. */
struct gate {
        sem_t reached, open;
        sem_t done;
};

static enum status wait_at_gate(struct db_conn *conn, void *arg, struct error *err)
{
        struct gate *gate = arg;

        (void)conn, (void)err;
        sem_post(&gate->reached);
        sem_wait(&gate->open);
        return STATUS_OK;
}

static void gate_done(void *arg, const struct error *err)
{
        struct gate *gate = arg;

        (void)err;
        sem_post(&gate->done);
}

static void gate_init(struct gate *gate)
{
        sem_init(&gate->reached, 0, 0);
        sem_init(&gate->open, 0, 0);
        sem_init(&gate->done, 0, 0);
}

/* --- Opening ----------------------------------------------------------------------------------*/
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
        assert_int_equal(number_of(db, "PRAGMA synchronous"), 2);
        assert_int_equal(number_of(db, "PRAGMA foreign_keys"), 1);
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

static enum status run_sql(struct db_conn *conn, void *arg, struct error *err)
{
        return db_exec(conn, arg, DB_NO_ARGS, NULL, err);
}

static enum status write_sql(struct db *db, const char *sql, struct error *err)
{
        *err = ERROR_INIT;
        return db_write(db, run_sql, (void *)(uintptr_t)sql, err);
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

        assert_int_not_equal(db_read(fixture->db, create_items, NULL, &err), STATUS_OK);
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

/* --- Group commit -----------------------------------------------------------------------------*/
enum { BATCH = 20, BATCH_FAILS = 7 };

static void batch_queue(struct db *db, struct insert *inserts, sem_t *done)
{
        for (int i = 0; i < BATCH; i++) {
                inserts[i] = (struct insert){.id = i + 1, .done = done, .status = STATUS_INTERNAL};
                inserts[i].name = i == BATCH_FAILS ? "taken" : NULL;
                db_write_async(db, insert_item, &inserts[i], insert_done);
        }
}

static void a_batch_commits_as_one_and_a_failure_stays_alone(void **state)
{
        struct fixture *fixture = *state;
        struct insert inserts[BATCH];
        struct gate first, last;
        struct error err;
        sem_t done;

        gate_init(&first);
        gate_init(&last);
        sem_init(&done, 0, 0);
        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (0, 'taken', NULL)", &err),
                         STATUS_OK);
        db_write_async(fixture->db, wait_at_gate, &first, gate_done);
        sem_wait(&first.reached);
        batch_queue(fixture->db, inserts, &done);
        db_write_async(fixture->db, wait_at_gate, &last, gate_done);
        assert_int_equal(db_write_queue_depth(fixture->db), BATCH + 2);
        sem_post(&first.open);

        /* All of them ran, none is told, no reader sees any. (Told and seen would also be right if
         * the bound of a batch's time cut it in two.) */
        sem_wait(&last.reached);
        if (sem_trywait(&first.done) != 0) {
                assert_int_equal(number_of(fixture->db, count_sql), 1);
                assert_int_equal(sem_trywait(&done), -1);
        }
        sem_post(&last.open);
        sem_wait(&last.done);
        for (int i = 0; i < BATCH; i++) {
                sem_wait(&done);
        }
        for (int i = 0; i < BATCH; i++)
                assert_int_equal(inserts[i].status, i == BATCH_FAILS ? STATUS_CONFLICT : STATUS_OK);
        assert_int_equal(number_of(fixture->db, count_sql), 1 + 2 * (BATCH - 1));
        assert_int_equal(number_of(fixture->db, "SELECT count(*) FROM item WHERE id = 1000008"), 0);
}

struct visible {
        struct db *db;
        struct insert insert;
        int64_t seen;
        sem_t done;
};

static enum status insert_visible(struct db_conn *conn, void *arg, struct error *err)
{
        return insert_item(conn, &((struct visible *)arg)->insert, err);
}

static void look_when_done(void *arg, const struct error *err)
{
        struct visible *visible = arg;
        struct number number = {count_sql, -1};
        struct error read_err = ERROR_INIT;

        if (!err && !db_read(visible->db, read_number, &number, &read_err))
                visible->seen = number.value;
        sem_post(&visible->done);
}

static void done_comes_after_the_commit(void **state)
{
        struct fixture *fixture = *state;
        struct visible visible = {.db = fixture->db, .insert = {.id = 1}};

        sem_init(&visible.done, 0, 0);
        db_write_async(fixture->db, insert_visible, &visible, look_when_done);
        sem_wait(&visible.done);
        assert_int_equal(visible.seen, 2);
}

static void closing_finishes_queued_writes(void **state)
{
        struct fixture *fixture = *state;
        struct insert inserts[BATCH];
        struct error err = ERROR_INIT;
        int value = 0;
        sem_t done;

        sem_init(&done, 0, 0);
        batch_queue(fixture->db, inserts, &done);
        fixture->db = db_free(fixture->db);
        sem_getvalue(&done, &value);
        assert_int_equal(value, BATCH);
        assert_int_equal(db_open(fixture->folder.url, NULL, &fixture->db, &err), STATUS_OK);
        assert_int_equal(number_of(fixture->db, count_sql), 2 * BATCH);
}

/* --- Failures of the database -----------------------------------------------------------------*/
static enum status fill_blobs(struct db_conn *conn, void *arg, struct error *err)
{
        (void)arg;
        return db_exec(conn, "INSERT INTO item (name) VALUES (hex(randomblob(1000000)))",
                       DB_NO_ARGS, NULL, err);
}

static enum status limit_pages(struct db_conn *conn, void *arg, struct error *err)
{
        struct number number = {arg, 0};

        return read_number(conn, &number, err);
}

static void a_full_disk_is_unavailable_and_passes(void **state)
{
        struct fixture *fixture = *state;
        struct error err = ERROR_INIT;
        char few[] = "PRAGMA max_page_count = 100", many[] = "PRAGMA max_page_count = 100000";

        assert_int_equal(db_write(fixture->db, limit_pages, few, &err), STATUS_OK);
        assert_int_equal(db_write(fixture->db, fill_blobs, NULL, &err), STATUS_UNAVAILABLE);
        assert_non_null(strstr(err.message, "full"));
        err = ERROR_INIT;
        assert_int_equal(db_write(fixture->db, limit_pages, many, &err), STATUS_OK);
        assert_int_equal(db_write(fixture->db, fill_blobs, NULL, &err), STATUS_OK);
        assert_int_equal(number_of(fixture->db, count_sql), 1);
}

static void a_lock_held_elsewhere_is_unavailable_and_passes(void **state)
{
        struct fixture *fixture = *state;
        struct db_options options = {.readers = 1, .busy_ms = 20};
        struct error err = ERROR_INIT;
        struct db *db = NULL;
        sqlite3 *other = NULL;

        assert_int_equal(db_open(fixture->folder.url, &options, &db, &err), STATUS_OK);
        assert_int_equal(sqlite3_open(fixture->folder.url + strlen("sqlite:"), &other), SQLITE_OK);
        assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(write_sql(db, "INSERT INTO item VALUES (1, 'a', NULL)", &err),
                         STATUS_UNAVAILABLE);
        assert_true(err.retry_after_ms > 0);
        assert_int_equal(number_of(db, count_sql), 0); /* reading goes on */
        assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(write_sql(db, "INSERT INTO item VALUES (1, 'a', NULL)", &err), STATUS_OK);
        sqlite3_close(other);
        db_free(db);
}

static enum status lose_transaction(struct db_conn *conn, void *arg, struct error *err)
{
        (void)arg;
        return db_exec(conn, "ROLLBACK", DB_NO_ARGS, NULL, err);
}

/* As SQLite does by itself on some I/O errors. */
static void a_lost_transaction_fails_all_of_its_batch(void **state)
{
        struct fixture *fixture = *state;
        struct insert inserts[BATCH];
        struct gate first;
        struct error err = ERROR_INIT;
        sem_t done;

        gate_init(&first);
        sem_init(&done, 0, 0);
        db_write_async(fixture->db, wait_at_gate, &first, gate_done);
        sem_wait(&first.reached);
        batch_queue(fixture->db, inserts, &done);
        sem_post(&first.open);
        assert_int_equal(db_write(fixture->db, lose_transaction, NULL, &err), STATUS_UNAVAILABLE);
        for (int i = 0; i < BATCH; i++)
                sem_wait(&done);
        for (int i = 0; i < BATCH; i++) {
                SCOPED_MEM void *ctx = mem_root();
                const char *sql = mem_printf(ctx, "SELECT count(*) FROM item WHERE id = %d", i + 1);
                struct number number = {sql, -1};

                err = ERROR_INIT;
                assert_int_equal(db_read(fixture->db, read_number, &number, &err), STATUS_OK);
                assert_int_equal(number.value, inserts[i].status == STATUS_OK);
        }
        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (900, 'z', NULL)", &err),
                         STATUS_OK);
}

/* --- Reads ------------------------------------------------------------------------------------*/
struct snapshot {
        struct gate gate;
        struct db *db;
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
        (void)!wait_at_gate(conn, &snapshot->gate, err);
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

        gate_init(&snapshot.gate);
        pthread_create(&thread, NULL, snapshot_thread, &snapshot);
        sem_wait(&snapshot.gate.reached);
        assert_int_equal(write_sql(fixture->db, "INSERT INTO item VALUES (1, 'a', NULL)", &err),
                         STATUS_OK);
        assert_int_equal(number_of(fixture->db, count_sql), 1);
        sem_post(&snapshot.gate.open);
        pthread_join(thread, NULL);
        assert_int_equal(snapshot.status, STATUS_OK);
        assert_int_equal(snapshot.before, 0);
        assert_int_equal(snapshot.after, 0);
}

enum { MIXED_THREADS = 16, MIXED_ROUNDS = 60 };

struct mixed {
        struct db *db;
        int number, failures;
};

/* Each write is seen by the read that follows it on the same thread. */
static void *mixed_thread(void *arg)
{
        struct mixed *mixed = arg;

        for (int i = 0; i < MIXED_ROUNDS; i++) {
                struct insert insert = {.id = mixed->number * MIXED_ROUNDS + i + 1};
                struct number number = {"SELECT count(*), max(id) FROM item", -1};
                struct error err = ERROR_INIT;

                mixed->failures += db_write(mixed->db, insert_item, &insert, &err) != STATUS_OK;
                mixed->failures += db_read(mixed->db, read_number, &number, &err) != STATUS_OK;
                mixed->failures += number.value < 2 * (i + 1);
        }
        return NULL;
}

static void many_threads_read_and_write(void **state)
{
        struct fixture *fixture = *state;
        struct mixed mixed[MIXED_THREADS];
        pthread_t threads[MIXED_THREADS];

        for (int i = 0; i < MIXED_THREADS; i++) {
                mixed[i] = (struct mixed){.db = fixture->db, .number = i};
                pthread_create(&threads[i], NULL, mixed_thread, &mixed[i]);
        }
        for (int i = 0; i < MIXED_THREADS; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(mixed[i].failures, 0);
        }
        assert_int_equal(number_of(fixture->db, count_sql), 2 * MIXED_THREADS * MIXED_ROUNDS);
        assert_int_equal(db_write_queue_depth(fixture->db), 0);
}

#define db_test(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(opening_creates_folders_and_a_private_file),
                cmocka_unit_test(opening_refuses_what_is_no_file),
                cmocka_unit_test(opening_a_damaged_file_is_unavailable),
                db_test(values_come_back_as_they_were),
                db_test(a_statement_may_be_open_twice),
                db_test(constraints_have_statuses_of_their_own),
                db_test(readers_cannot_write),
                db_test(exec_counts_changed_rows),
                db_test(a_batch_commits_as_one_and_a_failure_stays_alone),
                db_test(done_comes_after_the_commit),
                db_test(closing_finishes_queued_writes),
                db_test(a_full_disk_is_unavailable_and_passes),
                db_test(a_lock_held_elsewhere_is_unavailable_and_passes),
                db_test(a_lost_transaction_fails_all_of_its_batch),
                db_test(a_read_is_one_snapshot),
                db_test(many_threads_read_and_write),
        };

        return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
