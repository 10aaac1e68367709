/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: the shape of React Flow's JSON, its nodes, and the compiled graph's life. */
#include "engine/graph.h"

#include <stdarg.h>
#include <string.h>

#include "engine/graph_internal.h"

/* --- Shape -------------------------------------------------------------------------------------*/
static void check_id(const json_t *item, const char *array, size_t i, const char *key,
                     struct problems *problems)
{
        const json_t *id = json_object_get(item, key);
        char path[64];

        snprintf(path, sizeof(path), "workflow_data.%s[%zu].%s", array, i, key);
        if (!json_is_string(id) || json_string_length(id) == 0)
                problems_add(problems, NULL, path, "must be a text that is not empty");
        else if (json_string_length(id) > GRAPH_ID_MAX)
                problems_add(problems, NULL, path, "is longer than %d bytes", GRAPH_ID_MAX);
}

static void check_items(const json_t *data, const char *array, size_t max, const char *const *keys,
                        struct problems *problems)
{
        const json_t *list = json_object_get(data, array), *item;
        char path[64];
        size_t i;

        snprintf(path, sizeof(path), "workflow_data.%s", array);
        if (!json_is_array(list)) {
                problems_add(problems, NULL, path, "must be an array");
                return;
        }
        if (json_array_size(list) > max) {
                problems_add(problems, NULL, path, "has %zu items; at most %zu are possible",
                             json_array_size(list), max);
                return;
        }
        json_array_foreach (list, i, item) {
                snprintf(path, sizeof(path), "workflow_data.%s[%zu]", array, i);
                if (!json_is_object(item))
                        problems_add(problems, NULL, path, "must be an object");
                for (const char *const *key = keys; json_is_object(item) && *key; key++)
                        check_id(item, array, i, *key, problems);
        }
}

/* What every client relies on where it is given; a node of another tool may have neither. */
static void check_nodes(const json_t *nodes, struct problems *problems)
{
        const json_t *node;
        char path[64];
        size_t i;

        json_array_foreach (nodes, i, node) {
                const json_t *type = json_object_get(node, "type"),
                             *data = json_object_get(node, "data");

                snprintf(path, sizeof(path), "workflow_data.nodes[%zu].%s", i,
                         type && !json_is_string(type) ? "type" : "data");
                if (type && !json_is_string(type))
                        problems_add(problems, NULL, path, "must be a string");
                else if (data && !json_is_object(data))
                        problems_add(problems, NULL, path, "must be an object");
        }
}

enum status graph_check_shape(const json_t *workflow_data, struct problems *problems,
                              struct error *err)
{
        static const char *const node_keys[] = {"id", NULL};
        static const char *const edge_keys[] = {"source", "target", NULL};
        size_t before = problems->count;

        if (!json_is_object(workflow_data)) {
                problems_add(problems, NULL, "workflow_data", "must be an object");
        } else {
                check_items(workflow_data, "nodes", GRAPH_NODES_MAX, node_keys, problems);
                check_items(workflow_data, "edges", GRAPH_EDGES_MAX, edge_keys, problems);
                check_nodes(json_object_get(workflow_data, "nodes"), problems);
        }
        if (problems->count > before || problems->count >= PROBLEMS_MAX)
                return error_set(err, STATUS_INVALID, "workflow_data is not a graph");
        return STATUS_OK;
}

const json_t *graph_find_params(const json_t *workflow_data, const char *type)
{
        const json_t *node;
        size_t i;

        json_array_foreach (json_object_get(workflow_data, "nodes"), i, node)
                if (strcmp(json_get_text(node, "type", ""), type) == 0)
                        return json_object_get(node, "data");
        return NULL;
}

/* --- Problems ----------------------------------------------------------------------------------*/
static void add_problem(struct graph_build *build, const char *node_id, const char *path,
                        const char *format, va_list args) PRINTF_LIKE(4, 0);
static void add_problem(struct graph_build *build, const char *node_id, const char *path,
                        const char *format, va_list args)
{
        char message[ERROR_MESSAGE_MAX];

        vsnprintf(message, sizeof(message), format, args);
        problems_add(build->problems, node_id, path, "%s", message);
        build->bad = true;
}

void build_node_problem(struct graph_build *build, size_t i, const char *field, const char *format,
                        ...)
{
        const char *id = build->graph->nodes[i].id;
        char path[128];
        va_list args;

        snprintf(path, sizeof(path), "nodes[%zu]%s", i, field);
        va_start(args, format);
        add_problem(build, *id ? id : NULL, path, format, args);
        va_end(args);
}

void build_edge_problem(struct graph_build *build, size_t i, size_t node, const char *field,
                        const char *format, ...)
{
        char path[128];
        va_list args;

        snprintf(path, sizeof(path), "edges[%zu]%s", i, field);
        va_start(args, format);
        add_problem(build, node == SIZE_MAX ? NULL : build->graph->nodes[node].id, path, format,
                    args);
        va_end(args);
}

/* --- Nodes -------------------------------------------------------------------------------------*/
size_t build_find(const struct graph_build *build, const char *id)
{
        const json_t *position = json_object_get(build->index, id);

        return position ? (size_t)json_integer_value(position) : SIZE_MAX;
}

static void read_id(struct graph_build *build, size_t i, const json_t *item)
{
        const char *id = json_get_text(item, "id", "");

        build->graph->nodes[i].id = "";
        if (!*id || strlen(id) > GRAPH_ID_MAX) {
                build_node_problem(build, i, ".id", "must be a text of 1 to %d bytes",
                                   GRAPH_ID_MAX);
        } else if (build_find(build, id) != SIZE_MAX) {
                build_node_problem(build, i, ".id", "\"%s\" is also the id of nodes[%zu]", id,
                                   build_find(build, id));
        } else {
                build->graph->nodes[i].id = mem_strdup(build->graph, id);
                json_object_set_new(build->index, id, json_integer((json_int_t)i));
        }
}

static void read_type(struct graph_build *build, size_t i, const json_t *item)
{
        const char *type = json_get_text(item, "type", "");

        if (!*type)
                build_node_problem(build, i, ".type", "must name a node type");
        else if (!(build->graph->nodes[i].type = node_type_find(type)))
                build_node_problem(build, i, ".type", "There is no node type \"%.100s\"", type);
}

static void read_nodes(struct graph_build *build)
{
        struct graph *graph = build->graph;
        const json_t *item;
        size_t i;

        graph->node_count = json_array_size(build->nodes);
        graph->nodes = mem_array(graph, struct graph_node, graph->node_count);
        json_array_foreach (build->nodes, i, item) {
                read_id(build, i, item);
                read_type(build, i, item);
        }
        for (i = 0; i < graph->node_count; i++)
                build_read_params(build, i);
}

/* --- The compiled graph ------------------------------------------------------------------------*/
static bool has_shape(const json_t *data, struct graph_build *build)
{
        build->nodes = json_object_get(data, "nodes");
        build->edges = json_object_get(data, "edges");
        if (!json_is_array(build->nodes) || !json_is_array(build->edges))
                problems_add(build->problems, NULL, "nodes",
                             "A graph needs the arrays nodes and edges");
        else if (json_array_size(build->nodes) > GRAPH_NODES_MAX)
                problems_add(build->problems, NULL, "nodes", "%zu nodes; at most %d are possible",
                             json_array_size(build->nodes), GRAPH_NODES_MAX);
        else if (json_array_size(build->edges) > GRAPH_EDGES_MAX)
                problems_add(build->problems, NULL, "edges", "%zu edges; at most %d are possible",
                             json_array_size(build->edges), GRAPH_EDGES_MAX);
        else
                return true;
        return false;
}

struct graph *graph_compile(const json_t *workflow_data, struct problems *problems)
{
        SCOPED_JSON json_t *index = json_object();
        struct graph_build build = {.index = index, .problems = problems};

        if (!has_shape(workflow_data, &build))
                return NULL;
        build.graph = mem_new(NULL, struct graph);
        atomic_init(&build.graph->references, 1);
        read_nodes(&build);
        build_read_edges(&build);
        build_check_order(&build);
        return build.bad ? graph_unref(build.graph) : build.graph;
}

struct graph *graph_ref(struct graph *graph)
{
        atomic_fetch_add_explicit(&graph->references, 1, memory_order_relaxed);
        return graph;
}

struct graph *graph_unref(struct graph *graph)
{
        if (!graph || atomic_fetch_sub_explicit(&graph->references, 1, memory_order_acq_rel) > 1)
                return NULL;
        for (size_t i = 0; i < graph->node_count; i++) {
                json_decref(graph->nodes[i].params);
                json_decref(graph->nodes[i].default_output);
        }
        return mem_free(graph);
}
