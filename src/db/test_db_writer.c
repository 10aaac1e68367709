/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: group commit, and what happens when the database fails. */
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <string.h>

#include "db/test_db.h"

static const char insert_sql[] = "INSERT INTO item (id, name) VALUES (?1, ?2)";
static const char count_sql[] = "SELECT count(*) FROM item";

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

/* --- Many threads -----------------------------------------------------------------------------*/
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
                mixed->failures += number.value < 2LL * (i + 1);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                items_test(a_batch_commits_as_one_and_a_failure_stays_alone),
                items_test(done_comes_after_the_commit),
                items_test(closing_finishes_queued_writes),
                items_test(a_full_disk_is_unavailable_and_passes),
                items_test(a_lock_held_elsewhere_is_unavailable_and_passes),
                items_test(a_lost_transaction_fails_all_of_its_batch),
                items_test(many_threads_read_and_write),
        };

        return cmocka_run_group_tests_name("db writer", tests, NULL, NULL);
}
