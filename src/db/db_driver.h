/* SPDX-License-Identifier: Apache-2.0 */
/* Database driver: what an engine implements. Users of the database include db/db.h only.
 *
 * A driver knows one connection at a time and no threads: the reader pool, the writer and its group
 * commit, migrations and metrics are written once above it. A connection is used by one thread at a
 * time. Errors are told as in db/db.h; drivers call db_fail() for them, so that they are counted.
 */
#pragma once

#include "db/db.h"

enum db_mode { DB_READER, DB_WRITER };

/* Steps of a transaction. There is one level of savepoint. */
enum db_step {
        DB_BEGIN_READ,  /* a snapshot that lasts until DB_COMMIT */
        DB_BEGIN_WRITE, /* waits for other processes' locks, at most options.busy_ms */
        DB_SAVEPOINT,
        DB_RELEASE,     /* keeps what was done since the savepoint */
        DB_ROLLBACK_TO, /* undoes what was done since the savepoint, and ends it */
        DB_COMMIT,
        DB_ROLLBACK,
        DB_STEP_COUNT,
};

/* One numbered file of sql/<engine>/, as embedded at build; version 0 ends a list. */
struct db_migration {
        unsigned version;
        const char *name;     /* "0001_initial" */
        const char *checksum; /* SHA-256 of the file, in hex */
        const char *sql;      /* any number of statements */
};

struct db_conn { /* embedded first in an engine's own struct */
        const struct db_driver *driver;
        struct db_conn *next; /* free list of the reader pool */
};

struct db_driver {
        const char *engine;                    /* "sqlite" */
        const char *scheme;                    /* what its URLs begin with: "sqlite:" */
        const struct db_migration *migrations; /* rising versions */
        const char *has_table_sql;             /* one row if the table ?1 exists */

        /* Opens one connection to `target`, the URL without its scheme. The writer comes first and
         * creates what is missing; it is closed while the readers are idle. */
        enum status (*conn_open)(const char *target, enum db_mode mode, unsigned busy_ms,
                                 struct db_conn **ret, struct error *err);
        void (*conn_close)(struct db_conn *conn); /* no transaction is open */

        enum status (*step)(struct db_conn *conn, enum db_step step, struct error *err);
        /* False after a failure that made the engine drop the whole transaction by itself. */
        bool (*in_transaction)(const struct db_conn *conn);

        /* Several statements without values or rows. */
        enum status (*script)(struct db_conn *conn, const char *sql, struct error *err);
        enum status (*exec)(struct db_conn *conn, const char *sql, struct db_args args,
                            int64_t *ret_changed, struct error *err);
        /* Sets rows->stmt, the driver's own; one statement may be open more than once. */
        enum status (*query)(struct db_conn *conn, const char *sql, struct db_args args,
                             struct db_rows *rows, struct error *err);
        bool (*next)(struct db_rows *rows, struct error *err);
        void (*rows_close)(struct db_rows *rows); /* rows->stmt is not NULL */

        bool (*is_null)(const struct db_rows *rows, int column);
        int64_t (*integer)(const struct db_rows *rows, int column);
        double (*real)(const struct db_rows *rows, int column);
        char *(*text)(const struct db_rows *rows, const void *ctx, int column);
        const void *(*blob)(const struct db_rows *rows, int column, size_t *ret_length);
};

extern const struct db_driver db_sqlite;

/* error_set() that counts in db_errors_total; not for what callers provoke (constraints). */
#define db_fail(err, status, ...) (db_error_count(), error_set((err), (status), __VA_ARGS__))
void db_error_count(void);

/* db_migrate() with another list; tests show upgrades with it. */
enum status db_migrate_list(struct db *db, const struct db_migration *migrations,
                            unsigned *ret_applied, struct error *err) MUST_USE;
