/* SPDX-License-Identifier: Apache-2.0 */
/* Measures small durable writes and reads of the database layer: bench_db [FOLDER] [SECONDS].
 *
 * A writer always has one write outstanding: its `done` queues the next. Each write inserts one row
 * of about 150 bytes with a UUIDv7 key; each read gets one row by key. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "db/db.h"

enum { LATENCIES_MAX = 1 << 20, READ_THREADS = 4 };

struct run {
        struct db *db;
        int64_t end_us;
        atomic_size_t count;
        atomic_int running;
        sem_t finished;
        unsigned *latencies_us;
        char key[UUID_TEXT_SIZE];
};

struct writer {
        struct run *run;
        int64_t began_us;
};

static void check(const struct error *err)
{
        if (err->status) {
                fprintf(stderr, "bench_db: %s\n", err->message);
                exit(1);
        }
}

static enum status create(struct db_conn *conn, void *arg, struct error *err)
{
        (void)arg;
        return db_exec(conn,
                       "CREATE TABLE bench (id TEXT PRIMARY KEY, number INTEGER, body TEXT)"
                       " WITHOUT ROWID",
                       DB_NO_ARGS, NULL, err);
}

static enum status insert(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] = "INSERT INTO bench VALUES (?1, ?2, ?3)";
        static const char body[] = "{\"text\":\"a small JSON value, as a finished step has one\","
                                   "\"tokens\":123,\"status\":\"completed\"}";
        struct writer *writer = arg;
        char id[UUID_TEXT_SIZE];

        return db_exec(conn, sql,
                       DB_ARGS(DB_TEXT(uuid_new(id)), DB_INT(writer->began_us), DB_TEXT(body)),
                       NULL, err);
}

static void wrote(void *arg, const struct error *err)
{
        struct writer *writer = arg;
        struct run *run = writer->run;
        int64_t now = clock_monotonic_us();
        size_t n = atomic_fetch_add(&run->count, 1);

        if (err)
                check(err);
        run->latencies_us[n % LATENCIES_MAX] = (unsigned)(now - writer->began_us);
        if (now < run->end_us) {
                writer->began_us = now;
                db_write_async(run->db, insert, writer, wrote);
        } else if (atomic_fetch_sub(&run->running, 1) == 1) {
                sem_post(&run->finished);
        }
}

static int compare(const void *a, const void *b)
{
        unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

        return (x > y) - (x < y);
}

static void report(struct run *run, const char *what, int concurrency, int64_t start_us)
{
        double seconds = (double)(clock_monotonic_us() - start_us) / 1e6;
        size_t count = run->count, kept = count < LATENCIES_MAX ? count : LATENCIES_MAX;

        qsort(run->latencies_us, kept, sizeof(unsigned), compare);
        printf("%-22s %5d concurrent  %9.0f /s   p50 %6u us   p99 %6u us\n", what, concurrency,
               (double)count / seconds, run->latencies_us[kept / 2],
               run->latencies_us[kept * 99 / 100]);
        run->count = 0;
}

static void bench_async(struct run *run, int concurrency, int64_t duration_us)
{
        SCOPED_MEM struct writer *writers = mem_array(NULL, struct writer, (size_t)concurrency);
        int64_t start = clock_monotonic_us();

        run->end_us = start + duration_us;
        run->running = concurrency;
        for (int i = 0; i < concurrency; i++) {
                writers[i] = (struct writer){run, clock_monotonic_us()};
                db_write_async(run->db, insert, &writers[i], wrote);
        }
        sem_wait(&run->finished);
        report(run, "async writes", concurrency, start);
}

static void *write_and_wait(void *arg)
{
        struct run *run = arg;
        struct writer writer = {run, clock_monotonic_us()};

        while (writer.began_us < run->end_us) {
                struct error err = ERROR_INIT;
                int64_t now;

                if (db_write(run->db, insert, &writer, &err))
                        check(&err);
                now = clock_monotonic_us();
                run->latencies_us[atomic_fetch_add(&run->count, 1) % LATENCIES_MAX] =
                        (unsigned)(now - writer.began_us);
                writer.began_us = now;
        }
        return NULL;
}

static enum status keep_key(struct db_conn *conn, void *arg, struct error *err)
{
        struct run *run = arg;
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, "SELECT id FROM bench ORDER BY id LIMIT 1", DB_NO_ARGS, &rows, err))
                return err->status;
        if (db_next(&rows, err))
                snprintf(run->key, sizeof(run->key), "%s", db_text(&rows, ctx, 0));
        return err->status;
}

static enum status read_one(struct db_conn *conn, void *arg, struct error *err)
{
        struct run *run = arg;
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, "SELECT body FROM bench WHERE id = ?1", DB_ARGS(DB_TEXT(run->key)),
                     &rows, err))
                return err->status;
        if (db_next(&rows, err) && !db_text(&rows, ctx, 0))
                return error_set(err, STATUS_INTERNAL, "no body");
        return err->status;
}

static void *read_and_read(void *arg)
{
        struct run *run = arg;
        int64_t now = clock_monotonic_us();

        while (now < run->end_us) {
                struct error err = ERROR_INIT;
                int64_t began = now;

                if (db_read(run->db, read_one, run, &err))
                        check(&err);
                now = clock_monotonic_us();
                run->latencies_us[atomic_fetch_add(&run->count, 1) % LATENCIES_MAX] =
                        (unsigned)(now - began);
        }
        return NULL;
}

static void bench_threads(struct run *run, const char *what, void *(*body)(void *), int threads,
                          int64_t duration_us)
{
        SCOPED_MEM pthread_t *ids = mem_array(NULL, pthread_t, (size_t)threads);
        int64_t start = clock_monotonic_us();

        run->end_us = start + duration_us;
        for (int i = 0; i < threads; i++)
                pthread_create(&ids[i], NULL, body, run);
        for (int i = 0; i < threads; i++)
                pthread_join(ids[i], NULL);
        report(run, what, threads, start);
}

/* Commits go on all the while, so that readers meet a changed database at each read. */
static void bench_reads_beside_writes(struct run *run, int64_t duration_us)
{
        struct run writes = {.db = run->db,
                             .latencies_us = mem_array(NULL, unsigned, LATENCIES_MAX)};
        struct writer writers[16];
        int64_t start = clock_monotonic_us();

        sem_init(&writes.finished, 0, 0);
        writes.end_us = start + duration_us;
        writes.running = (int)ARRAY_LENGTH(writers);
        for (size_t i = 0; i < ARRAY_LENGTH(writers); i++) {
                writers[i] = (struct writer){&writes, clock_monotonic_us()};
                db_write_async(run->db, insert, &writers[i], wrote);
        }
        bench_threads(run, "reads beside writes", read_and_read, READ_THREADS, duration_us);
        sem_wait(&writes.finished);
        report(&writes, "  writes beside reads", (int)ARRAY_LENGTH(writers), start);
        mem_free(writes.latencies_us);
        sem_destroy(&writes.finished);
}

static void bench_all(struct run *run, int64_t duration_us)
{
        struct error err = ERROR_INIT;

        if (db_write(run->db, create, NULL, &err))
                check(&err);
        bench_async(run, 1, duration_us);
        bench_async(run, 64, duration_us);
        bench_async(run, 1000, duration_us);
        bench_threads(run, "waiting writes", write_and_wait, 1, duration_us);
        bench_threads(run, "waiting writes", write_and_wait, 64, duration_us);
        if (db_read(run->db, keep_key, run, &err))
                check(&err);
        bench_threads(run, "reads by key", read_and_read, READ_THREADS, duration_us);
        bench_reads_beside_writes(run, duration_us);
}

int main(int argc, char **argv)
{
        SCOPED_MEM void *ctx = mem_root();
        char *folder = mem_printf(ctx, "%s/bench_db.XXXXXX", argc > 1 ? argv[1] : "/tmp");
        int64_t duration_us = (argc > 2 ? strtol(argv[2], NULL, 10) : 3) * 1000000;
        struct run run = {.latencies_us = mem_array(ctx, unsigned, LATENCIES_MAX)};
        struct error err = ERROR_INIT;

        sem_init(&run.finished, 0, 0);
        if (!mkdtemp(folder))
                return 1;
        if (db_open(mem_printf(ctx, "sqlite:%s/bench.db", folder), NULL, &run.db, &err))
                check(&err);
        bench_all(&run, duration_us);
        db_free(run.db);
        unlink(mem_printf(ctx, "%s/bench.db", folder));
        rmdir(folder);
        return 0;
}
