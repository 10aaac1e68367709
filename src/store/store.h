/* SPDX-License-Identifier: Apache-2.0 */
/* The store: users, workflows, executions, documents and chat at rest, written once over db/db.h.
 *
 * Every function may block on the database and may be called by any thread. Results live below the
 * `ctx` given. Times are milliseconds since 1970 UTC (0: none); ids are UUIDv7 text. A row that is
 * not there, or belongs to another owner, is STATUS_NOT_FOUND: `owner_id` NULL skips the check of
 * the owner (the engine's own reads). */
#pragma once

#include "db/db.h"

struct store;

/* Opens and migrates. */
enum status store_open(const char *url, struct store **ret, struct error *err) MUST_USE;
struct store *store_free(struct store *store);
struct db *store_db(struct store *store);
/* Writes and reads one row; how /health checks the database. */
enum status store_ping(struct store *store, struct error *err) MUST_USE;

/* A page of a list: newest first, `limit` 1..100. `cursor` is the next_cursor of the page before,
 * or NULL; a forged one is STATUS_INVALID. Every list fills `total` (all pages) and `next_cursor`
 * (NULL on the last page). */
struct page {
        int64_t limit;
        const char *cursor;
        int64_t total;
        char *next_cursor;
};
