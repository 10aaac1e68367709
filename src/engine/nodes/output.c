/* SPDX-License-Identifier: Apache-2.0 */
/* output: what the execution gives. {text, citations, format, json?}, from a template or from what
 * comes in. */
#include <string.h>

#include "engine/nodes/nodes.h"

static const struct node_port inputs[] = {
        {.id = "input", .label = "Input", .type = PORT_ANY, .required = true, .multiple = true},
        {0},
};

static const char *const formats[] = {"text", "markdown", "json", NULL};

static const struct node_param params[] = {
        {.name = "format",
         .label = "Format",
         .type = PARAM_SELECT,
         .default_json = "\"text\"",
         .options = formats,
         .help = "How clients show it; json is checked."},
        {.name = "template",
         .label = "Template",
         .type = PARAM_TEMPLATE,
         .help = "The answer's text; without it, what comes in is handed on."},
        {0},
};

static void write_text(const struct node_run *run, struct buffer *out)
{
        const char *template = node_param_text(run, "template");
        const json_t *input;
        size_t i;

        if (template) {
                buffer_text(out, template);
                return;
        }
        json_array_foreach (json_object_get(run->inputs, "input"), i, input) {
                const char *text = json_get_text(input, "text", "");

                if (*text && out->length)
                        buffer_text(out, "\n\n");
                buffer_text(out, text);
        }
}

static json_t *gather_citations(const struct node_run *run)
{
        json_t *all = json_array();
        const json_t *input;
        size_t i;

        json_array_foreach (json_object_get(run->inputs, "input"), i, input) {
                json_t *citations = json_object_get(input, "citations");

                if (json_is_array(citations))
                        json_array_extend(all, citations);
        }
        return all;
}

static void run_node(struct node_run *run)
{
        const char *format = json_get_text(run->params, "format", "text");
        struct buffer text = BUFFER_INIT(run->ctx, NODE_TEXT_MAX);
        struct error err = ERROR_INIT;
        json_t *json = NULL;

        write_text(run, &text);
        if (buffer_check(&text, "The output", &err) ||
            (strcmp(format, "json") == 0 &&
             json_read(buffer_string(&text), text.length, &json, &err) &&
             error_prefix(&err, "The output should be JSON"))) {
                node_fail(run, &err, false);
                return;
        }
        json_t *output = json_pack("{s:s, s:o, s:s}", "text", buffer_string(&text), "citations",
                                   gather_citations(run), "format", format);

        if (json)
                json_object_set_new(output, "json", json);
        node_succeed(run, output, NULL);
}

const struct node_type node_output = {
        .type = "output",
        .title = "Output",
        .description = "What the workflow answers.",
        .category = "output",
        .flags = NODE_INSTANT | NODE_RESULT,
        .inputs = inputs,
        .outputs = (const struct node_port[]){{0}},
        .params = params,
        .run = run_node,
};
