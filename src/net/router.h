/* SPDX-License-Identifier: Apache-2.0 */
/* Router: every route table compiled once into a tree of path segments.
 *
 * A literal segment wins over a {parameter}, a parameter over {rest...}. Paths match exactly: a
 * trailing slash is another path. Read-only after router_new, so any thread may search it. */
#pragma once

#include "net/server.h"

enum { ROUTE_PARAMS_MAX = 8 };

struct router;

struct route_entry {
        const struct route *route;
        const char *names[ROUTE_PARAMS_MAX]; /* of the parameters, in path order */
        size_t name_count;
};

struct route_match {
        const struct route_entry *const *entries; /* [METHOD_MAX], NULL where there is no route */
        const char *values[ROUTE_PARAMS_MAX];     /* in path order */
        size_t value_count;
};

/* `tables` is NULL-terminated and outlives the router, a talloc child of `ctx`. STATUS_INTERNAL for
 * a malformed or repeated route. */
enum status router_new(const void *ctx, const struct route *const *tables, struct router **ret,
                       struct error *err) MUST_USE;
/* False if no route has this path. The rest of a {rest...} parameter is allocated below `ctx`. */
bool router_find(const struct router *router, const void *ctx, const char *const *segments,
                 size_t count, struct route_match *ret) MUST_USE;
/* True if any route has ROUTE_UPGRADE. */
bool router_upgrades(const struct router *router);

/* "GET" and so on. */
const char *method_name(enum method method);
/* METHOD_MAX for others. HEAD is GET. */
enum method method_parse(const char *name);
/* "GET, HEAD, OPTIONS" for an Allow header, below `ctx`. */
const char *route_allow(const void *ctx, const struct route_match *match);
