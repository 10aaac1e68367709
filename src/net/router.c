/* SPDX-License-Identifier: Apache-2.0 */
/* Router: a tree whose nodes have few children, searched linearly with backtracking. */
#include "net/router.h"

#include <string.h>

enum node_kind { NODE_LITERAL, NODE_PARAM, NODE_REST };

struct node {
        enum node_kind kind;
        const char *text; /* literal segment; NULL otherwise */
        struct node *children, *next;
        const struct route_entry *entries[METHOD_MAX];
        bool terminal;
};

struct router {
        struct node root;
        bool upgrades;
};

static const char *const method_names[] = {
        [METHOD_GET] = "GET",     [METHOD_POST] = "POST",     [METHOD_PUT] = "PUT",
        [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

const char *method_name(enum method method)
{
        return method < METHOD_MAX ? method_names[method] : "";
}

enum method method_parse(const char *name)
{
        if (strcmp(name, "HEAD") == 0)
                return METHOD_GET;
        for (enum method method = METHOD_GET; method < METHOD_MAX; method++) {
                if (strcmp(name, method_names[method]) == 0)
                        return method;
        }
        return METHOD_MAX;
}

static enum node_kind segment_kind(const char *segment, size_t length)
{
        if (segment[0] != '{' || segment[length - 1] != '}')
                return NODE_LITERAL;
        return length > 5 && memcmp(segment + length - 4, "...}", 4) == 0 ? NODE_REST : NODE_PARAM;
}

static struct node *child_of(struct router *router, struct node *parent, enum node_kind kind,
                             const char *text, size_t length)
{
        struct node **at = &parent->children;

        /* Children stay ordered by kind, which is the order of precedence. */
        for (; *at && (*at)->kind <= kind; at = &(*at)->next) {
                if ((*at)->kind == kind &&
                    (kind != NODE_LITERAL ||
                     (strlen((*at)->text) == length && memcmp((*at)->text, text, length) == 0)))
                        return *at;
        }
        struct node *node = mem_new(router, struct node);

        node->kind = kind;
        node->text = kind == NODE_LITERAL ? mem_strndup(router, text, length) : NULL;
        node->next = *at;
        *at = node;
        return node;
}

static enum status bad_route(const struct route *route, const char *why, struct error *err)
{
        return error_set(err, STATUS_INTERNAL, "route %s %s: %s", method_name(route->method),
                         route->path, why);
}

static enum status name_param(struct router *router, struct route_entry *entry, enum node_kind kind,
                              const char *segment, size_t length, struct error *err)
{
        size_t tail = kind == NODE_REST ? 4 : 1;

        if (entry->name_count == ROUTE_PARAMS_MAX)
                return bad_route(entry->route, "too many parameters", err);
        if (kind == NODE_REST && segment[length] != '\0')
                return bad_route(entry->route, "a rest parameter must be last", err);
        entry->names[entry->name_count++] = mem_strndup(router, segment + 1, length - 1 - tail);
        return STATUS_OK;
}

static enum status add_route(struct router *router, const struct route *route, struct error *err)
{
        struct route_entry *entry = mem_new(router, struct route_entry);
        struct node *node = &router->root;
        const char *at = route->path;

        entry->route = route;
        if (*at != '/' || route->method >= METHOD_MAX || !route->handler)
                return bad_route(route, "needs a method, a path and a handler", err);
        for (at++; *at;) {
                size_t length = strcspn(at, "/");
                enum node_kind kind = length ? segment_kind(at, length) : NODE_LITERAL;

                if (length == 0)
                        return bad_route(route, "has an empty segment", err);
                if (kind != NODE_LITERAL && name_param(router, entry, kind, at, length, err))
                        return err->status;
                node = child_of(router, node, kind, at, length);
                at += length;
                if (*at == '/' && at[1] == '\0')
                        return bad_route(route, "ends in a slash", err);
                at += *at == '/';
        }
        if (node->entries[route->method])
                return bad_route(route, "is there twice", err);
        node->entries[route->method] = entry;
        node->terminal = true;
        router->upgrades |= (route->flags & ROUTE_UPGRADE) != 0;
        return STATUS_OK;
}

enum status router_new(const void *ctx, const struct route *const *tables, struct router **ret,
                       struct error *err)
{
        struct router *router = mem_new(ctx, struct router);

        for (; *tables; tables++) {
                for (const struct route *route = *tables; route->path; route++) {
                        if (add_route(router, route, err)) {
                                mem_free(router);
                                return err->status;
                        }
                }
        }
        *ret = router;
        return STATUS_OK;
}

static const char *join(const void *ctx, const char *const *segments, size_t count)
{
        char *text = mem_strdup(ctx, count ? segments[0] : "");

        for (size_t i = 1; i < count; i++)
                text = mem_printf(ctx, "%s/%s", text, segments[i]);
        return text;
}

static bool find(const struct node *node, const void *ctx, const char *const *segments,
                 size_t count, struct route_match *match);

static bool find_child(const struct node *child, const void *ctx, const char *const *segments,
                       size_t count, struct route_match *match)
{
        size_t values = match->value_count;

        switch (child->kind) {
        case NODE_LITERAL:
                return count > 0 && strcmp(child->text, segments[0]) == 0 &&
                       find(child, ctx, segments + 1, count - 1, match);
        case NODE_PARAM:
                if (count == 0 || segments[0][0] == '\0')
                        return false;
                match->values[match->value_count++] = segments[0];
                if (find(child, ctx, segments + 1, count - 1, match))
                        return true;
                match->value_count = values;
                return false;
        case NODE_REST:
                match->values[match->value_count++] = join(ctx, segments, count);
                match->entries = child->entries;
                return true;
        }
        return false;
}

static bool find(const struct node *node, const void *ctx, const char *const *segments,
                 size_t count, struct route_match *match)
{
        if (count == 0 && node->terminal) {
                match->entries = node->entries;
                return true;
        }
        for (const struct node *child = node->children; child; child = child->next) {
                if (find_child(child, ctx, segments, count, match))
                        return true;
        }
        return false;
}

bool router_find(const struct router *router, const void *ctx, const char *const *segments,
                 size_t count, struct route_match *ret)
{
        *ret = (struct route_match){0};
        return find(&router->root, ctx, segments, count, ret);
}

bool router_upgrades(const struct router *router)
{
        return router->upgrades;
}

const char *route_allow(const void *ctx, const struct route_match *match)
{
        char *text = mem_strdup(ctx, "");

        for (enum method method = METHOD_GET; method < METHOD_MAX; method++) {
                if (match->entries[method])
                        text = mem_printf(ctx, "%s%s, ", text,
                                          method == METHOD_GET ? "GET, HEAD" : method_name(method));
        }
        return mem_printf(ctx, "%sOPTIONS", text);
}
