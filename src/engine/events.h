/* SPDX-License-Identifier: Apache-2.0 */
/* Events: what happens in executions, numbered per workflow and told to whoever watches.
 *
 * Sequence numbers of a workflow rise by one, over all its executions and over restarts (after a
 * crash they jump ahead of anything that may have been seen). An event is told at once and
 * committed with the step that ends it; the one that ends an execution is told when it is
 * committed, so that whoever sees it reads the final row. A subscriber that names the last number
 * it saw gets everything after it, from the store, from memory and live, in order and without gap
 * or double. */
#pragma once

#include "store/executions.h"

struct events;
struct event_log; /* uncommitted events of one execution */

/* Complete JSON text of the contract's event shape; valid during the call. */
struct event {
        int64_t seq;
        const char *execution_id, *type;
        const char *json;
        size_t length;
};

/* Must not block; called in order, never concurrently for one subscription. */
typedef void event_fn(const struct event *event, void *arg);

struct subscription;

enum status events_new(struct store *store, struct events **ret, struct error *err) MUST_USE;
/* After the engine and all subscriptions. Takes NULL, returns NULL. */
struct events *events_free(struct events *events);

/* `execution_id` NULL: all of the workflow. `after` < 0: from now on, without the past. Blocks on
 * the store for the past and tells it before it returns: call it on a pool thread. */
enum status events_subscribe(struct events *events, const char *workflow_id,
                             const char *execution_id, int64_t after, event_fn *tell, void *arg,
                             struct subscription **ret, struct error *err) MUST_USE;
/* No call of `tell` is running or will come after it returns (not from within tell). Takes NULL. */
struct subscription *events_unsubscribe(struct subscription *subscription);

/* --- The engine's side -------------------------------------------------------------------------
 */
/* Called when the log should be committed soon although no step ended (a long stream, or many
 * other executions of the workflow); must not block nor use the log. */
typedef void event_log_full_fn(void *arg);

/* Reads the workflow's last number from the store if nobody follows it yet: before the execution's
 * row is written. Freed with ctx: what was not committed by then is forgotten. */
enum status event_log_new(struct events *events, const void *ctx, const char *workflow_id,
                          const char *execution_id, event_log_full_fn *full, void *arg,
                          struct event_log **ret, struct error *err) MUST_USE;

/* `type` is one of the contract's names; `data` is JSON text of an object (NULL: {}); `node_id` may
 * be NULL. Any thread. */
void event_emit(struct event_log *log, const char *type, const char *node_id, const char *data);
/* node_token. Any thread. */
void event_emit_token(struct event_log *log, const char *node_id, const char *text, size_t length);
/* node_completed with `output` (JSON text) as first member of data. The batch leaves it out: it is
 * in the step that is committed with it. */
void event_emit_output(struct event_log *log, const char *node_id, const char *output,
                       const char *data);
/* The event that ends the execution, told by event_log_committed; later ones are dropped. `output`
 * (NULL: none) as above, from the execution's row. */
void event_emit_final(struct event_log *log, const char *type, const char *output,
                      const char *data);

/* Packs what was emitted since the last call for a commit (false: nothing). One batch at a time:
 * event_log_committed comes before the next call; until then the packed text is the log's. */
bool event_log_take(struct event_log *log, const void *ctx, struct event_batch *ret);
/* The batch is in the store: forgets the in-memory copies. */
void event_log_committed(struct event_log *log, const struct event_batch *batch);
