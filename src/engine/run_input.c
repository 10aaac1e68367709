/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs: the values that arrive at a node, its parameters with templates filled, and what the row
 * shows of them.
 *
 * An output stays in memory while a node that was not started yet may want it; a later attempt, or
 * a run taken up after a restart, reads it from the store again. Outputs are never changed once
 * given, so that branches may share them; references are taken and dropped in turns only. */
#include <string.h>

#include "base/json_writer.h"
#include "base/utf8.h"
#include "engine/engine_internal.h"
#include "engine/template.h"

enum { PREVIEW_MAX = 400, INPUT_MAX = 64 * 1024, START_INPUT_MAX = 64 * 1024 * 1024 };

/* --- Outputs -----------------------------------------------------------------------------------*/
static enum status read_output(const struct step *step, json_t **ret, struct error *err)
{
        if (!step->output)
                return STATUS_OK;
        return json_read(step->output, strlen(step->output), ret, err);
}

/* Calls `each` for every node whose output `node` needs. */
static void each_source(struct run *run, size_t node, void (*each)(struct run *run, size_t source))
{
        const struct graph_node *at = &run->graph->nodes[node];

        for (size_t e = 0; e < at->incoming_count; e++)
                each(run, run->graph->edges[at->incoming[e]].source);
        for (size_t n = 0; n < at->named_count; n++)
                each(run, at->named[n]);
}

static bool is_missing(const struct run *run, size_t source)
{
        const struct node_state *state = &run->nodes[source];

        return !state->output && (state->status == NODE_COMPLETED ||
                                  (state->status == NODE_FAILED &&
                                   run->graph->nodes[source].on_error == ON_ERROR_DEFAULT));
}

static bool any_missing(const struct run *run, size_t node)
{
        const struct graph_node *at = &run->graph->nodes[node];

        for (size_t e = 0; e < at->incoming_count; e++)
                if (is_missing(run, run->graph->edges[at->incoming[e]].source))
                        return true;
        for (size_t n = 0; n < at->named_count; n++)
                if (is_missing(run, at->named[n]))
                        return true;
        return false;
}

static enum status load_one(struct run *run, size_t source, const struct step *steps, size_t count,
                            struct error *err)
{
        if (!is_missing(run, source))
                return STATUS_OK;
        for (size_t s = 0; s < count; s++)
                if (strcmp(steps[s].node_id, run->graph->nodes[source].id) == 0)
                        return read_output(&steps[s], &run->nodes[source].output, err);
        return STATUS_OK;
}

static enum status load_missing(struct run *run, size_t node, struct error *err)
{
        const struct graph_node *at = &run->graph->nodes[node];
        SCOPED_MEM void *ctx = mem_root();
        struct step *steps = NULL;
        size_t count = 0;

        if (!any_missing(run, node))
                return STATUS_OK;
        if (store_get_steps(run->engine->services.store, ctx, run->id, &steps, &count, err))
                return err->status;
        for (size_t e = 0; e < at->incoming_count; e++)
                if (load_one(run, run->graph->edges[at->incoming[e]].source, steps, count, err))
                        return err->status;
        for (size_t n = 0; n < at->named_count; n++)
                if (load_one(run, at->named[n], steps, count, err))
                        return err->status;
        return STATUS_OK;
}

static void drop_unused(struct run *run, size_t source)
{
        struct node_state *state = &run->nodes[source];

        if (state->uses == 0) {
                json_decref(state->output);
                state->output = NULL;
        }
}

static void use_less(struct run *run, size_t source)
{
        run->nodes[source].uses--;
        drop_unused(run, source);
}

void run_release_sources(struct run *run, size_t node)
{
        each_source(run, node, run->nodes[node].released ? drop_unused : use_less);
        run->nodes[node].released = true;
}

/* --- Values ------------------------------------------------------------------------------------*/
static json_t *error_value(const struct node_state *state)
{
        const struct error *err = state->error;

        return json_pack("{s:s, s:s}", "text", err ? err->message : "", "type",
                         err ? status_name(err->status) : "");
}

/* What flows along a live edge; a new reference. */
static json_t *edge_value(struct run *run, const struct graph_edge *edge)
{
        struct node_state *source = &run->nodes[edge->source];

        if (strcmp(edge->source_port, "error") == 0)
                return error_value(source);
        return source->output ? json_incref(source->output) : json_object();
}

static bool takes_many(const struct node_type *type, const char *port_id)
{
        for (const struct node_port *port = type->inputs; port->id; port++)
                if (strcmp(port->id, port_id) == 0)
                        return port->multiple;
        return false;
}

static json_t *gather_inputs(struct run *run, size_t node)
{
        const struct graph_node *at = &run->graph->nodes[node];
        json_t *inputs = json_object();

        for (size_t e = 0; e < at->incoming_count; e++) {
                const struct graph_edge *edge = &run->graph->edges[at->incoming[e]];

                if (!run_edge_is_live(run, edge))
                        continue;
                if (!takes_many(at->type, edge->target_port)) {
                        json_object_set_new(inputs, edge->target_port, edge_value(run, edge));
                        continue;
                }
                json_t *list = json_object_get(inputs, edge->target_port);

                if (!list) {
                        list = json_array();
                        json_object_set_new(inputs, edge->target_port, list);
                }
                json_array_append_new(list, edge_value(run, edge));
        }
        return inputs;
}

/* --- Parameters --------------------------------------------------------------------------------*/
static json_t *named_values(struct run *run, size_t node)
{
        const struct graph_node *at = &run->graph->nodes[node];
        json_t *values = json_object();

        for (size_t n = 0; n < at->named_count; n++)
                if (run->nodes[at->named[n]].output)
                        json_object_set(values, run->graph->nodes[at->named[n]].id,
                                        run->nodes[at->named[n]].output);
        return values;
}

static enum status fill_param(const char *name, const char *template, const json_t *values,
                              json_t *params, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer filled = BUFFER_INIT(ctx, FILLED_MAX);

        if (template_fill(template, values, &filled, err))
                return error_prefix(err, "%s", name);
        json_object_set_new(params, name, json_stringn(buffer_string(&filled), filled.length));
        return STATUS_OK;
}

static enum status fill_params(struct run *run, size_t node, json_t **ret, struct error *err)
{
        const struct graph_node *at = &run->graph->nodes[node];
        SCOPED_JSON json_t *values = NULL, *params = NULL;

        *ret = NULL;
        if (!at->has_templates)
                return STATUS_OK;
        values = named_values(run, node);
        params = json_copy(at->params);
        for (const struct node_param *param = at->type->params; param->name; param++) {
                const char *template = json_get_text(at->params, param->name, "");

                if (param->type == PARAM_TEMPLATE && template_has_places(template) &&
                    fill_param(param->name, template, values, params, err))
                        return err->status;
        }
        *ret = json_incref(params);
        return STATUS_OK;
}

enum status run_gather(struct run *run, size_t node, json_t **ret_inputs, json_t **ret_params,
                       struct error *err)
{
        if (load_missing(run, node, err) || fill_params(run, node, ret_params, err))
                return err->status;
        *ret_inputs = gather_inputs(run, node);
        return STATUS_OK;
}

/* --- What the row shows ------------------------------------------------------------------------*/
static void write_preview(struct json_writer *json, const char *text)
{
        char preview[PREVIEW_MAX + 1];
        size_t length = strlen(text), cut = utf8_floor(text, length, PREVIEW_MAX);

        memcpy(preview, text, cut);
        preview[cut] = '\0';
        json_put_text(json, "text", preview);
        if (cut < length)
                json_put_bool(json, "cut", true);
}

static void write_source(struct run *run, struct json_writer *json, const char *name,
                         const struct graph_edge *edge)
{
        SCOPED_JSON json_t *value = edge_value(run, edge);

        json_open_object(json, name);
        json_put_text(json, "node_id", run->graph->nodes[edge->source].id);
        write_preview(json, json_get_text(value, "text", ""));
        json_close_object(json);
}

static void write_port(struct run *run, size_t node, const struct node_port *port,
                       struct json_writer *json)
{
        const struct graph_node *at = &run->graph->nodes[node];
        bool open = false;

        for (size_t e = 0; e < at->incoming_count; e++) {
                const struct graph_edge *edge = &run->graph->edges[at->incoming[e]];

                if (strcmp(edge->target_port, port->id) != 0 || !run_edge_is_live(run, edge))
                        continue;
                if (port->multiple && !open)
                        json_open_array(json, port->id);
                open = true;
                write_source(run, json, port->multiple ? NULL : port->id, edge);
        }
        if (open && port->multiple)
                json_close_array(json);
}

char *run_input_text(struct run *run, size_t node)
{
        const struct node_type *type = run->graph->nodes[node].type;
        struct buffer text = BUFFER_INIT(run, INPUT_MAX);
        struct json_writer json = JSON_WRITER(&text);

        if (type->flags & NODE_START)
                return run_start_input_text(run, run);
        json_open_object(&json, NULL);
        for (const struct node_port *port = type->inputs; port->id; port++)
                write_port(run, node, port, &json);
        json_close_object(&json);
        /* Hundreds of edges into one port: then the row does without. */
        return text.overflow ? mem_free(text.data) : text.data;
}

char *run_start_input_text(struct run *run, const void *ctx)
{
        struct buffer text = BUFFER_INIT(ctx, START_INPUT_MAX);
        struct json_writer json = JSON_WRITER(&text);

        json_open_object(&json, NULL);
        json_put_text(&json, "text", run->user_input);
        if (run->context_text)
                json_put_raw(&json, "context", run->context_text);
        if (run->history_count) {
                json_open_array(&json, "history");
                for (size_t i = 0; i < run->history_count; i++) {
                        json_open_object(&json, NULL);
                        json_put_text(&json, "role", run->history[i].role);
                        json_put_text(&json, "content", run->history[i].content);
                        json_close_object(&json);
                }
                json_close_array(&json);
        }
        json_close_object(&json);
        return text.data;
}

void run_read_start_input(struct run *run, const char *input_text)
{
        SCOPED_JSON json_t *input = json_loads(input_text ? input_text : "", 0, NULL);
        const json_t *history = json_object_get(input, "history"), *message;
        size_t i;

        if (run->history_count || json_array_size(history) == 0)
                return;
        run->history = mem_array(run, struct llm_message, json_array_size(history));
        json_array_foreach (history, i, message)
                run->history[run->history_count++] = (struct llm_message){
                        .role = mem_strdup(run, json_get_text(message, "role", "user")),
                        .content = mem_strdup(run, json_get_text(message, "content", "")),
                };
}
