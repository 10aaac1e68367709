/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to structs and back, by table; single rows, all rows, and pages of a list.
 *
 * A page asks for one row more than its limit: that row is never given out, it only tells that
 * there is a next page. */
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "store/store_internal.h"

enum { PAGE_LIMIT_MAX = 100, FILTERS_MAX = 6, ROWS_FIRST = 16 };

void row_read(const struct db_rows *rows, const struct row_type *type, const void *ctx, void *row)
{
        for (size_t i = 0; i < type->count; i++) {
                char *member = (char *)row + type->columns[i].offset;

                switch (type->columns[i].type) {
                case COLUMN_TEXT:
                        *(char **)(void *)member = db_text(rows, ctx, (int)i);
                        break;
                case COLUMN_INT:
                        *(int64_t *)(void *)member = db_int(rows, (int)i);
                        break;
                case COLUMN_REAL:
                        *(double *)(void *)member = db_real(rows, (int)i);
                        break;
                }
        }
}

struct db_args row_values(const struct row_type *type, const void *row,
                          struct db_value values[ROW_VALUES_MAX])
{
        for (size_t i = 0; i < type->count; i++) {
                const char *member = (const char *)row + type->columns[i].offset;

                switch (type->columns[i].type) {
                case COLUMN_TEXT:
                        values[i] = DB_TEXT(*(char *const *)(const void *)member);
                        break;
                case COLUMN_INT:
                        values[i] = DB_INT(*(const int64_t *)(const void *)member);
                        break;
                case COLUMN_REAL:
                        values[i] = DB_REAL(*(const double *)(const void *)member);
                        break;
                }
        }
        return (struct db_args){values, type->count};
}

/* --- Inside a db_fn ---------------------------------------------------------------------------*/
static enum status not_found(const char *name, struct error *err)
{
        return error_set(err, STATUS_NOT_FOUND, "There is no such %s", name);
}

enum status row_get(struct db_conn *conn, const struct row_query *query, void *ret,
                    struct error *err)
{
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, query->sql, query->args, &rows, err))
                return err->status;
        if (db_next(&rows, err)) {
                row_read(&rows, query->type, query->ctx, ret);
                return STATUS_OK;
        }
        return err->status ? err->status : not_found(query->type->name, err);
}

enum status row_get_all(struct db_conn *conn, const struct row_query *query, void **ret,
                        size_t *ret_count, struct error *err)
{
        const struct row_type *type = query->type;
        SCOPED_ROWS struct db_rows rows = {0};
        size_t count = 0, capacity = ROWS_FIRST;
        char *items;

        if (db_query(conn, query->sql, query->args, &rows, err))
                return err->status;
        items = mem_zero_(query->ctx, type->size, capacity, type->name);
        while (db_next(&rows, err)) {
                if (count == capacity) {
                        items = mem_resize_(query->ctx, items, type->size, capacity *= 2,
                                            type->name);
                        memset(items + count * type->size, 0, (capacity - count) * type->size);
                }
                row_read(&rows, type, items, items + count++ * type->size);
        }
        if (err->status) {
                mem_free(items);
                return err->status;
        }
        *ret = items;
        *ret_count = count;
        return STATUS_OK;
}

enum status row_get_int(struct db_conn *conn, const char *sql, struct db_args args,
                        int64_t fallback, int64_t *ret, struct error *err)
{
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, sql, args, &rows, err))
                return err->status;
        *ret = fallback;
        if (db_next(&rows, err) && !db_is_null(&rows, 0))
                *ret = db_int(&rows, 0);
        return err->status;
}

enum status row_must_change(struct db_conn *conn, const char *sql, struct db_args args,
                            const char *name, struct error *err)
{
        int64_t changed = 0;

        if (db_exec(conn, sql, args, &changed, err))
                return err->status;
        return changed ? STATUS_OK : not_found(name, err);
}

/* --- Whole operations -------------------------------------------------------------------------*/
struct get {
        const struct row_query *query;
        void *row;   /* of one */
        void *items; /* of all */
        size_t count;
};

static enum status get_row(struct db_conn *conn, void *arg, struct error *err)
{
        struct get *get = arg;

        return row_get(conn, get->query, get->row, err);
}

static enum status get_rows(struct db_conn *conn, void *arg, struct error *err)
{
        struct get *get = arg;

        return row_get_all(conn, get->query, &get->items, &get->count, err);
}

enum status store_get_row(struct store *store, const struct row_query *query, void *ret,
                          struct error *err)
{
        struct get get = {.query = query, .row = ret};

        return db_read(store->db, get_row, &get, err);
}

enum status store_get_rows(struct store *store, const struct row_query *query, void **ret,
                           size_t *ret_count, struct error *err)
{
        struct get get = {.query = query};

        if (db_read(store->db, get_rows, &get, err))
                return err->status;
        *ret = get.items;
        *ret_count = get.count;
        return STATUS_OK;
}

struct exec {
        const char *sql;
        struct db_args args;
        int64_t changed;
};

static enum status run_exec(struct db_conn *conn, void *arg, struct error *err)
{
        struct exec *exec = arg;

        return db_exec(conn, exec->sql, exec->args, &exec->changed, err);
}

enum status store_exec(struct store *store, const char *sql, struct db_args args,
                       int64_t *ret_changed, struct error *err)
{
        struct exec exec = {.sql = sql, .args = args};

        if (db_write(store->db, run_exec, &exec, err))
                return err->status;
        if (ret_changed)
                *ret_changed = exec.changed;
        return STATUS_OK;
}

enum status store_change(struct store *store, const char *sql, struct db_args args,
                         const char *name, struct error *err)
{
        int64_t changed = 0;

        if (store_exec(store, sql, args, &changed, err))
                return err->status;
        return changed ? STATUS_OK : not_found(name, err);
}

/* --- Pages ------------------------------------------------------------------------------------*/
struct page_read {
        const struct page_query *query;
        struct page *page;
        struct db_value values[FILTERS_MAX + 2]; /* filters, cursor, limit */
        void *items;
        size_t count;
};

static enum status bad_cursor(struct error *err)
{
        return error_set(err, STATUS_INVALID, "The cursor is not one that a list gave");
}

static enum status parse_cursor(const char *cursor, enum page_order order, struct db_value *ret,
                                struct error *err)
{
        char *end;
        long long number;

        if (order == PAGE_BY_ID) {
                /* Without one: after every id. */
                *ret = DB_TEXT(cursor ? cursor : "~");
                return !cursor || uuid_valid(cursor) ? STATUS_OK : bad_cursor(err);
        }
        if (!cursor) {
                *ret = DB_INT(order == PAGE_DOWN ? INT64_MAX : INT64_MIN);
                return STATUS_OK;
        }
        if (strlen(cursor) > 18 || cursor[strspn(cursor, "0123456789")] || !cursor[0])
                return bad_cursor(err);
        number = strtoll(cursor, &end, 10);
        *ret = DB_INT(number);
        return STATUS_OK;
}

/* The first column of the last row that is given out. */
static char *cursor_of(const struct page_read *read)
{
        const struct page_query *query = read->query;
        const char *row = (const char *)read->items + (read->count - 1) * query->type->size;
        const void *member = row + query->type->columns[0].offset;

        if (query->order == PAGE_BY_ID)
                return mem_strdup(query->ctx, *(char *const *)member);
        return mem_printf(query->ctx, "%lld", (long long)*(const int64_t *)member);
}

static enum status read_page(struct db_conn *conn, void *arg, struct error *err)
{
        struct page_read *read = arg;
        const struct page_query *query = read->query;
        struct row_query rows = {
                query->sql, {read->values, query->filters.count + 2}, query->type, query->ctx};

        if (row_get_int(conn, query->count_sql, query->filters, 0, &read->page->total, err))
                return err->status;
        return row_get_all(conn, &rows, &read->items, &read->count, err);
}

enum status store_get_page(struct store *store, const struct page_query *query, struct page *page,
                           void **ret, size_t *ret_count, struct error *err)
{
        struct page_read read = {.query = query, .page = page};
        size_t filters = query->filters.count;

        if (page->limit < 1 || page->limit > PAGE_LIMIT_MAX)
                return error_set(err, STATUS_INVALID, "limit must be between 1 and %d",
                                 PAGE_LIMIT_MAX);
        if (filters)
                memcpy(read.values, query->filters.values, filters * sizeof(read.values[0]));
        if (parse_cursor(page->cursor, query->order, &read.values[filters], err))
                return err->status;
        read.values[filters + 1] = DB_INT(page->limit + 1);
        if (db_read(store->db, read_page, &read, err))
                return err->status;
        page->next_cursor = NULL;
        if (read.count > (size_t)page->limit) {
                read.count = (size_t)page->limit;
                page->next_cursor = cursor_of(&read);
        }
        *ret = read.items;
        *ret_count = read.count;
        return STATUS_OK;
}
