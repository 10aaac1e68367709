/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled graphs by workflow and version, the ones used last. Any thread. */
#pragma once

#include "engine/graph.h"
#include "store/workflows.h"

struct graph_cache;

struct graph_cache *graph_cache_new(size_t max) MUST_USE;
struct graph_cache *graph_cache_free(struct graph_cache *cache);
/* The graph of this version, compiled from `graph_json` if it is not there: a reference of the
 * caller's. A graph with problems is UNPROCESSABLE, with `problems` (may be NULL) filled. */
enum status graph_cache_get(struct graph_cache *cache, const char *workflow_id, int64_t version,
                            const char *graph_json, struct problems *problems, struct graph **ret,
                            struct error *err) MUST_USE;
/* The same, only if it is there: else NULL. */
struct graph *graph_cache_find(struct graph_cache *cache, const char *workflow_id, int64_t version);
