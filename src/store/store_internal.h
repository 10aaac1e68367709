/* SPDX-License-Identifier: Apache-2.0 */
/* How the store reads and writes rows: tables say which column fills which member, and a few
 * functions run the statements of all resources. For the files of this folder. */
#pragma once

#include <stddef.h>

#include "store/store.h"

struct store {
        struct db *db;
};

/* --- Rows as structs --------------------------------------------------------------------------*/
enum column_type { COLUMN_TEXT, COLUMN_INT, COLUMN_REAL };

struct column {
        enum column_type type;
        size_t offset;
};

/* What a SELECT's columns fill, in its order. */
struct row_type {
        const char *name; /* for people: "workflow" */
        const struct column *columns;
        size_t count;
        size_t size;
};

#define TEXT_COLUMN(T, member)                                                                     \
        {                                                                                          \
                COLUMN_TEXT, offsetof(T, member)                                                   \
        }
#define INT_COLUMN(T, member)                                                                      \
        {                                                                                          \
                COLUMN_INT, offsetof(T, member)                                                    \
        }
#define REAL_COLUMN(T, member)                                                                     \
        {                                                                                          \
                COLUMN_REAL, offsetof(T, member)                                                   \
        }
#define ROW_TYPE(T, name, columns)                                                                 \
        {                                                                                          \
                (name), (columns), ARRAY_LENGTH(columns), sizeof(T)                                \
        }

enum { ROW_VALUES_MAX = 24 };

/* Fills `row`; its strings are children of ctx. */
void row_read(const struct db_rows *rows, const struct row_type *type, const void *ctx, void *row);
/* The row's members as values ?1, ?2 … in the order of the columns; kept in `values`. */
struct db_args row_values(const struct row_type *type, const void *row,
                          struct db_value values[ROW_VALUES_MAX]);

/* --- Inside a db_fn ---------------------------------------------------------------------------*/
/* A SELECT and what its rows become. */
struct row_query {
        const char *sql;
        struct db_args args;
        const struct row_type *type;
        const void *ctx; /* parent of results */
};

/* STATUS_NOT_FOUND if there is no row; *ret is untouched then. */
enum status row_get(struct db_conn *conn, const struct row_query *query, void *ret,
                    struct error *err) MUST_USE;
/* All rows, as one array below the query's ctx that owns their strings. */
enum status row_get_all(struct db_conn *conn, const struct row_query *query, void **ret,
                        size_t *ret_count, struct error *err) MUST_USE;
/* First column of the first row; `fallback` if there is none or it is NULL. */
enum status row_get_int(struct db_conn *conn, const char *sql, struct db_args args,
                        int64_t fallback, int64_t *ret, struct error *err) MUST_USE;
/* STATUS_NOT_FOUND, naming the thing, unless the statement changed a row. */
enum status row_must_change(struct db_conn *conn, const char *sql, struct db_args args,
                            const char *name, struct error *err) MUST_USE;

/* --- Whole operations -------------------------------------------------------------------------*/
enum status store_get_row(struct store *store, const struct row_query *query, void *ret,
                          struct error *err) MUST_USE;
enum status store_get_rows(struct store *store, const struct row_query *query, void **ret,
                           size_t *ret_count, struct error *err) MUST_USE;
/* One statement as a write; ret_changed may be NULL. */
enum status store_exec(struct store *store, const char *sql, struct db_args args,
                       int64_t *ret_changed, struct error *err) MUST_USE;
/* The same for a row that must be there: STATUS_NOT_FOUND if nothing changed. */
enum status store_change(struct store *store, const char *sql, struct db_args args,
                         const char *name, struct error *err) MUST_USE;

/* What a cursor is: the id of the last row given, or a number that falls or rises. */
enum page_order { PAGE_BY_ID, PAGE_DOWN, PAGE_UP };

/* A list. `sql` has the placeholders of `filters`, then the cursor, then the limit; `count_sql`
 * those of the filters only. The cursor is the row's first column. */
struct page_query {
        const char *sql, *count_sql;
        struct db_args filters;
        const struct row_type *type;
        const void *ctx;
        enum page_order order;
};
enum status store_get_page(struct store *store, const struct page_query *query, struct page *page,
                           void **ret, size_t *ret_count, struct error *err) MUST_USE;

/* Removes in slices what was hidden for deletion: after a delete, and at start after a crash. */
enum status store_sweep_deleted(struct store *store, struct error *err) MUST_USE;
