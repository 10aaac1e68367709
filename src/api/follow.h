/* SPDX-License-Identifier: Apache-2.0 */
/* Following the events of an execution as server-sent events. */
#pragma once

#include "api/app.h"

/* `after` of the query or Last-Event-ID, else `fallback`. */
enum status follow_after(struct request *req, int64_t fallback, int64_t *ret,
                         struct error *err) MUST_USE;

/* Called once after the last event was queued, on a watcher thread; may send more before the
 * stream ends. */
typedef void follow_end_fn(struct stream *stream, void *arg);

/* Streams events after `after` until the execution ends, then `at_end` (may be NULL), then closes.
 * `arg` must live until then: a child of no request. It is mem_freed at the very end. */
struct reply follow_execution(struct request *req, const char *workflow_id,
                              const char *execution_id, int64_t after, follow_end_fn *at_end,
                              void *arg) MUST_USE;
