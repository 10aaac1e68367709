/* SPDX-License-Identifier: Apache-2.0 */
/* The store: opening, migrating, and the check that /health asks for. */
#include "base/clock.h"
#include "store/store_internal.h"

enum status store_open(const char *url, struct store **ret, struct error *err)
{
        struct store *store = mem_new(NULL, struct store);

        if (db_open(url, NULL, &store->db, err) || db_migrate(store->db, NULL, err) ||
            store_sweep_deleted(store, err)) {
                store_free(store);
                return err->status;
        }
        *ret = store;
        return STATUS_OK;
}

struct store *store_free(struct store *store)
{
        if (!store)
                return NULL;
        db_free(store->db);
        return mem_free(store);
}

struct db *store_db(struct store *store)
{
        return store->db;
}

enum status store_ping(struct store *store, struct error *err)
{
        static const char write_sql[] =
                "INSERT INTO health (id, checked_at) VALUES (1, ?1)"
                " ON CONFLICT (id) DO UPDATE SET checked_at = excluded.checked_at";
        static const char read_sql[] = "SELECT checked_at FROM health WHERE id = 1";
        static const struct column columns[] = {{COLUMN_INT, 0}};
        static const struct row_type type = {"health record", columns, 1, sizeof(int64_t)};
        const struct row_query query = {read_sql, DB_NO_ARGS, &type, NULL};
        int64_t written = clock_wall_ms(), found = 0;

        if (store_exec(store, write_sql, DB_ARGS(DB_INT(written)), NULL, err))
                return err->status;
        if (store_get_row(store, &query, &found, err))
                return err->status;
        if (found < written) /* others may ping at the same time */
                return error_set(err, STATUS_UNAVAILABLE, "The database lost what was written");
        return STATUS_OK;
}
