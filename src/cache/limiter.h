/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: so many takes a window for each key, counted in process. Memory is bounded: with
 * too many keys the oldest windows are forgotten. Any thread. */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct limiter;

/* `limit` takes in `window_ms`, at most `keys_max` keys. */
struct limiter *limiter_new(unsigned limit, unsigned window_ms, size_t keys_max) MUST_USE;
struct limiter *limiter_free(struct limiter *limiter);
/* STATUS_RATE_LIMITED with retry_after_ms once `key` has used up its window; else counts one. */
enum status limiter_take(struct limiter *limiter, const char *key, int64_t now_ms,
                         struct error *err) MUST_USE;
/* Forgets `key`: a log-in that went well. */
void limiter_forget(struct limiter *limiter, const char *key);
