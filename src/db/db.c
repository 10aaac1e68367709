/* SPDX-License-Identifier: Apache-2.0 */
/* Database: choice of the driver by URL, the pool of reader connections, and the statement calls
 * that pass through to the driver. A read waits for a free connection; it never opens one more, so
 * memory and file handles stay as configured. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "db/db_internal.h"
#include "observe/metrics.h"

static const struct db_driver *const drivers[] = {&db_sqlite};

static atomic_int connections_idle, connections_in_use;
static _Thread_local bool inside;

static void collect_connections(void *arg)
{
        (void)arg;
        metric_set(METRIC_db_pool_connections, atomic_load(&connections_idle), "idle");
        metric_set(METRIC_db_pool_connections, atomic_load(&connections_in_use), "in_use");
}

static void register_collector(void)
{
        metrics_on_scrape(collect_connections, NULL);
}

void db_pool_count(int idle, int in_use)
{
        atomic_fetch_add_explicit(&connections_idle, idle, memory_order_relaxed);
        atomic_fetch_add_explicit(&connections_in_use, in_use, memory_order_relaxed);
}

void db_error_count(void)
{
        metric_add(METRIC_db_errors_total, 1);
}

bool db_inside(void)
{
        return inside;
}

enum status db_call(db_fn *fn, struct db_conn *conn, void *arg, struct error *err)
{
        enum status status;

        inside = true;
        status = fn(conn, arg, err);
        inside = false;
        return status;
}

/* --- Opening ----------------------------------------------------------------------------------*/
static const struct db_driver *driver_find(const char *url)
{
        for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++) {
                if (strncmp(url, drivers[i]->scheme, strlen(drivers[i]->scheme)) == 0)
                        return drivers[i];
        }
        return NULL;
}

static enum status readers_open(struct db *db, const char *target, unsigned count, unsigned busy_ms,
                                struct error *err)
{
        while (db->readers.count < count) {
                struct db_conn *conn = NULL;

                if (db->driver->conn_open(target, DB_READER, busy_ms, &conn, err))
                        return err->status;
                conn->next = db->readers.free;
                db->readers.free = conn;
                db->readers.count++;
                db_pool_count(1, 0);
        }
        return STATUS_OK;
}

static enum status connections_open(struct db *db, const char *target,
                                    const struct db_options *options, struct error *err)
{
        unsigned readers = options && options->readers ? options->readers : DB_READERS_DEFAULT;
        unsigned busy_ms = options && options->busy_ms ? options->busy_ms : DB_BUSY_MS_DEFAULT;
        struct db_conn *conn = NULL;

        if (db->driver->conn_open(target, DB_WRITER, busy_ms, &conn, err))
                return err->status;
        if (db_writer_new(conn, &db->writer, err))
                return err->status;
        return readers_open(db, target, readers < DB_READERS_MAX ? readers : DB_READERS_MAX,
                            busy_ms, err);
}

enum status db_open(const char *url, const struct db_options *options, struct db **ret,
                    struct error *err)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        const struct db_driver *driver = driver_find(url);
        struct db *db;

        if (!driver)
                return error_set(err, STATUS_INVALID, "The database URL must begin with \"%s\"",
                                 drivers[0]->scheme);
        pthread_once(&once, register_collector);
        db = mem_new(NULL, struct db);
        db->driver = driver;
        pthread_mutex_init(&db->readers.lock, NULL);
        pthread_cond_init(&db->readers.given_back, NULL);
        if (connections_open(db, url + strlen(driver->scheme), options, err)) {
                db_free(db);
                return err->status;
        }
        *ret = db;
        return STATUS_OK;
}

struct db *db_free(struct db *db)
{
        struct db_conn *conn;

        if (!db)
                return NULL;
        /* First: what is queued may still be waited for. */
        db->writer = db_writer_free(db->writer);
        while ((conn = db->readers.free)) {
                db->readers.free = conn->next;
                db->driver->conn_close(conn);
                db_pool_count(-1, 0);
        }
        pthread_cond_destroy(&db->readers.given_back);
        pthread_mutex_destroy(&db->readers.lock);
        return mem_free(db);
}

const char *db_engine(const struct db *db)
{
        return db->driver->engine;
}

/* --- Reading ----------------------------------------------------------------------------------*/
static struct db_conn *reader_take(struct db_readers *readers)
{
        struct db_conn *conn;
        int64_t start = clock_monotonic_us();

        pthread_mutex_lock(&readers->lock);
        while (!readers->free)
                pthread_cond_wait(&readers->given_back, &readers->lock);
        conn = readers->free;
        readers->free = conn->next;
        pthread_mutex_unlock(&readers->lock);
        db_pool_count(-1, 1);
        metric_observe(METRIC_db_pool_wait_seconds, metric_seconds_since(start));
        return conn;
}

static void reader_give(struct db_readers *readers, struct db_conn *conn)
{
        pthread_mutex_lock(&readers->lock);
        conn->next = readers->free;
        readers->free = conn;
        pthread_cond_signal(&readers->given_back);
        pthread_mutex_unlock(&readers->lock);
        db_pool_count(1, -1);
}

static enum status read_on(struct db_conn *conn, db_fn *fn, void *arg, struct error *err)
{
        const struct db_driver *driver = conn->driver;
        struct error ignored = ERROR_INIT;
        enum status status;

        if (driver->step(conn, DB_BEGIN_READ, err))
                return err->status;
        status = db_call(fn, conn, arg, err);
        /* Nothing was written, so how the transaction ends cannot change the outcome. */
        if (driver->step(conn, DB_COMMIT, &ignored) && driver->in_transaction(conn))
                (void)!driver->step(conn, DB_ROLLBACK, &ignored);
        return status;
}

enum status db_read(struct db *db, db_fn *fn, void *arg, struct error *err)
{
        struct db_conn *conn;
        enum status status;
        int64_t start;

        /* A second connection for the same thread could wait for itself. */
        assert(!db_inside());
        conn = reader_take(&db->readers);
        start = clock_monotonic_us();
        status = read_on(conn, fn, arg, err);
        reader_give(&db->readers, conn);
        metric_observe(METRIC_db_query_duration_seconds, metric_seconds_since(start), "read");
        return status;
}

/* --- Statements -------------------------------------------------------------------------------*/
struct db_value db_text_value(const char *text)
{
        if (!text)
                return DB_NULL;
        return (struct db_value){.type = DB_TYPE_TEXT, .data = text, .length = strlen(text)};
}

enum status db_exec(struct db_conn *conn, const char *sql, struct db_args args,
                    int64_t *ret_changed, struct error *err)
{
        return conn->driver->exec(conn, sql, args, ret_changed, err);
}

enum status db_query(struct db_conn *conn, const char *sql, struct db_args args,
                     struct db_rows *rows, struct error *err)
{
        assert(!rows->stmt);
        rows->conn = conn;
        return conn->driver->query(conn, sql, args, rows, err);
}

bool db_next(struct db_rows *rows, struct error *err)
{
        return rows->conn->driver->next(rows, err);
}

void db_rows_close(struct db_rows *rows)
{
        if (!rows->stmt)
                return;
        rows->conn->driver->rows_close(rows);
        rows->stmt = NULL;
}

bool db_is_null(const struct db_rows *rows, int column)
{
        return rows->conn->driver->is_null(rows, column);
}

int64_t db_int(const struct db_rows *rows, int column)
{
        return rows->conn->driver->integer(rows, column);
}

double db_real(const struct db_rows *rows, int column)
{
        return rows->conn->driver->real(rows, column);
}

char *db_text(const struct db_rows *rows, const void *ctx, int column)
{
        return rows->conn->driver->text(rows, ctx, column);
}

const void *db_blob(const struct db_rows *rows, int column, size_t *ret_length)
{
        return rows->conn->driver->blob(rows, column, ret_length);
}
