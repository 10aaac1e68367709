/* SPDX-License-Identifier: Apache-2.0 */
/* Worker pool: threads that run what may block (database, hashing, files), behind a bounded queue.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct pool;
typedef void pool_fn(void *arg);

/* `threads` workers named `name` (15 bytes are kept), at most `queue_max` waiting jobs. */
enum status pool_new(const char *name, size_t threads, size_t queue_max, struct pool **ret,
                     struct error *err) MUST_USE;
/* Waits for queued jobs, stops the threads. Takes NULL, returns NULL. */
struct pool *pool_free(struct pool *pool);

/* Runs fn(arg) on a worker. STATUS_UNAVAILABLE at once if the queue is full. Any thread. */
enum status pool_submit(struct pool *pool, pool_fn *fn, void *arg, struct error *err) MUST_USE;
/* The same for work whose amount is bounded elsewhere (continuations of executions): the queue's
 * maximum does not apply, so it cannot fail. Any thread. */
void pool_continue(struct pool *pool, pool_fn *fn, void *arg);
size_t pool_waiting(struct pool *pool); /* jobs not yet begun */
