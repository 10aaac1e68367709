/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever JSON is a workflow, it compiles to a graph whose parts fit together, or there are problems
 * that say where; never both, never neither. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
        if (!condition)
                abort();
}

static void check_graph(const struct graph *graph)
{
        for (size_t i = 0; i < graph->edge_count; i++) {
                const struct graph_edge *edge = &graph->edges[i];

                must(edge->source < graph->node_count && edge->target < graph->node_count);
                must(graph->nodes[edge->source].order < graph->nodes[edge->target].order);
                must(edge->source_port && edge->target_port);
        }
        for (size_t i = 0; i < graph->node_count; i++) {
                const struct graph_node *node = &graph->nodes[i];

                must(*node->id && node->type && json_is_object(node->params));
                must(node->timeout_ms > 0 && node->max_attempts >= 1 && node->max_attempts <= 10);
                must(node->on_error != ON_ERROR_DEFAULT || json_is_object(node->default_output));
                for (size_t n = 0; n < node->named_count; n++)
                        must(graph->nodes[node->named[n]].order < node->order);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = NULL;
        struct problems *problems = problems_new(ctx), *shape = problems_new(ctx);
        struct error err = ERROR_INIT;

        if (json_read((const char *)data, size, &json, &err))
                return 0;
        struct graph *graph = graph_compile(json, problems);

        must((graph != NULL) == (problems->count == 0));
        for (size_t i = 0; i < problems->count; i++)
                must(*problems->items[i].path && *problems->items[i].message);
        if (graph) {
                must(graph_check_shape(json, shape, &err) == STATUS_OK);
                check_graph(graph);
        }
        graph_unref(graph);
        return 0;
}
