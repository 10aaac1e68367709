/* SPDX-License-Identifier: Apache-2.0 */
/* Cache: bytes by key for a limited time, in process. Its memory is bounded: past the bound, what
 * was not used for longest goes first. Nobody may depend on finding anything. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct cache;

struct cache_options {
        size_t bytes_max;        /* of keys, values and what is kept about them */
        int64_t (*now_us)(void); /* NULL: clock_monotonic_us */
};

struct cache *cache_new(const struct cache_options *options) MUST_USE;
/* Takes NULL, returns NULL. */
struct cache *cache_free(struct cache *cache);

/* Keeps a copy for `ttl_ms`, in place of what `key` had. A value past the whole bound is not kept.
 */
void cache_put(struct cache *cache, const char *key, const void *data, size_t length,
               unsigned ttl_ms);
/* A copy below ctx with a NUL after it; false if there is none (any more), then *ret_data and
 * *ret_length are untouched. Counts as hit or miss. */
bool cache_get(struct cache *cache, const void *ctx, const char *key, char **ret_data,
               size_t *ret_length);
