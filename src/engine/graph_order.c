/* SPDX-License-Identifier: Apache-2.0 */
/* Order: a graph runs from its starts to its outputs without going round, and templates look only
 * back. Every walk visits nodes and edges once. */
#include <string.h>

#include "engine/graph_internal.h"
#include "engine/template.h"

enum { WORD_BITS = 64, CYCLE_SHOWN_MAX = 10 };

struct order {
        struct graph_build *build;
        void *ctx;
        size_t *sorted; /* nodes, each after all before it (Kahn); cycles are left out */
        size_t sorted_count;
        bool *is_sorted;
};

static void sort_nodes(struct order *order)
{
        const struct graph *graph = order->build->graph;
        size_t *waiting = mem_array(order->ctx, size_t, graph->node_count);

        for (size_t i = 0; i < graph->node_count; i++) {
                waiting[i] = graph->nodes[i].incoming_count;
                if (waiting[i] == 0)
                        order->sorted[order->sorted_count++] = i;
        }
        for (size_t done = 0; done < order->sorted_count; done++) {
                struct graph_node *node = &graph->nodes[order->sorted[done]];

                node->order = done;
                order->is_sorted[order->sorted[done]] = true;
                for (size_t e = 0; e < node->outgoing_count; e++) {
                        size_t target = graph->edges[node->outgoing[e]].target;

                        if (--waiting[target] == 0)
                                order->sorted[order->sorted_count++] = target;
                }
        }
}

/* --- Cycles ------------------------------------------------------------------------------------*/
/* A node before `i` that is on or behind a cycle too; there always is one. */
static size_t unsorted_source(const struct order *order, size_t i)
{
        const struct graph *graph = order->build->graph;
        const struct graph_node *node = &graph->nodes[i];

        for (size_t e = 0; e < node->incoming_count; e++) {
                size_t source = graph->edges[node->incoming[e]].source;

                if (!order->is_sorted[source])
                        return source;
        }
        return i;
}

/* `last` is on the cycle; the walk went against the edges, so `next[x]` is the node after x. */
static void report_cycle(struct order *order, size_t last, const size_t *next)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer names = BUFFER_INIT(ctx, ERROR_MESSAGE_MAX - 100);
        const struct graph_node *nodes = order->build->graph->nodes;
        size_t shown = 0, at = last;

        do {
                if (++shown <= CYCLE_SHOWN_MAX)
                        buffer_printf(&names, "%s -> ", nodes[at].id);
                at = next[at];
        } while (at != last);
        if (shown > CYCLE_SHOWN_MAX)
                buffer_printf(&names, "... (%zu nodes) -> ", shown);
        build_node_problem(order->build, last, "", "is part of a cycle: %s%s",
                           buffer_string(&names), nodes[last].id);
}

static void check_cycles(struct order *order)
{
        size_t count = order->build->graph->node_count;
        size_t *walk = mem_array(order->ctx, size_t, count); /* the walk that visited; 0: none */
        size_t *next = mem_array(order->ctx, size_t, count);

        for (size_t i = 0; i < count; i++) {
                size_t at = i;

                if (order->is_sorted[i] || walk[i])
                        continue;
                while (!walk[at]) {
                        size_t before = unsorted_source(order, at);

                        walk[at] = i + 1;
                        next[before] = at;
                        at = before;
                }
                if (walk[at] == i + 1)
                        report_cycle(order, at, next);
        }
}

/* --- Reach -------------------------------------------------------------------------------------*/
static size_t add_starts(const struct graph *graph, size_t *queue, bool *reached)
{
        size_t count = 0;

        for (size_t i = 0; i < graph->node_count; i++) {
                if (!graph->nodes[i].type || !(graph->nodes[i].type->flags & NODE_START))
                        continue;
                reached[i] = true;
                queue[count++] = i;
        }
        return count;
}

static void walk_forward(const struct graph *graph, size_t *queue, size_t count, bool *reached)
{
        for (size_t done = 0; done < count; done++) {
                const struct graph_node *node = &graph->nodes[queue[done]];

                for (size_t e = 0; e < node->outgoing_count; e++) {
                        size_t target = graph->edges[node->outgoing[e]].target;

                        if (!reached[target])
                                queue[count++] = target;
                        reached[target] = true;
                }
        }
}

static void graph_problem(struct graph_build *build, const char *message)
{
        problems_add(build->problems, NULL, "nodes", "%s", message);
        build->bad = true;
}

static void check_reach(struct order *order)
{
        const struct graph *graph = order->build->graph;
        bool *reached = mem_array(order->ctx, bool, graph->node_count);
        size_t *queue = mem_array(order->ctx, size_t, graph->node_count);
        size_t starts = add_starts(graph, queue, reached);
        bool any_output = false;

        walk_forward(graph, queue, starts, reached);
        for (size_t i = 0; i < graph->node_count; i++) {
                const struct node_type *type = graph->nodes[i].type;
                bool output = type && type->flags & NODE_RESULT;

                any_output = any_output || output;
                if (type && starts && !reached[i] && !order->build->lost_edges)
                        build_node_problem(order->build, i, "", "%s is not reached from the start",
                                           output ? "The output" : "The node");
        }
        if (!starts)
                graph_problem(order->build, "There is no user query node to start from");
        if (!any_output)
                graph_problem(order->build, "There is no output node");
}

/* --- Templates ---------------------------------------------------------------------------------*/
/* Bit j of row i: node j comes before node i. */
static uint64_t *find_ancestors(const struct order *order, size_t words)
{
        const struct graph *graph = order->build->graph;
        uint64_t *rows = mem_array(order->ctx, uint64_t, graph->node_count * words);

        for (size_t s = 0; s < order->sorted_count; s++) {
                const struct graph_node *node = &graph->nodes[order->sorted[s]];
                uint64_t *row = rows + order->sorted[s] * words;

                for (size_t e = 0; e < node->incoming_count; e++) {
                        size_t source = graph->edges[node->incoming[e]].source;
                        const uint64_t *before = rows + source * words;

                        for (size_t w = 0; w < words; w++)
                                row[w] |= before[w];
                        row[source / WORD_BITS] |= UINT64_C(1) << (source % WORD_BITS);
                }
        }
        return rows;
}

struct naming {
        struct graph_build *build;
        size_t node;
        const struct node_param *param;
        const uint64_t *before;
};

static void add_named(struct graph_build *build, size_t node, size_t named)
{
        struct graph_node *at = &build->graph->nodes[node];

        for (size_t i = 0; i < at->named_count; i++)
                if (at->named[i] == named)
                        return;
        at->named = mem_resize(build->graph, at->named, size_t, at->named_count + 1);
        at->named[at->named_count++] = named;
}

static bool check_place(const char *node_id, const char *path, void *arg)
{
        struct naming *naming = arg;
        size_t named = build_find(naming->build, node_id);
        char field[96];

        snprintf(field, sizeof(field), ".data.%s", naming->param->name);
        if (named == SIZE_MAX)
                build_node_problem(naming->build, naming->node, field,
                                   "{{%s%s%s}} names no node of this graph", node_id,
                                   *path ? "." : "", path);
        else if (!(naming->before[named / WORD_BITS] >> (named % WORD_BITS) & 1))
                build_node_problem(naming->build, naming->node, field,
                                   "{{%s%s%s}} names a node that does not come before this one",
                                   node_id, *path ? "." : "", path);
        else
                add_named(naming->build, naming->node, named);
        return true;
}

static void check_templates(struct order *order)
{
        struct graph *graph = order->build->graph;
        size_t words = (graph->node_count + WORD_BITS - 1) / WORD_BITS;
        const uint64_t *rows = find_ancestors(order, words);

        for (size_t i = 0; i < graph->node_count; i++) {
                struct graph_node *node = &graph->nodes[i];

                for (const struct node_param *param = node->type ? node->type->params : NULL;
                     param && param->name; param++) {
                        const char *text = json_get_text(node->params, param->name, NULL);
                        struct naming naming = {order->build, i, param, rows + i * words};
                        struct error err = ERROR_INIT;

                        if (param->type != PARAM_TEMPLATE || !text || !template_has_places(text))
                                continue;
                        node->has_templates = true;
                        if (template_walk(text, check_place, &naming, &err))
                                order->build->bad = true;
                }
        }
}

void build_check_order(struct graph_build *build)
{
        SCOPED_MEM void *ctx = mem_root();
        struct order order = {.build = build, .ctx = ctx};

        order.sorted = mem_array(ctx, size_t, build->graph->node_count);
        order.is_sorted = mem_array(ctx, bool, build->graph->node_count);
        sort_nodes(&order);
        check_cycles(&order);
        check_reach(&order);
        if (order.sorted_count == build->graph->node_count)
                check_templates(&order);
}
