/* SPDX-License-Identifier: Apache-2.0 */
/* Reading executions, their steps and their events. */
#include "store/executions.h"
#include "store/store_internal.h"

static const struct column execution_columns[] = {
        TEXT_COLUMN(struct execution, id),         TEXT_COLUMN(struct execution, workflow_id),
        TEXT_COLUMN(struct execution, user_id),    INT_COLUMN(struct execution, workflow_version),
        TEXT_COLUMN(struct execution, status),     INT_COLUMN(struct execution, created_at),
        INT_COLUMN(struct execution, started_at),  INT_COLUMN(struct execution, finished_at),
        TEXT_COLUMN(struct execution, user_input), TEXT_COLUMN(struct execution, context),
        TEXT_COLUMN(struct execution, output),     TEXT_COLUMN(struct execution, error),
        TEXT_COLUMN(struct execution, usage),
};
static const struct row_type execution_type =
        ROW_TYPE(struct execution, "execution", execution_columns);

#define SELECT_EXECUTION                                                                           \
        "SELECT id, workflow_id, user_id, workflow_version, status, created_at, started_at,"       \
        " finished_at, user_input, context, output, error, usage FROM executions"

static const char get_sql[] = SELECT_EXECUTION " WHERE id = ?1 AND (?2 IS NULL OR user_id = ?2)";

static const struct column step_columns[] = {
        TEXT_COLUMN(struct step, node_id),   TEXT_COLUMN(struct step, type),
        TEXT_COLUMN(struct step, status),    INT_COLUMN(struct step, attempt),
        INT_COLUMN(struct step, started_at), INT_COLUMN(struct step, finished_at),
        TEXT_COLUMN(struct step, input),     TEXT_COLUMN(struct step, output),
        TEXT_COLUMN(struct step, usage),     TEXT_COLUMN(struct step, error),
};
static const struct row_type step_type = ROW_TYPE(struct step, "step", step_columns);

/* In the order in which they began; those that have not, last. */
static const char steps_sql[] =
        "SELECT node_id, type, status, attempt, started_at, finished_at, input, output, usage,"
        " error FROM steps WHERE execution_id = ?1 ORDER BY ordinal, node_id";

enum status store_get_execution(struct store *store, const void *ctx, const char *owner_id,
                                const char *id, struct execution *ret, struct error *err)
{
        const struct row_query query = {get_sql, DB_ARGS(DB_TEXT(id), DB_TEXT(owner_id)),
                                        &execution_type, ctx};

        return store_get_row(store, &query, ret, err);
}

enum status store_get_steps(struct store *store, const void *ctx, const char *execution_id,
                            struct step **ret, size_t *ret_count, struct error *err)
{
        const struct row_query query = {steps_sql, DB_ARGS(DB_TEXT(execution_id)), &step_type, ctx};

        return store_get_rows(store, &query, (void **)ret, ret_count, err);
}

struct get_full {
        struct row_query execution, steps;
        struct execution *ret;
        void *items;
        size_t count;
};

static enum status get_full(struct db_conn *conn, void *arg, struct error *err)
{
        struct get_full *get = arg;

        if (row_get(conn, &get->execution, get->ret, err))
                return err->status;
        return row_get_all(conn, &get->steps, &get->items, &get->count, err);
}

enum status store_get_execution_full(struct store *store, const void *ctx, const char *owner_id,
                                     const char *id, struct execution *ret, struct step **ret_steps,
                                     size_t *ret_count, struct error *err)
{
        struct get_full get = {
                .execution = {get_sql, DB_ARGS(DB_TEXT(id), DB_TEXT(owner_id)), &execution_type,
                              ctx},
                .steps = {steps_sql, DB_ARGS(DB_TEXT(id)), &step_type, ctx},
                .ret = ret,
        };

        if (db_read(store->db, get_full, &get, err))
                return err->status;
        *ret_steps = get.items;
        *ret_count = get.count;
        return STATUS_OK;
}

/* --- Lists ------------------------------------------------------------------------------------*/
/* Two statements, so that each walks the index of its order. */
#define OF_WORKFLOW                                                                                \
        " FROM executions WHERE workflow_id = ?2 AND (?1 IS NULL OR user_id = ?1)"                 \
        " AND (?3 IS NULL OR status = ?3)"
#define OF_USER " FROM executions WHERE user_id = ?1 AND ?2 IS NULL AND (?3 IS NULL OR status = ?3)"
#define EXECUTION_COLUMNS                                                                          \
        "SELECT id, workflow_id, user_id, workflow_version, status, created_at, started_at,"       \
        " finished_at, user_input, context, output, error, usage"
#define PAGE_BELOW_4 " AND id < ?4 ORDER BY id DESC LIMIT ?5"

enum status store_list_executions(struct store *store, const void *ctx, const char *owner_id,
                                  const char *workflow_id, const char *status, struct page *page,
                                  struct execution **ret, size_t *ret_count, struct error *err)
{
        struct page_query query = {
                .sql = EXECUTION_COLUMNS OF_USER PAGE_BELOW_4,
                .count_sql = "SELECT count(*)" OF_USER,
                .filters = DB_ARGS(DB_TEXT(owner_id), DB_TEXT(workflow_id), DB_TEXT(status)),
                .type = &execution_type,
                .ctx = ctx,
        };

        if (workflow_id) {
                query.sql = EXECUTION_COLUMNS OF_WORKFLOW PAGE_BELOW_4;
                query.count_sql = "SELECT count(*)" OF_WORKFLOW;
        }
        return store_get_page(store, &query, page, (void **)ret, ret_count, err);
}

/* Ordered by id alone, all the finished ones would be walked past. */
enum status store_unfinished_executions(struct store *store, const void *ctx,
                                        struct execution **ret, size_t *ret_count,
                                        struct error *err)
{
        static const char sql[] =
                SELECT_EXECUTION " WHERE status IN ('queued', 'running') ORDER BY created_at, id";
        const struct row_query query = {sql, DB_NO_ARGS, &execution_type, ctx};

        return store_get_rows(store, &query, (void **)ret, ret_count, err);
}

/* --- Events -----------------------------------------------------------------------------------*/
enum status store_get_events(struct store *store, const void *ctx, const char *workflow_id,
                             const char *execution_id, int64_t after, size_t limit,
                             struct event_batch **ret, size_t *ret_count, struct error *err)
{
        static const char all_sql[] =
                "SELECT execution_id, first_seq, last_seq, packed FROM event_batches"
                " WHERE workflow_id = ?1 AND ?2 IS NULL AND last_seq > ?3"
                " ORDER BY last_seq LIMIT ?4";
        static const char one_sql[] =
                "SELECT execution_id, first_seq, last_seq, packed FROM event_batches"
                " WHERE execution_id = ?2 AND last_seq > ?3 AND EXISTS (SELECT 1"
                " FROM executions WHERE id = ?2 AND workflow_id = ?1) ORDER BY last_seq LIMIT ?4";
        static const struct column columns[] = {
                TEXT_COLUMN(struct event_batch, execution_id),
                INT_COLUMN(struct event_batch, first_seq),
                INT_COLUMN(struct event_batch, last_seq),
                TEXT_COLUMN(struct event_batch, packed),
        };
        static const struct row_type type = ROW_TYPE(struct event_batch, "event", columns);
        const struct row_query query = {
                execution_id ? one_sql : all_sql,
                DB_ARGS(DB_TEXT(workflow_id), DB_TEXT(execution_id), DB_INT(after), DB_INT(limit)),
                &type, ctx};

        return store_get_rows(store, &query, (void **)ret, ret_count, err);
}

struct last_seq {
        const char *workflow_id;
        int64_t floor, seq, unfinished;
};

static enum status get_last_seq(struct db_conn *conn, void *arg, struct error *err)
{
        static const char floor_sql[] = "SELECT seq_floor FROM workflows WHERE id = ?1";
        static const char seq_sql[] =
                "SELECT max(last_seq) FROM event_batches WHERE workflow_id = ?1";
        static const char unfinished_sql[] =
                "SELECT 1 FROM executions WHERE status IN ('queued', 'running')"
                " AND workflow_id = ?1 LIMIT 1";
        struct last_seq *last = arg;
        const struct db_args args = DB_ARGS(DB_TEXT(last->workflow_id));

        if (row_get_int(conn, floor_sql, args, 0, &last->floor, err) ||
            row_get_int(conn, seq_sql, args, 0, &last->seq, err))
                return err->status;
        return row_get_int(conn, unfinished_sql, args, 0, &last->unfinished, err);
}

enum status store_last_seq(struct store *store, const char *workflow_id, int64_t *ret_seq,
                           bool *ret_unfinished, struct error *err)
{
        struct last_seq last = {.workflow_id = workflow_id};

        if (db_read(store->db, get_last_seq, &last, err))
                return err->status;
        *ret_seq = last.seq > last.floor ? last.seq : last.floor;
        *ret_unfinished = last.unfinished != 0;
        return STATUS_OK;
}
