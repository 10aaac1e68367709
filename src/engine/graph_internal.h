/* SPDX-License-Identifier: Apache-2.0 */
/* A graph while it is being compiled, for the files that check one side of it each.
 *
 * Node i of the graph is item i of the JSON array from the beginning, also when something is wrong
 * with it (then its type is NULL or its id ""), so that problems can name "nodes[i]". */
#pragma once

#include "engine/graph.h"

struct graph_build {
        struct graph *graph;
        const json_t *nodes, *edges; /* arrays, borrowed */
        json_t *index;               /* node id -> position */
        struct problems *problems;
        bool bad;        /* a problem was found */
        bool lost_edges; /* an edge is left out: what seems unconnected may not be */
};

/* Adds a problem about node `i`; `field` is what follows "nodes[i]" and may be "". */
void build_node_problem(struct graph_build *build, size_t i, const char *field, const char *format,
                        ...) PRINTF_LIKE(4, 5);
/* The same about edge `i`, laid at the door of node `node` (SIZE_MAX: none). */
void build_edge_problem(struct graph_build *build, size_t i, size_t node, const char *field,
                        const char *format, ...) PRINTF_LIKE(5, 6);

/* Position of a node id, or SIZE_MAX. */
size_t build_find(const struct graph_build *build, const char *id);

/* Fills graph_node.params and the common settings from the node's `data`. */
void build_read_params(struct graph_build *build, size_t i);
/* Fills graph->edges and each node's incoming and outgoing; needs the params of all nodes. */
void build_read_edges(struct graph_build *build);
/* Cycles, starts, outputs, reach, templates; needs the edges. */
void build_check_order(struct graph_build *build);
