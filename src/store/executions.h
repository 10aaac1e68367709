/* SPDX-License-Identifier: Apache-2.0 */
/* Executions, their steps and their events.
 *
 * What an execution changes is written as a `struct execution_commit`: the row, finished steps and
 * a batch of events, all in one write that shares its commit with others. */
#pragma once

#include "store/store.h"

/* JSON columns hold text; NULL is SQL NULL. */
struct execution {
        char *id, *workflow_id, *user_id;
        int64_t workflow_version;
        char *status; /* queued running completed failed cancelled */
        char *user_input;
        char *context;                /* JSON object given by the caller */
        char *output, *error, *usage; /* JSON */
        int64_t created_at, started_at, finished_at;
};

struct step {
        char *node_id, *type;
        int64_t ordinal; /* place in the graph's order; steps are listed by it */
        char *status;    /* pending running completed failed skipped */
        int64_t attempt;
        int64_t started_at, finished_at;
        char *input, *output, *usage, *error; /* JSON */
};

/* Events first_seq..last_seq of one execution, in a form that the engine packs and reads. */
struct event_batch {
        char *execution_id;
        int64_t first_seq, last_seq;
        char *packed;
};

/* Repeating a request with the same key gives the first one's execution. */
struct idempotency {
        const char *key;         /* NULL: none */
        const char *fingerprint; /* hash of the body */
        char existing_id[37];    /* out: the execution of an earlier request, or "" */
        bool mismatch;           /* out: the earlier body was another one */
};

/* Borrowed by the write until done is called. Any part may be absent (NULL, count 0). */
struct execution_commit {
        const struct execution *insert; /* new row */
        struct idempotency
                *idempotency; /* with insert: an existing key turns the write into a no-op */
        const struct execution *update; /* status, output, error, usage, started_at, finished_at */
        const char *lease_owner;        /* with insert or update to running: who runs it */
        const char *execution_id;       /* of steps and events */
        const char *workflow_id;
        const struct step *steps; /* inserted or replaced by node id */
        size_t step_count;
        const struct event_batch *events;
};

/* done is called on the database's writer thread after the commit. */
void store_commit_execution(struct store *store, struct execution_commit *commit, db_done_fn *done,
                            void *arg);

enum status store_get_execution(struct store *store, const void *ctx, const char *owner_id,
                                const char *id, struct execution *ret, struct error *err) MUST_USE;
enum status store_get_steps(struct store *store, const void *ctx, const char *execution_id,
                            struct step **ret, size_t *ret_count, struct error *err) MUST_USE;
/* Execution and steps in one snapshot. */
enum status store_get_execution_full(struct store *store, const void *ctx, const char *owner_id,
                                     const char *id, struct execution *ret, struct step **ret_steps,
                                     size_t *ret_count, struct error *err) MUST_USE;
/* `workflow_id` and `status` filter when not NULL. */
enum status store_list_executions(struct store *store, const void *ctx, const char *owner_id,
                                  const char *workflow_id, const char *status, struct page *page,
                                  struct execution **ret, size_t *ret_count,
                                  struct error *err) MUST_USE;
/* Executions that are queued or running, oldest first: what a start after a crash takes up. */
enum status store_unfinished_executions(struct store *store, const void *ctx,
                                        struct execution **ret, size_t *ret_count,
                                        struct error *err) MUST_USE;
/* Batches of a workflow (or of one execution when not NULL) with last_seq > after, in order, at
 * most `limit`. */
enum status store_get_events(struct store *store, const void *ctx, const char *workflow_id,
                             const char *execution_id, int64_t after, size_t limit,
                             struct event_batch **ret, size_t *ret_count,
                             struct error *err) MUST_USE;
/* Highest committed sequence number of the workflow (0: none), and whether executions of it are
 * unfinished (then uncommitted numbers above it may have been seen). */
enum status store_last_seq(struct store *store, const char *workflow_id, int64_t *ret_seq,
                           bool *ret_unfinished, struct error *err) MUST_USE;
/* Deletes finished executions (steps, events, idempotency keys) older than `before`, at most
 * `limit` in one write; *ret_deleted tells whether to go on. */
enum status store_prune_executions(struct store *store, int64_t before, int64_t limit,
                                   int64_t *ret_deleted, struct error *err) MUST_USE;
