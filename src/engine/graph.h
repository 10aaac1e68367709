/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: React Flow's JSON read, checked and compiled into what the scheduler walks. */
#pragma once

#include <stdatomic.h>

#include "engine/node.h"

enum { GRAPH_NODES_MAX = 1000, GRAPH_EDGES_MAX = 5000, GRAPH_ID_MAX = 100 /* bytes */ };

struct graph_edge {
        size_t source, target; /* node indexes */
        const char *source_port, *target_port;
};

struct graph_node {
        const char *id;
        const struct node_type *type;
        json_t *params;              /* with defaults */
        size_t *incoming, *outgoing; /* edge indexes */
        size_t incoming_count, outgoing_count;
        size_t order;  /* its place in an order where every edge leads forward */
        size_t *named; /* nodes whose output the templates of params name */
        size_t named_count;
        bool has_templates;
        unsigned timeout_ms, max_attempts;
        enum { ON_ERROR_FAIL, ON_ERROR_DEFAULT, ON_ERROR_BRANCH } on_error;
        json_t *default_output;
};

/* Immutable and shared by the executions that run it (atomic references). */
struct graph {
        atomic_uint references;
        struct graph_node *nodes;
        struct graph_edge *edges;
        size_t node_count, edge_count;
};

/* Shape alone: an object with `nodes` and `edges` arrays of bounded size whose items are objects
 * with ids, so that it can be saved and edited on. Adds problems; STATUS_INVALID if there was any.
 */
enum status graph_check_shape(const json_t *workflow_data, struct problems *problems,
                              struct error *err) MUST_USE;

/* Everything: unknown types, duplicate and missing ids, dangling edges, unknown or unfit ports,
 * missing required inputs, cycles, no start, no or unreachable output, bad parameters, templates
 * that name nothing or a node that does not come before. Returns NULL if there was any problem,
 * else a graph with one reference. */
struct graph *graph_compile(const json_t *workflow_data, struct problems *problems) MUST_USE;
struct graph *graph_ref(struct graph *graph);
struct graph *graph_unref(struct graph *graph); /* returns NULL */

/* The parameters of the first node of `type` in unchecked workflow_data, or NULL. Borrowed. */
const json_t *graph_find_params(const json_t *workflow_data, const char *type);
