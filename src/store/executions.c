/* SPDX-License-Identifier: Apache-2.0 */
/* What an execution writes: its row, its steps and its events, in one write that shares its commit
 * with those of other executions. */
#include "store/executions.h"

#include <string.h>

#include "store/store_internal.h"

struct commit {
        struct execution_commit *parts;
        db_done_fn *done;
        void *arg;
};

/* --- The row ----------------------------------------------------------------------------------*/
/* Sets existing_id, "" if this key is new. */
static enum status find_key(struct db_conn *conn, const struct execution *row,
                            struct idempotency *idempotency, struct error *err)
{
        static const char sql[] = "SELECT execution_id, fingerprint FROM idempotency_keys"
                                  " WHERE user_id = ?1 AND workflow_id = ?2 AND key = ?3";
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_ROWS struct db_rows rows = {0};

        idempotency->existing_id[0] = '\0';
        idempotency->mismatch = false;
        if (db_query(conn, sql,
                     DB_ARGS(DB_TEXT(row->user_id), DB_TEXT(row->workflow_id),
                             DB_TEXT(idempotency->key)),
                     &rows, err))
                return err->status;
        if (!db_next(&rows, err))
                return err->status;
        snprintf(idempotency->existing_id, sizeof(idempotency->existing_id), "%s",
                 db_text(&rows, ctx, 0));
        idempotency->mismatch = strcmp(db_text(&rows, ctx, 1), idempotency->fingerprint) != 0;
        return STATUS_OK;
}

static enum status add_key(struct db_conn *conn, const struct execution *row,
                           const struct idempotency *idempotency, struct error *err)
{
        static const char sql[] = "INSERT INTO idempotency_keys"
                                  " (user_id, workflow_id, key, fingerprint, execution_id)"
                                  " VALUES (?1, ?2, ?3, ?4, ?5)";

        return db_exec(conn, sql,
                       DB_ARGS(DB_TEXT(row->user_id), DB_TEXT(row->workflow_id),
                               DB_TEXT(idempotency->key), DB_TEXT(idempotency->fingerprint),
                               DB_TEXT(row->id)),
                       NULL, err);
}

static enum status insert_row(struct db_conn *conn, const struct execution *row,
                              const char *lease_owner, struct error *err)
{
        static const char sql[] =
                "INSERT INTO executions (id, workflow_id, user_id, workflow_version, status,"
                " created_at, started_at, finished_at, lease_owner, user_input, context, output,"
                " error, usage)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

        return db_exec(conn, sql,
                       DB_ARGS(DB_TEXT(row->id), DB_TEXT(row->workflow_id), DB_TEXT(row->user_id),
                               DB_INT(row->workflow_version), DB_TEXT(row->status),
                               DB_INT(row->created_at), DB_INT(row->started_at),
                               DB_INT(row->finished_at), DB_TEXT(lease_owner),
                               DB_TEXT(row->user_input), DB_TEXT(row->context),
                               DB_TEXT(row->output), DB_TEXT(row->error), DB_TEXT(row->usage)),
                       NULL, err);
}

/* A lease ends with the execution; while it runs, one that is not named again stays. */
static enum status update_row(struct db_conn *conn, const struct execution *row,
                              const char *lease_owner, struct error *err)
{
        static const char sql[] =
                "UPDATE executions SET status = ?2, started_at = ?3, finished_at = ?4,"
                " lease_owner = CASE WHEN ?2 IN ('queued', 'running')"
                " THEN coalesce(?5, lease_owner) END,"
                " output = ?6, error = ?7, usage = ?8 WHERE id = ?1";

        return row_must_change(conn, sql,
                               DB_ARGS(DB_TEXT(row->id), DB_TEXT(row->status),
                                       DB_INT(row->started_at), DB_INT(row->finished_at),
                                       DB_TEXT(lease_owner), DB_TEXT(row->output),
                                       DB_TEXT(row->error), DB_TEXT(row->usage)),
                               "execution", err);
}

/* *ret_repeated: the key was seen before, nothing is to be written. */
static enum status insert_once(struct db_conn *conn, const struct execution_commit *parts,
                               bool *ret_repeated, struct error *err)
{
        struct idempotency *idempotency = parts->idempotency;
        bool keyed = idempotency && idempotency->key;

        if (keyed && find_key(conn, parts->insert, idempotency, err))
                return err->status;
        *ret_repeated = keyed && idempotency->existing_id[0];
        if (*ret_repeated)
                return STATUS_OK;
        if (insert_row(conn, parts->insert, parts->lease_owner, err))
                return err->status;
        return keyed ? add_key(conn, parts->insert, idempotency, err) : STATUS_OK;
}

/* --- Steps and events -------------------------------------------------------------------------*/
static enum status put_step(struct db_conn *conn, const char *execution_id, const struct step *step,
                            struct error *err)
{
        static const char sql[] =
                "INSERT INTO steps (execution_id, node_id, ordinal, type, status, attempt, "
                "started_at,"
                " finished_at, input, output, usage, error)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
                " ON CONFLICT (execution_id, node_id) DO UPDATE SET type = excluded.type,"
                " status = excluded.status, attempt = excluded.attempt,"
                " started_at = excluded.started_at, finished_at = excluded.finished_at,"
                " input = excluded.input, output = excluded.output, usage = excluded.usage,"
                " error = excluded.error";

        return db_exec(conn, sql,
                       DB_ARGS(DB_TEXT(execution_id), DB_TEXT(step->node_id), DB_INT(step->ordinal),
                               DB_TEXT(step->type), DB_TEXT(step->status), DB_INT(step->attempt),
                               DB_INT(step->started_at), DB_INT(step->finished_at),
                               DB_TEXT(step->input), DB_TEXT(step->output), DB_TEXT(step->usage),
                               DB_TEXT(step->error)),
                       NULL, err);
}

static enum status add_events(struct db_conn *conn, const struct execution_commit *parts,
                              struct error *err)
{
        static const char sql[] =
                "INSERT INTO event_batches (workflow_id, last_seq, first_seq, execution_id, packed)"
                " VALUES (?1, ?2, ?3, ?4, ?5)";
        const struct event_batch *batch = parts->events;

        return db_exec(conn, sql,
                       DB_ARGS(DB_TEXT(parts->workflow_id), DB_INT(batch->last_seq),
                               DB_INT(batch->first_seq), DB_TEXT(parts->execution_id),
                               DB_TEXT(batch->packed)),
                       NULL, err);
}

static enum status commit_parts(struct db_conn *conn, void *arg, struct error *err)
{
        const struct execution_commit *parts = ((struct commit *)arg)->parts;
        bool repeated = false;

        if (parts->insert && insert_once(conn, parts, &repeated, err))
                return err->status;
        if (repeated)
                return STATUS_OK;
        if (parts->update && update_row(conn, parts->update, parts->lease_owner, err))
                return err->status;
        for (size_t i = 0; i < parts->step_count; i++) {
                if (put_step(conn, parts->execution_id, &parts->steps[i], err))
                        return err->status;
        }
        return parts->events ? add_events(conn, parts, err) : STATUS_OK;
}

static void commit_done(void *arg, const struct error *err)
{
        struct commit *commit = arg;

        commit->done(commit->arg, err);
        mem_free(commit);
}

void store_commit_execution(struct store *store, struct execution_commit *parts, db_done_fn *done,
                            void *arg)
{
        struct commit *commit = mem_new(NULL, struct commit);

        *commit = (struct commit){parts, done, arg};
        db_write_async(store->db, commit_parts, commit, commit_done);
}

/* --- Retention --------------------------------------------------------------------------------*/
enum { ID_TIME_SIZE = 14 };

struct prune {
        int64_t before, limit, deleted;
        char id_before[ID_TIME_SIZE]; /* ids of executions created earlier are less */
};

#define PRUNED                                                                                     \
        " SELECT id FROM executions WHERE id < ?1 AND finished_at > 0 AND finished_at < ?2"        \
        " ORDER BY id LIMIT ?3"

#define HIGHEST_SEQ                                                                                \
        "(SELECT max(b.last_seq) FROM event_batches b WHERE b.workflow_id = workflows.id)"

/* Event numbers of a workflow never start over, so the highest one outlives its row. */
static enum status prune_slice(struct db_conn *conn, void *arg, struct error *err)
{
        static const char keep_seq_sql[] =
                "UPDATE workflows SET seq_floor = " HIGHEST_SEQ " WHERE seq_floor < " HIGHEST_SEQ
                " AND id IN (SELECT b.workflow_id FROM event_batches b"
                " WHERE b.execution_id IN (" PRUNED "))";
        static const char delete_sql[] = "DELETE FROM executions WHERE id IN (" PRUNED ")";
        struct prune *prune = arg;
        const struct db_args args =
                DB_ARGS(DB_TEXT(prune->id_before), DB_INT(prune->before), DB_INT(prune->limit));

        if (db_exec(conn, keep_seq_sql, args, NULL, err))
                return err->status;
        return db_exec(conn, delete_sql, args, &prune->deleted, err);
}

/* An id begins with the time it was made, so that old rows are found by the primary key: one that
 * finished before a time was also created before it. */
enum status store_prune_executions(struct store *store, int64_t before, int64_t limit,
                                   int64_t *ret_deleted, struct error *err)
{
        struct prune prune = {.before = before, .limit = limit};

        snprintf(prune.id_before, sizeof(prune.id_before), "%08llx-%04llx",
                 (unsigned long long)before >> 16 & 0xffffffff,
                 (unsigned long long)before & 0xffff);
        if (db_write(store->db, prune_slice, &prune, err))
                return err->status;
        *ret_deleted = prune.deleted;
        return STATUS_OK;
}
