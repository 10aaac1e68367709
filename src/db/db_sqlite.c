/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite driver: connections in WAL mode and a cache of prepared statements.
 *
 * Everything that only SQLite knows is here. A statement is prepared once a connection and found by
 * the address of its text; one that is still open when it is asked for again gets a twin for that
 * use. Values are bound without a copy: they are read before the call that was given them returns,
 * except in a query, whose arguments must live as long as its rows. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/db_driver.h"

extern const struct db_migration db_sqlite_migrations[];

struct statement {
        const char *sql; /* the key: compared by address */
        sqlite3_stmt *handle;
        bool open;
        bool twin; /* outside the table, freed when closed */
};

struct sqlite_conn {
        struct db_conn base;
        sqlite3 *handle;
        struct statement **table; /* open addressing; a power of two, at most half full */
        size_t table_size, table_count;
        struct statement *steps[DB_STEP_COUNT];
};

static const char *const step_sql[DB_STEP_COUNT] = {
        [DB_BEGIN_READ] = "BEGIN",
        [DB_BEGIN_WRITE] = "BEGIN IMMEDIATE",
        [DB_SAVEPOINT] = "SAVEPOINT operation",
        [DB_RELEASE] = "RELEASE operation",
        [DB_ROLLBACK_TO] = "ROLLBACK TO operation",
        [DB_COMMIT] = "COMMIT",
        [DB_ROLLBACK] = "ROLLBACK",
};

/* Small caches: the kernel's page cache holds the file anyway, and a reader's own cache is dropped
 * at each commit of the writer. The file is not mapped: that gained nothing measurable, and an I/O
 * error would be a signal instead of a status. The WAL is folded back every 16 MB and never kept
 * larger than 64 MB. */
static const char pragmas_all[] = "PRAGMA temp_store = MEMORY;"
                                  "PRAGMA mmap_size = 0;"
                                  "PRAGMA foreign_keys = ON;";
static const char pragmas_writer[] = "PRAGMA synchronous = FULL;"
                                     "PRAGMA cache_size = -4096;"
                                     "PRAGMA wal_autocheckpoint = 4096;"
                                     "PRAGMA journal_size_limit = 67108864;";
static const char pragmas_reader[] = "PRAGMA cache_size = -1024;"
                                     "PRAGMA query_only = ON;";

static struct sqlite_conn *sqlite_of(const struct db_conn *conn)
{
        assert(conn->driver == &db_sqlite);
        return (struct sqlite_conn *)conn;
}

/* --- Errors -----------------------------------------------------------------------------------*/
static enum status fail_constraint(int code, const char *detail, struct error *err)
{
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
            code == SQLITE_CONSTRAINT_ROWID)
                return error_set(err, STATUS_CONFLICT, "There is already one like it (%s)", detail);
        if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
                return error_set(err, STATUS_NOT_FOUND, "What this belongs to is not there");
        return db_fail(err, STATUS_INTERNAL, "The database refused a value: %s", detail);
}

static enum status fail_busy(struct error *err)
{
        db_fail(err, STATUS_UNAVAILABLE, "The database is locked by another program; try again");
        err->retry_after_ms = 1000;
        return err->status;
}

/* What went wrong on `handle` (whose code is `code`) in our words. */
static enum status fail_sqlite(sqlite3 *handle, int code, struct error *err)
{
        const char *detail = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code);

        switch (code & 0xff) {
        case SQLITE_CONSTRAINT:
                return fail_constraint(code, detail, err);
        case SQLITE_TOOBIG:
                return error_set(err, STATUS_TOO_LARGE, "The value is too large for the database");
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
        case SQLITE_PROTOCOL:
                return fail_busy(err);
        case SQLITE_FULL:
                return db_fail(err, STATUS_UNAVAILABLE, "The disk of the database is full");
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return db_fail(err, STATUS_UNAVAILABLE, "The database file is damaged: %s", detail);
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
        case SQLITE_NOMEM:
                return db_fail(err, STATUS_UNAVAILABLE,
                               "The database file cannot be read or written: %s", detail);
        default:
                return db_fail(err, STATUS_INTERNAL, "The database failed: %s", detail);
        }
}

/* --- Statement cache --------------------------------------------------------------------------*/
static struct statement *statement_new(struct sqlite_conn *conn, const char *sql, struct error *err)
{
        struct statement *statement;
        sqlite3_stmt *handle = NULL;
        int code =
                sqlite3_prepare_v3(conn->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, NULL);

        if (code) {
                fail_sqlite(conn->handle, code, err);
                return NULL;
        }
        statement = mem_new(conn, struct statement);
        statement->sql = sql;
        statement->handle = handle;
        return statement;
}

static void statement_free(struct statement *statement)
{
        sqlite3_finalize(statement->handle);
        mem_free(statement);
}

static struct statement **table_slot(struct statement **table, size_t size, const char *sql)
{
        size_t i = (size_t)(((uintptr_t)sql * 0x9E3779B97F4A7C15u) >> 32) & (size - 1);

        while (table[i] && table[i]->sql != sql)
                i = (i + 1) & (size - 1);
        return &table[i];
}

static void table_grow(struct sqlite_conn *conn)
{
        size_t size = conn->table_size ? conn->table_size * 2 : 64;
        struct statement **table = mem_array(conn, struct statement *, size);

        for (size_t i = 0; i < conn->table_size; i++) {
                if (conn->table[i])
                        *table_slot(table, size, conn->table[i]->sql) = conn->table[i];
        }
        mem_free(conn->table);
        conn->table = table;
        conn->table_size = size;
}

/* The statement of `sql`, marked open; NULL with err. */
static struct statement *statement_take(struct sqlite_conn *conn, const char *sql,
                                        struct error *err)
{
        struct statement **slot, *statement;

        if (conn->table_count * 2 >= conn->table_size)
                table_grow(conn);
        slot = table_slot(conn->table, conn->table_size, sql);
        if (*slot && !(*slot)->open) {
                (*slot)->open = true;
                return *slot;
        }
        if (!(statement = statement_new(conn, sql, err)))
                return NULL;
        statement->open = true;
        if (*slot) {
                statement->twin = true;
        } else {
                *slot = statement;
                conn->table_count++;
        }
        return statement;
}

static void statement_give(struct statement *statement)
{
        if (statement->twin) {
                statement_free(statement);
                return;
        }
        sqlite3_reset(statement->handle);
        statement->open = false;
}

static int bind_value(sqlite3_stmt *handle, int i, const struct db_value *value)
{
        switch (value->type) {
        case DB_TYPE_NULL:
                return sqlite3_bind_null(handle, i);
        case DB_TYPE_INT:
                return sqlite3_bind_int64(handle, i, value->integer);
        case DB_TYPE_REAL:
                return sqlite3_bind_double(handle, i, value->real);
        case DB_TYPE_TEXT:
                return sqlite3_bind_text64(handle, i, value->data, value->length, SQLITE_STATIC,
                                           SQLITE_UTF8);
        case DB_TYPE_BLOB:
                if (value->length == 0)
                        return sqlite3_bind_zeroblob(handle, i, 0);
                return sqlite3_bind_blob64(handle, i, value->data, value->length, SQLITE_STATIC);
        }
        return SQLITE_MISUSE;
}

static struct statement *statement_bind(struct sqlite_conn *conn, const char *sql,
                                        struct db_args args, struct error *err)
{
        struct statement *statement = statement_take(conn, sql, err);

        if (!statement)
                return NULL;
        /* A placeholder left out would keep the value of an earlier use. */
        assert((size_t)sqlite3_bind_parameter_count(statement->handle) == args.count);
        for (size_t i = 0; i < args.count; i++) {
                int code = bind_value(statement->handle, (int)i + 1, &args.values[i]);

                if (code) {
                        fail_sqlite(conn->handle, code, err);
                        statement_give(statement);
                        return NULL;
                }
        }
        return statement;
}

/* --- Statements -------------------------------------------------------------------------------*/
static enum status sqlite_step(struct db_conn *base, enum db_step step, struct error *err)
{
        struct sqlite_conn *conn = sqlite_of(base);
        struct statement **statement = &conn->steps[step];
        int code;

        if (!*statement && !(*statement = statement_new(conn, step_sql[step], err)))
                return err->status;
        code = sqlite3_step((*statement)->handle);
        sqlite3_reset((*statement)->handle);
        if (code != SQLITE_DONE)
                return fail_sqlite(conn->handle, code, err);
        /* SQLite keeps the savepoint after rolling back to it. */
        return step == DB_ROLLBACK_TO ? sqlite_step(base, DB_RELEASE, err) : STATUS_OK;
}

static bool sqlite_in_transaction(const struct db_conn *base)
{
        return !sqlite3_get_autocommit(sqlite_of(base)->handle);
}

static enum status sqlite_script(struct db_conn *base, const char *sql, struct error *err)
{
        sqlite3 *handle = sqlite_of(base)->handle;
        int code = sqlite3_exec(handle, sql, NULL, NULL, NULL);

        return code ? fail_sqlite(handle, code, err) : STATUS_OK;
}

static enum status sqlite_exec(struct db_conn *base, const char *sql, struct db_args args,
                               int64_t *ret_changed, struct error *err)
{
        struct sqlite_conn *conn = sqlite_of(base);
        struct statement *statement = statement_bind(conn, sql, args, err);
        int code;

        if (!statement)
                return err->status;
        do {
                code = sqlite3_step(statement->handle);
        } while (code == SQLITE_ROW);
        if (code != SQLITE_DONE)
                fail_sqlite(conn->handle, code, err);
        else if (ret_changed)
                *ret_changed = sqlite3_changes64(conn->handle);
        statement_give(statement);
        return code == SQLITE_DONE ? STATUS_OK : err->status;
}

static enum status sqlite_query(struct db_conn *base, const char *sql, struct db_args args,
                                struct db_rows *rows, struct error *err)
{
        rows->stmt = statement_bind(sqlite_of(base), sql, args, err);
        return rows->stmt ? STATUS_OK : err->status;
}

static sqlite3_stmt *handle_of(const struct db_rows *rows)
{
        return ((struct statement *)rows->stmt)->handle;
}

static bool sqlite_next(struct db_rows *rows, struct error *err)
{
        int code = sqlite3_step(handle_of(rows));

        if (code != SQLITE_ROW && code != SQLITE_DONE)
                fail_sqlite(sqlite_of(rows->conn)->handle, code, err);
        return code == SQLITE_ROW;
}

static void sqlite_rows_close(struct db_rows *rows)
{
        statement_give(rows->stmt);
}

static bool sqlite_is_null(const struct db_rows *rows, int column)
{
        return sqlite3_column_type(handle_of(rows), column) == SQLITE_NULL;
}

static int64_t sqlite_integer(const struct db_rows *rows, int column)
{
        return sqlite3_column_int64(handle_of(rows), column);
}

static double sqlite_real(const struct db_rows *rows, int column)
{
        return sqlite3_column_double(handle_of(rows), column);
}

static char *sqlite_text(const struct db_rows *rows, const void *ctx, int column)
{
        const unsigned char *text = sqlite3_column_text(handle_of(rows), column);

        if (!text)
                return NULL;
        return mem_strndup(ctx, (const char *)text,
                           (size_t)sqlite3_column_bytes(handle_of(rows), column));
}

static const void *sqlite_blob(const struct db_rows *rows, int column, size_t *ret_length)
{
        const void *data = sqlite3_column_blob(handle_of(rows), column);

        *ret_length = (size_t)sqlite3_column_bytes(handle_of(rows), column);
        return data;
}

/* --- Connections ------------------------------------------------------------------------------*/
/* Memory statistics take a lock at each allocation of every connection. */
static void configure_once(void)
{
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum status make_folders(const char *path, struct error *err)
{
        SCOPED_MEM char *folder = mem_strdup(NULL, path);

        for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(folder, 0700) && errno != EEXIST)
                        return error_set(err, STATUS_UNAVAILABLE, "Cannot create the folder %s: %s",
                                         folder, strerror(errno));
                *slash = '/';
        }
        return STATUS_OK;
}

/* The file holds password hashes: only its owner may read it. SQLite gives its WAL the same rights.
 * A file that exists is not opened here: closing it would drop SQLite's locks on it. */
static enum status make_file(const char *path, struct error *err)
{
        SCOPED_FD int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

        if (fd < 0 && errno != EEXIST)
                return error_set(err, STATUS_UNAVAILABLE, "Cannot create the database file %s: %s",
                                 path, strerror(errno));
        return STATUS_OK;
}

static enum status prepare_path(const char *path, struct error *err)
{
        if (!path[0] || strcmp(path, ":memory:") == 0 || strncmp(path, "file:", 5) == 0)
                return error_set(err, STATUS_INVALID,
                                 "The database URL must name a file: sqlite:PATH");
        if (make_folders(path, err))
                return err->status;
        return make_file(path, err);
}

static void sqlite_conn_close(struct db_conn *base)
{
        struct sqlite_conn *conn = sqlite_of(base);
        int code;

        for (size_t i = 0; i < conn->table_size; i++) {
                if (conn->table[i])
                        statement_free(conn->table[i]);
        }
        for (size_t i = 0; i < DB_STEP_COUNT; i++) {
                if (conn->steps[i])
                        statement_free(conn->steps[i]);
        }
        if (conn->handle && !sqlite3_db_readonly(conn->handle, "main"))
                (void)sqlite3_wal_checkpoint_v2(conn->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                                NULL, NULL);
        code = sqlite3_close(conn->handle);
        assert(code == SQLITE_OK); /* else rows were left open */
        (void)code;
        mem_free(conn);
}

static int is_wal(void *arg, int count, char **values, char **names)
{
        (void)names;
        *(bool *)arg = count == 1 && values[0] && strcmp(values[0], "wal") == 0;
        return 0;
}

enum { WAL_TRIES = 10 };

/* SQLite keeps the old mode, without an error, where the file system cannot share memory. */
static enum status wal_setup(struct sqlite_conn *conn, struct error *err)
{
        static const char wal_sql[] = "PRAGMA journal_mode = WAL";
        bool wal = false;
        int code = sqlite3_exec(conn->handle, wal_sql, is_wal, &wal, NULL);

        /* The switch itself does not wait for another process that is at it; a transaction does. */
        for (int tries = 0; code == SQLITE_BUSY && tries < WAL_TRIES; tries++) {
                code = sqlite3_exec(conn->handle, "BEGIN IMMEDIATE; ROLLBACK", NULL, NULL, NULL);
                if (!code)
                        code = sqlite3_exec(conn->handle, wal_sql, is_wal, &wal, NULL);
        }
        if (code)
                return fail_sqlite(conn->handle, code, err);
        if (!wal)
                return db_fail(err, STATUS_UNAVAILABLE,
                               "The database must be on a local disk: its write-ahead log needs"
                               " shared memory");
        return STATUS_OK;
}

static enum status conn_setup(struct sqlite_conn *conn, enum db_mode mode, struct error *err)
{
        sqlite3_db_config(conn->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        if (sqlite_script(&conn->base, pragmas_all, err))
                return err->status;
        if (mode == DB_WRITER && wal_setup(conn, err))
                return err->status;
        return sqlite_script(&conn->base, mode == DB_WRITER ? pragmas_writer : pragmas_reader, err);
}

static enum status sqlite_conn_open(const char *path, enum db_mode mode, unsigned busy_ms,
                                    struct db_conn **ret, struct error *err)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        struct sqlite_conn *conn;
        int code;

        pthread_once(&once, configure_once);
        if (mode == DB_WRITER && prepare_path(path, err))
                return err->status;
        conn = mem_new(NULL, struct sqlite_conn);
        conn->base.driver = &db_sqlite;
        code = sqlite3_open_v2(path, &conn->handle,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                               NULL);
        if (code)
                fail_sqlite(conn->handle, code, err);
        else if (!sqlite3_busy_timeout(conn->handle, (int)busy_ms) && !conn_setup(conn, mode, err))
                *ret = &conn->base;
        if (err->status) {
                sqlite_conn_close(&conn->base);
                return error_prefix(err, "%s", path);
        }
        return STATUS_OK;
}

const struct db_driver db_sqlite = {
        .engine = "sqlite",
        .scheme = "sqlite:",
        .migrations = db_sqlite_migrations,
        .has_table_sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
        .conn_open = sqlite_conn_open,
        .conn_close = sqlite_conn_close,
        .step = sqlite_step,
        .in_transaction = sqlite_in_transaction,
        .script = sqlite_script,
        .exec = sqlite_exec,
        .query = sqlite_query,
        .next = sqlite_next,
        .rows_close = sqlite_rows_close,
        .is_null = sqlite_is_null,
        .integer = sqlite_integer,
        .real = sqlite_real,
        .text = sqlite_text,
        .blob = sqlite_blob,
};
