/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations: numbered SQL files, each applied once, in order, in a transaction of its own.
 *
 * The table schema_migrations remembers what was applied, with the file's checksum. A database is
 * refused when it knows a migration that the program does not (it is newer), or knows it with other
 * content (the file was edited after it had been applied: databases would differ without a trace).
 * Programs that start together take turns: each looks again under the write lock. */
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "db/db_internal.h"

static const char create_table[] = "CREATE TABLE schema_migrations ("
                                   " version INTEGER PRIMARY KEY,"
                                   " name TEXT NOT NULL,"
                                   " checksum TEXT NOT NULL,"
                                   " applied_at BIGINT NOT NULL)";
static const char select_applied[] =
        "SELECT version, name, checksum FROM schema_migrations ORDER BY version";
static const char insert_applied[] = "INSERT INTO schema_migrations"
                                     " (version, name, checksum, applied_at)"
                                     " VALUES (?1, ?2, ?3, ?4)";
static const char select_version[] = "SELECT coalesce(max(version), 0) FROM schema_migrations";

struct migration_state {
        const struct db_migration *list;
        const struct db_migration *next; /* out: first one missing; version 0: none */
        bool has_table;
};

static unsigned latest_version(const struct db_migration *list)
{
        unsigned version = 0;

        for (; list->version; list++)
                version = list->version;
        return version;
}

static enum status find_table(struct db_conn *conn, bool *ret, struct error *err)
{
        SCOPED_ROWS struct db_rows rows = {0};

        if (db_query(conn, conn->driver->has_table_sql, DB_ARGS(DB_TEXT("schema_migrations")),
                     &rows, err))
                return err->status;
        *ret = db_next(&rows, err);
        return err->status;
}

/* One applied migration against the one that the program has in its place. */
static enum status check_applied(const struct db_rows *rows, const struct migration_state *state,
                                 struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct db_migration *known = state->next;
        unsigned latest = latest_version(state->list);
        int64_t version = db_int(rows, 0);

        if (version > latest)
                return error_set(err, STATUS_CONFLICT,
                                 "The database is newer (schema version %lld) than this program "
                                 "(%u): start a newer flowgenix",
                                 (long long)version, latest);
        if (version != known->version)
                return error_set(err, STATUS_CONFLICT,
                                 "The database has migration %lld where %u was expected",
                                 (long long)version, known->version);
        if (strcmp(db_text(rows, ctx, 2), known->checksum) != 0)
                return error_set(err, STATUS_CONFLICT,
                                 "Migration %s was edited after it was applied to this database",
                                 known->name);
        return STATUS_OK;
}

/* A db_fn: compares what was applied with the list, finds the next one. */
static enum status inspect(struct db_conn *conn, void *arg, struct error *err)
{
        struct migration_state *state = arg;
        SCOPED_ROWS struct db_rows rows = {0};

        state->next = state->list;
        if (find_table(conn, &state->has_table, err) || !state->has_table)
                return err->status;
        if (db_query(conn, select_applied, DB_NO_ARGS, &rows, err))
                return err->status;
        while (db_next(&rows, err)) {
                if (check_applied(&rows, state, err))
                        return err->status;
                state->next++;
        }
        return err->status;
}

/* A db_fn: applies the next missing migration; none: another program was faster. */
static enum status apply_next(struct db_conn *conn, void *arg, struct error *err)
{
        struct migration_state *state = arg;
        const struct db_migration *migration;

        if (inspect(conn, state, err))
                return err->status;
        migration = state->next;
        if (!migration->version)
                return STATUS_OK;
        if (!state->has_table && conn->driver->script(conn, create_table, err))
                return err->status;
        if (conn->driver->script(conn, migration->sql, err))
                return error_prefix(err, "Migration %s", migration->name);
        return db_exec(conn, insert_applied,
                       DB_ARGS(DB_INT(migration->version), DB_TEXT(migration->name),
                               DB_TEXT(migration->checksum), DB_INT(clock_wall_ms())),
                       NULL, err);
}

enum status db_migrate_list(struct db *db, const struct db_migration *migrations,
                            unsigned *ret_applied, struct error *err)
{
        struct migration_state state = {.list = migrations};
        unsigned applied = 0;

        if (db_read(db, inspect, &state, err))
                return err->status;
        while (state.next->version) {
                if (db_write(db, apply_next, &state, err))
                        return err->status;
                if (state.next->version)
                        applied++;
        }
        if (ret_applied)
                *ret_applied = applied;
        return STATUS_OK;
}

enum status db_migrate(struct db *db, unsigned *ret_applied, struct error *err)
{
        return db_migrate_list(db, db->driver->migrations, ret_applied, err);
}

static enum status read_version(struct db_conn *conn, void *arg, struct error *err)
{
        SCOPED_ROWS struct db_rows rows = {0};
        bool has_table = false;

        if (find_table(conn, &has_table, err) || !has_table)
                return err->status;
        if (db_query(conn, select_version, DB_NO_ARGS, &rows, err))
                return err->status;
        if (db_next(&rows, err))
                *(unsigned *)arg = (unsigned)db_int(&rows, 0);
        return err->status;
}

enum status db_schema_version(struct db *db, unsigned *ret_current, unsigned *ret_latest,
                              struct error *err)
{
        *ret_current = 0;
        *ret_latest = latest_version(db->driver->migrations);
        return db_read(db, read_version, ret_current, err);
}
