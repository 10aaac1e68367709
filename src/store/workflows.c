/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows. The row says which version is current; the graphs of all versions, the current one
 * too, are rows of workflow_versions, so that a save writes the graph once. */
#include "store/workflows.h"

#include "base/clock.h"
#include "base/uuid.h"
#include "store/store_internal.h"

static const char name[] = "workflow";

static const char insert_version_sql[] =
        "INSERT INTO workflow_versions (workflow_id, version, created_at, name, graph)"
        " VALUES (?1, ?2, ?3, ?4, ?5)";

static enum status insert_version(struct db_conn *conn, const struct workflow *row,
                                  struct error *err)
{
        return db_exec(conn, insert_version_sql,
                       DB_ARGS(DB_TEXT(row->id), DB_INT(row->version), DB_INT(row->updated_at),
                               DB_TEXT(row->name), DB_TEXT(row->graph)),
                       NULL, err);
}

/* --- Creating and reading ---------------------------------------------------------------------*/
static enum status create_workflow(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] =
                "INSERT INTO workflows"
                " (id, owner_id, name, description, version, created_at, updated_at)"
                " VALUES (?1, ?2, ?3, coalesce(?4, ''), ?5, ?6, ?7)";
        const struct workflow *row = arg;

        if (db_exec(conn, sql,
                    DB_ARGS(DB_TEXT(row->id), DB_TEXT(row->owner_id), DB_TEXT(row->name),
                            DB_TEXT(row->description), DB_INT(row->version),
                            DB_INT(row->created_at), DB_INT(row->updated_at)),
                    NULL, err))
                return err->status;
        return insert_version(conn, row, err);
}

enum status store_create_workflow(struct store *store, struct workflow *workflow, const void *ctx,
                                  struct error *err)
{
        struct workflow row = *workflow;
        char id[UUID_TEXT_SIZE];

        if (!row.id)
                row.id = uuid_new(id);
        row.version = 1;
        row.created_at = row.updated_at = clock_wall_ms();
        if (db_write(store->db, create_workflow, &row, err))
                return err->status;
        if (!workflow->id)
                workflow->id = mem_strdup(ctx, row.id);
        workflow->version = row.version;
        workflow->created_at = row.created_at;
        workflow->updated_at = row.updated_at;
        return STATUS_OK;
}

enum status store_get_workflow(struct store *store, const void *ctx, const char *owner_id,
                               const char *id, struct workflow *ret, struct error *err)
{
        static const char sql[] =
                "SELECT w.id, w.owner_id, w.name, w.description, v.graph, w.version, w.created_at,"
                " w.updated_at FROM workflows w"
                " JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.version"
                " WHERE w.id = ?1 AND (?2 IS NULL OR w.owner_id = ?2) AND w.deleted_at = 0";
        static const struct column columns[] = {
                TEXT_COLUMN(struct workflow, id),        TEXT_COLUMN(struct workflow, owner_id),
                TEXT_COLUMN(struct workflow, name),      TEXT_COLUMN(struct workflow, description),
                TEXT_COLUMN(struct workflow, graph),     INT_COLUMN(struct workflow, version),
                INT_COLUMN(struct workflow, created_at), INT_COLUMN(struct workflow, updated_at),
        };
        static const struct row_type type = ROW_TYPE(struct workflow, name, columns);
        const struct row_query query = {sql, DB_ARGS(DB_TEXT(id), DB_TEXT(owner_id)), &type, ctx};

        return store_get_row(store, &query, ret, err);
}

enum status store_check_workflow(struct store *store, const char *owner_id, const char *id,
                                 int64_t *ret_version, struct error *err)
{
        static const char sql[] = "SELECT version FROM workflows WHERE id = ?1"
                                  " AND (?2 IS NULL OR owner_id = ?2) AND deleted_at = 0";
        static const struct column columns[] = {{COLUMN_INT, 0}};
        static const struct row_type type = {name, columns, 1, sizeof(int64_t)};
        const struct row_query query = {sql, DB_ARGS(DB_TEXT(id), DB_TEXT(owner_id)), &type, NULL};

        return store_get_row(store, &query, ret_version, err);
}

enum status store_list_workflows(struct store *store, const void *ctx, const char *owner_id,
                                 struct page *page, struct workflow_summary **ret,
                                 size_t *ret_count, struct error *err)
{
        static const struct column columns[] = {
                TEXT_COLUMN(struct workflow_summary, workflow.id),
                TEXT_COLUMN(struct workflow_summary, workflow.owner_id),
                TEXT_COLUMN(struct workflow_summary, workflow.name),
                TEXT_COLUMN(struct workflow_summary, workflow.description),
                INT_COLUMN(struct workflow_summary, workflow.version),
                INT_COLUMN(struct workflow_summary, workflow.created_at),
                INT_COLUMN(struct workflow_summary, workflow.updated_at),
                TEXT_COLUMN(struct workflow_summary, last_execution_id),
                TEXT_COLUMN(struct workflow_summary, last_status),
                INT_COLUMN(struct workflow_summary, last_finished_at),
        };
        static const struct row_type type = ROW_TYPE(struct workflow_summary, name, columns);
        const struct page_query query = {
                .sql = "SELECT w.id, w.owner_id, w.name, w.description, w.version, w.created_at,"
                       " w.updated_at, e.id, e.status, e.finished_at FROM workflows w"
                       " LEFT JOIN executions e ON e.id = (SELECT max(last.id)"
                       " FROM executions last WHERE last.workflow_id = w.id)"
                       " WHERE w.owner_id = ?1 AND w.deleted_at = 0 AND w.id < ?2"
                       " ORDER BY w.id DESC LIMIT ?3",
                .count_sql =
                        "SELECT count(*) FROM workflows WHERE owner_id = ?1 AND deleted_at = 0",
                .filters = DB_ARGS(DB_TEXT(owner_id)),
                .type = &type,
                .ctx = ctx,
        };

        return store_get_page(store, &query, page, (void **)ret, ret_count, err);
}

/* --- Saving -----------------------------------------------------------------------------------*/
struct save {
        struct workflow row;
        int64_t expected_version;
};

static enum status save_workflow(struct db_conn *conn, void *arg, struct error *err)
{
        static const char version_sql[] = "SELECT version FROM workflows WHERE id = ?1"
                                          " AND (?2 IS NULL OR owner_id = ?2) AND deleted_at = 0";
        static const char update_sql[] =
                "UPDATE workflows SET name = ?2, description = coalesce(?3, ''), version = ?4,"
                " updated_at = ?5 WHERE id = ?1";
        struct save *save = arg;
        struct workflow *row = &save->row;
        int64_t current = 0;

        if (row_get_int(conn, version_sql, DB_ARGS(DB_TEXT(row->id), DB_TEXT(row->owner_id)), 0,
                        &current, err))
                return err->status;
        if (!current)
                return error_set(err, STATUS_NOT_FOUND, "There is no such workflow");
        if (save->expected_version > 0 && save->expected_version != current)
                return error_set(
                        err, STATUS_CONFLICT,
                        "The workflow was changed meanwhile: it is at version %lld, not %lld",
                        (long long)current, (long long)save->expected_version);
        row->version = current + 1;
        if (db_exec(conn, update_sql,
                    DB_ARGS(DB_TEXT(row->id), DB_TEXT(row->name), DB_TEXT(row->description),
                            DB_INT(row->version), DB_INT(row->updated_at)),
                    NULL, err))
                return err->status;
        return insert_version(conn, row, err);
}

enum status store_update_workflow(struct store *store, struct workflow *workflow,
                                  int64_t expected_version, struct error *err)
{
        struct save save = {*workflow, expected_version};

        save.row.updated_at = clock_wall_ms();
        if (db_write(store->db, save_workflow, &save, err))
                return err->status;
        workflow->version = save.row.version;
        workflow->updated_at = save.row.updated_at;
        return STATUS_OK;
}

/* --- Versions ---------------------------------------------------------------------------------*/
#define OWNED_WORKFLOW                                                                             \
        " EXISTS (SELECT 1 FROM workflows w WHERE w.id = ?1"                                       \
        " AND (?2 IS NULL OR w.owner_id = ?2) AND w.deleted_at = 0)"

enum status store_list_versions(struct store *store, const void *ctx, const char *owner_id,
                                const char *workflow_id, struct page *page,
                                struct workflow_version **ret, size_t *ret_count, struct error *err)
{
        static const struct column columns[] = {
                INT_COLUMN(struct workflow_version, version),
                INT_COLUMN(struct workflow_version, created_at),
                TEXT_COLUMN(struct workflow_version, name),
        };
        static const struct row_type type = ROW_TYPE(struct workflow_version, "version", columns);
        const struct page_query query = {
                .sql = "SELECT version, created_at, name FROM workflow_versions"
                       " WHERE workflow_id = ?1 AND" OWNED_WORKFLOW
                       " AND version < ?3 ORDER BY version DESC LIMIT ?4",
                .count_sql = "SELECT count(*) FROM workflow_versions"
                             " WHERE workflow_id = ?1 AND" OWNED_WORKFLOW,
                .filters = DB_ARGS(DB_TEXT(workflow_id), DB_TEXT(owner_id)),
                .type = &type,
                .ctx = ctx,
                .order = PAGE_DOWN,
        };

        if (store_get_page(store, &query, page, (void **)ret, ret_count, err))
                return err->status;
        if (page->total == 0) /* a workflow has at least one */
                return error_set(err, STATUS_NOT_FOUND, "There is no such workflow");
        return STATUS_OK;
}

enum status store_get_version(struct store *store, const void *ctx, const char *owner_id,
                              const char *workflow_id, int64_t version,
                              struct workflow_version *ret, struct error *err)
{
        static const char sql[] = "SELECT version, created_at, name, graph FROM workflow_versions"
                                  " WHERE workflow_id = ?1 AND version = ?3 AND" OWNED_WORKFLOW;
        static const struct column columns[] = {
                INT_COLUMN(struct workflow_version, version),
                INT_COLUMN(struct workflow_version, created_at),
                TEXT_COLUMN(struct workflow_version, name),
                TEXT_COLUMN(struct workflow_version, graph),
        };
        static const struct row_type type = ROW_TYPE(struct workflow_version, "version", columns);
        const struct row_query query = {
                sql, DB_ARGS(DB_TEXT(workflow_id), DB_TEXT(owner_id), DB_INT(version)), &type, ctx};

        return store_get_row(store, &query, ret, err);
}
