/* SPDX-License-Identifier: Apache-2.0 */
/* Edges: each joins one output to one input whose kind of value it fits. A handle that is not given
 * is inferred when exactly one pair of ports fits. */
#include <string.h>

#include "engine/graph_internal.h"

static bool port_fits(enum port_type source, enum port_type target)
{
        if (source == PORT_ANY || target == PORT_ANY || source == target)
                return true;
        if (target == PORT_TEXT)
                return source == PORT_ANSWER;
        return target == PORT_PASSAGES && source == PORT_RESULTS;
}

static bool is_error_port(const struct node_port *port)
{
        return strcmp(port->id, "error") == 0;
}

/* An edge being read; handles are NULL when they are not given. */
struct edge_reading {
        struct graph_build *build;
        size_t index;
        size_t source, target;
        const char *source_handle, *target_handle;
        const struct node_port *source_port, *target_port;
};

static const struct node_port *find_port(const struct node_port *ports, const char *id)
{
        for (; ports->id; ports++)
                if (strcmp(ports->id, id) == 0)
                        return ports;
        return NULL;
}

static void port_list(const struct node_port *ports, char *text, size_t size)
{
        size_t used = 0;

        snprintf(text, size, "none");
        for (; ports->id && used < size; ports++)
                used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                         ports->id);
}

static bool check_handle(struct edge_reading *edge, bool source)
{
        size_t node = source ? edge->source : edge->target;
        const char *handle = source ? edge->source_handle : edge->target_handle;
        const struct node_type *type = edge->build->graph->nodes[node].type;
        const struct node_port *ports = source ? type->outputs : type->inputs;
        char choices[200];

        if (!handle || find_port(ports, handle))
                return true;
        port_list(ports, choices, sizeof(choices));
        build_edge_problem(edge->build, edge->index, node,
                           source ? ".sourceHandle" : ".targetHandle",
                           "%s has no %s \"%.100s\"; it has: %s", type->type,
                           source ? "output" : "input", handle, choices);
        return false;
}

static bool candidate(const struct node_port *port, const char *handle)
{
        return handle ? strcmp(port->id, handle) == 0 : !is_error_port(port);
}

/* Counts the pairs that fit and remembers the first. */
static size_t fitting_pairs(struct edge_reading *edge)
{
        const struct graph_node *nodes = edge->build->graph->nodes;
        const struct node_port *out, *in;
        size_t count = 0;

        for (out = nodes[edge->source].type->outputs; out->id; out++) {
                for (in = nodes[edge->target].type->inputs; in->id; in++) {
                        if (!candidate(out, edge->source_handle) ||
                            !candidate(in, edge->target_handle) || !port_fits(out->type, in->type))
                                continue;
                        if (count++ == 0) {
                                edge->source_port = out;
                                edge->target_port = in;
                        }
                }
        }
        return count;
}

static bool resolve_ports(struct edge_reading *edge)
{
        struct graph_build *build = edge->build;
        const struct graph_node *source = &build->graph->nodes[edge->source];
        const struct graph_node *target = &build->graph->nodes[edge->target];

        if (!source->type || !target->type)
                return false;
        if (!check_handle(edge, true) || !check_handle(edge, false))
                return false;
        size_t pairs = fitting_pairs(edge);

        if (pairs == 0)
                build_edge_problem(build, edge->index, edge->target,
                                   edge->target_handle ? ".targetHandle" : "",
                                   "What %s gives does not fit what %s takes here",
                                   source->type->type, target->type->type);
        else if (pairs > 1)
                build_edge_problem(build, edge->index, edge->target, ".targetHandle",
                                   "must name the port: several fit");
        else if (is_error_port(edge->source_port) && source->on_error != ON_ERROR_BRANCH)
                build_edge_problem(build, edge->index, edge->source, ".sourceHandle",
                                   "The error output is followed only when on_error is \"branch\"");
        else
                return true;
        return false;
}

static size_t find_end(struct edge_reading *edge, const json_t *item, const char *key)
{
        const char *id = json_get_text(item, key, "");
        size_t position = *id ? build_find(edge->build, id) : SIZE_MAX;
        char field[16];

        if (position == SIZE_MAX) {
                snprintf(field, sizeof(field), ".%s", key);
                build_edge_problem(
                        edge->build, edge->index, SIZE_MAX, field,
                        *id ? "There is no node \"%.100s\"" : "must be the id of a node%s", id);
        }
        return position;
}

static const char *read_handle(struct edge_reading *edge, const json_t *item, const char *key,
                               bool *ok)
{
        const json_t *handle = json_object_get(item, key);
        char field[24];

        if (!handle || json_is_null(handle))
                return NULL;
        if (json_is_string(handle))
                return json_string_length(handle) ? json_string_value(handle) : NULL;
        snprintf(field, sizeof(field), ".%s", key);
        build_edge_problem(edge->build, edge->index, SIZE_MAX, field, "must be a text or null");
        *ok = false;
        return NULL;
}

/* False if the same join was there before. */
static bool check_new(struct edge_reading *edge, json_t *seen)
{
        char key[512];

        snprintf(key, sizeof(key), "%zu %zu %s %s", edge->source, edge->target,
                 edge->source_port->id, edge->target_port->id);
        if (json_object_get(seen, key)) {
                build_edge_problem(edge->build, edge->index, edge->target, "",
                                   "joins what another edge joins already");
                return false;
        }
        json_object_set_new(seen, key, json_true());
        return true;
}

static void read_edge(struct graph_build *build, size_t i, const json_t *item, json_t *seen)
{
        struct graph *graph = build->graph;
        struct edge_reading edge = {.build = build, .index = i};
        bool ok = true;

        edge.source = find_end(&edge, item, "source");
        edge.target = find_end(&edge, item, "target");
        edge.source_handle = read_handle(&edge, item, "sourceHandle", &ok);
        edge.target_handle = read_handle(&edge, item, "targetHandle", &ok);
        if (!ok || edge.source == SIZE_MAX || edge.target == SIZE_MAX || !resolve_ports(&edge) ||
            !check_new(&edge, seen)) {
                build->lost_edges = true;
                return;
        }
        graph->edges[graph->edge_count++] = (struct graph_edge){
                .source = edge.source,
                .target = edge.target,
                .source_port = edge.source_port->id,
                .target_port = edge.target_port->id,
        };
        graph->nodes[edge.source].outgoing_count++;
        graph->nodes[edge.target].incoming_count++;
}

static void link_nodes(struct graph *graph)
{
        for (size_t i = 0; i < graph->node_count; i++) {
                struct graph_node *node = &graph->nodes[i];

                node->incoming = mem_array(graph, size_t, node->incoming_count);
                node->outgoing = mem_array(graph, size_t, node->outgoing_count);
                node->incoming_count = node->outgoing_count = 0;
        }
        for (size_t i = 0; i < graph->edge_count; i++) {
                struct graph_node *source = &graph->nodes[graph->edges[i].source];
                struct graph_node *target = &graph->nodes[graph->edges[i].target];

                source->outgoing[source->outgoing_count++] = i;
                target->incoming[target->incoming_count++] = i;
        }
}

static void check_inputs(struct graph_build *build, size_t i)
{
        const struct graph_node *node = &build->graph->nodes[i];

        for (const struct node_port *port = node->type->inputs; port->id; port++) {
                size_t count = 0;

                for (size_t e = 0; e < node->incoming_count; e++)
                        count += strcmp(build->graph->edges[node->incoming[e]].target_port,
                                        port->id) == 0;
                if (count == 0 && port->required && !build->lost_edges)
                        build_node_problem(build, i, "", "The input \"%s\" is not connected",
                                           port->id);
                if (count > 1 && !port->multiple)
                        build_node_problem(build, i, "", "The input \"%s\" takes one edge, not %zu",
                                           port->id, count);
        }
}

void build_read_edges(struct graph_build *build)
{
        struct graph *graph = build->graph;
        SCOPED_JSON json_t *seen = json_object();
        const json_t *item;
        size_t i;

        graph->edges = mem_array(graph, struct graph_edge, json_array_size(build->edges));
        json_array_foreach (build->edges, i, item)
                read_edge(build, i, item, seen);
        link_nodes(graph);
        for (i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].type)
                        check_inputs(build, i);
}
