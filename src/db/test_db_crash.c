/* SPDX-License-Identifier: Apache-2.0 */
/* A process killed in the middle of writes: what it acknowledged is there, and the file is whole.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db/db.h"
#include "db/test_folder.h"

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 3, ACKNOWLEDGED_MIN = 300, IDS_MAX = 1 << 20 };

struct child {
        struct db *db;
        int pipe;
        _Atomic int64_t next_id;
};

static enum status create_table(struct db_conn *conn, void *arg, struct error *err)
{
        (void)arg;
        return db_exec(conn, "CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, body TEXT)",
                       DB_NO_ARGS, NULL, err);
}

/* Two rows that belong together; long enough that a batch spans many pages. */
static enum status insert_pair(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] = "INSERT INTO item VALUES (?1, hex(randomblob(300)))";
        int64_t id = *(int64_t *)arg;

        if (db_exec(conn, sql, DB_ARGS(DB_INT(id)), NULL, err))
                return err->status;
        return db_exec(conn, sql, DB_ARGS(DB_INT(-id)), NULL, err);
}

static void *write_and_acknowledge(void *arg)
{
        struct child *child = arg;

        for (;;) {
                struct error err = ERROR_INIT;
                int64_t id = child->next_id++;

                if (db_write(child->db, insert_pair, &id, &err))
                        _exit(2);
                if (write(child->pipe, &id, sizeof(id)) != sizeof(id))
                        _exit(3);
        }
}

static void child_run(const char *url, int pipe, int64_t first_id)
{
        struct child child = {.pipe = pipe, .next_id = first_id};
        struct error err = ERROR_INIT;
        pthread_t thread;

        if (db_open(url, NULL, &child.db, &err) || db_write(child.db, create_table, NULL, &err))
                _exit(1);
        for (int i = 0; i < THREADS - 1; i++)
                pthread_create(&thread, NULL, write_and_acknowledge, &child);
        write_and_acknowledge(&child);
}

/* Reads what the child acknowledges; kills it in mid-work; reads what is left in the pipe. */
static size_t kill_in_the_middle(const char *url, int64_t first_id, int64_t *ids)
{
        size_t count = 0;
        int64_t id;
        int ends[2], result = 0;
        pid_t pid;

        assert_int_equal(pipe(ends), 0);
        if ((pid = fork()) == 0) {
                close(ends[0]);
                child_run(url, ends[1], first_id);
                _exit(0);
        }
        close(ends[1]);
        while (count < IDS_MAX && read(ends[0], &id, sizeof(id)) == sizeof(id)) {
                ids[count++] = id;
                if (count == ACKNOWLEDGED_MIN)
                        kill(pid, SIGKILL);
        }
        close(ends[0]);
        waitpid(pid, &result, 0);
        assert_true(WIFSIGNALED(result));
        assert_true(count >= ACKNOWLEDGED_MIN);
        return count;
}

struct check {
        const int64_t *ids;
        size_t count;
        size_t missing;
        int64_t halves; /* rows without their partner */
        char integrity[64];
};

static enum status check_acknowledged(struct db_conn *conn, struct check *check, struct error *err)
{
        for (size_t i = 0; i < check->count; i++) {
                SCOPED_ROWS struct db_rows rows = {0};

                if (db_query(conn, "SELECT 1 FROM item WHERE id = ?1",
                             DB_ARGS(DB_INT(check->ids[i])), &rows, err))
                        return err->status;
                check->missing += !db_next(&rows, err);
        }
        return err->status;
}

static enum status check_file(struct db_conn *conn, void *arg, struct error *err)
{
        struct check *check = arg;
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_ROWS struct db_rows integrity = {0}, halves = {0};

        if (db_query(conn, "PRAGMA integrity_check", DB_NO_ARGS, &integrity, err))
                return err->status;
        if (db_next(&integrity, err))
                snprintf(check->integrity, sizeof(check->integrity), "%s",
                         db_text(&integrity, ctx, 0));
        if (db_query(conn, "SELECT count(*) FROM item WHERE -id NOT IN (SELECT id FROM item)",
                     DB_NO_ARGS, &halves, err))
                return err->status;
        if (db_next(&halves, err))
                check->halves = db_int(&halves, 0);
        return check_acknowledged(conn, check, err);
}

static void acknowledged_writes_survive_a_kill(void **state)
{
        SCOPED_MEM int64_t *ids = mem_array(NULL, int64_t, IDS_MAX);
        struct test_folder folder = test_folder_new();

        (void)state;
        for (int round = 0; round < ROUNDS; round++) {
                size_t count = kill_in_the_middle(folder.url, 1 + round * (int64_t)IDS_MAX, ids);
                struct check check = {.ids = ids, .count = count, .halves = -1};
                struct error err = ERROR_INIT;
                struct db *db = NULL;

                assert_int_equal(db_open(folder.url, NULL, &db, &err), STATUS_OK);
                assert_int_equal(db_read(db, check_file, &check, &err), STATUS_OK);
                assert_string_equal(check.integrity, "ok");
                assert_int_equal(check.missing, 0);
                assert_int_equal(check.halves, 0);
                db_free(db);
        }
        test_folder_remove(&folder);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(acknowledged_writes_survive_a_kill),
        };

        return cmocka_run_group_tests_name("db crash", tests, NULL, NULL);
}
