/* SPDX-License-Identifier: Apache-2.0 */
/* Database driver: one interface over SQLite now and PostgreSQL later; the store above it is
 * written once.
 *
 * Reads run on the caller's thread with a connection of the reader pool. Writes run in the one
 * writer's transaction: many callers' writes share a commit (group commit), each inside its own
 * savepoint, so that one failing write leaves the others alone. A write is durable when its call
 * returns, or its `done` is called. SQL uses ?1, ?2 … placeholders; statements are prepared once a
 * connection and found again by the address of their text, so `sql` must be static. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"

struct db;
struct db_conn; /* valid inside a db_fn only */

struct db_options {
        unsigned readers; /* connections of the reader pool; 0: 4 */
        unsigned busy_ms; /* how long to wait for another process's lock; 0: 5000 */
};

/* `url`: "sqlite:PATH" (":memory:" is refused), later "postgresql://…". Creates the file and its
 * folder. Settings: WAL, synchronous FULL, foreign keys on. */
enum status db_open(const char *url, const struct db_options *options, struct db **ret,
                    struct error *err) MUST_USE;
/* Finishes queued writes, checkpoints, closes. Takes NULL, returns NULL. */
struct db *db_free(struct db *db);
const char *db_engine(const struct db *db); /* "sqlite" */

/* Applies the numbered migrations embedded at build (sql/<engine>/NNNN_name.sql) that are missing,
 * each in a transaction; refuses a database that is newer than the program. *ret_applied (may be
 * NULL) counts them. */
enum status db_migrate(struct db *db, unsigned *ret_applied, struct error *err) MUST_USE;
/* The version of the schema there (0: empty) and the newest one known. */
enum status db_schema_version(struct db *db, unsigned *ret_current, unsigned *ret_latest,
                              struct error *err) MUST_USE;

typedef enum status db_fn(struct db_conn *conn, void *arg, struct error *err);

/* Runs fn with a reader connection, in one read transaction (a consistent snapshot). */
enum status db_read(struct db *db, db_fn *fn, void *arg, struct error *err) MUST_USE;
/* Runs fn on the writer thread and waits for the commit. fn must be quick and touch only `arg` and
 * the connection. A failure of fn rolls back what fn did. Not from within a db_fn. */
enum status db_write(struct db *db, db_fn *fn, void *arg, struct error *err) MUST_USE;
/* The same without waiting: done is called on the writer thread after the commit (or failure) and
 * must not block. Bounded by the caller's own concurrency. */
typedef void db_done_fn(void *arg, const struct error *err /* NULL on success */);
void db_write_async(struct db *db, db_fn *fn, void *arg, db_done_fn *done);
size_t db_write_queue_depth(struct db *db);

/* --- Values and statements ---------------------------------------------------------------------*/
enum db_type { DB_TYPE_NULL, DB_TYPE_INT, DB_TYPE_REAL, DB_TYPE_TEXT, DB_TYPE_BLOB };
struct db_value {
        enum db_type type;
        size_t length; /* of text and blob, in bytes */
        union {
                int64_t integer;
                double real;
                const void *data; /* borrowed until the statement is reset */
        };
};
#define DB_INT(v)     ((struct db_value){.type = DB_TYPE_INT, .integer = (int64_t)(v)})
#define DB_REAL(v)    ((struct db_value){.type = DB_TYPE_REAL, .real = (v)})
#define DB_BLOB(d, n) ((struct db_value){.type = DB_TYPE_BLOB, .data = (d), .length = (n)})
#define DB_TEXT(s)    db_text_value(s) /* NULL text is SQL NULL */
#define DB_NULL       ((struct db_value){.type = DB_TYPE_NULL})
struct db_value db_text_value(const char *text);

/* Values for ?1, ?2 …: DB_ARGS(DB_TEXT(id), DB_INT(5)), or DB_NO_ARGS. */
struct db_args {
        const struct db_value *values;
        size_t count;
};
#define DB_ARGS(...)                                                                               \
        ((struct db_args){(const struct db_value[]){__VA_ARGS__},                                  \
                          sizeof((const struct db_value[]){__VA_ARGS__}) /                         \
                                  sizeof(struct db_value)})
#define DB_NO_ARGS ((struct db_args){NULL, 0})

/* Runs a statement without rows. *ret_changed (may be NULL): rows changed. A broken unique
 * constraint is STATUS_CONFLICT, a broken foreign key STATUS_NOT_FOUND, a full disk or unreachable
 * database STATUS_UNAVAILABLE. */
enum status db_exec(struct db_conn *conn, const char *sql, struct db_args args,
                    int64_t *ret_changed, struct error *err) MUST_USE;

/* Rows: SCOPED_ROWS struct db_rows rows = {0}; db_query(…); while (db_next(&rows, err)) { … };
 * after the loop err->status tells the end from a failure. */
struct db_rows {
        struct db_conn *conn;
        void *stmt;
};
#define SCOPED_ROWS CLEANUP(db_rows_close)
enum status db_query(struct db_conn *conn, const char *sql, struct db_args args,
                     struct db_rows *rows, struct error *err) MUST_USE;
bool db_next(struct db_rows *rows, struct error *err) MUST_USE; /* false: no more, or err is set */
void db_rows_close(struct db_rows *rows);

/* Columns of the current row, from 0. */
bool db_is_null(const struct db_rows *rows, int column);
int64_t db_int(const struct db_rows *rows, int column);
double db_real(const struct db_rows *rows, int column);
char *db_text(const struct db_rows *rows, const void *ctx, int column); /* copy; NULL for NULL */
const void *db_blob(const struct db_rows *rows, int column, size_t *ret_length); /* borrowed */
