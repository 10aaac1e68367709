/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters: a node's `data` checked against the table of its type. Absent, null and empty choices
 * mean the default; fields that the table does not know belong to the editor and are left alone. */
#include <math.h>
#include <string.h>

#include "base/uuid.h"
#include "engine/graph_internal.h"
#include "engine/template.h"

enum { STRING_MAX = 1000, TEXT_MAX = 100000, DOCUMENTS_MAX = 1000, JSON_TEXT_MAX = 100000 };

struct reading {
        struct graph_build *build;
        size_t node;
        const struct node_param *param;
        const json_t *value; /* what `data` holds */
        char field[96];      /* ".data.top_k" */
};

static json_t *refuse(struct reading *reading, const char *what)
{
        build_node_problem(reading->build, reading->node, reading->field, "%s", what);
        return NULL;
}

static json_t *read_text(struct reading *reading, size_t max)
{
        if (!json_is_string(reading->value))
                return refuse(reading, "must be a text");
        if (json_string_length(reading->value) > max) {
                build_node_problem(reading->build, reading->node, reading->field,
                                   "is longer than %zu bytes", max);
                return NULL;
        }
        if (reading->param->required && json_string_length(reading->value) == 0)
                return refuse(reading, "must not be empty");
        return json_copy((json_t *)(uintptr_t)reading->value);
}

static bool keep_walking(const char *node_id, const char *path, void *arg)
{
        (void)node_id;
        (void)path;
        (void)arg;
        return true;
}

static json_t *read_template(struct reading *reading)
{
        struct error err = ERROR_INIT;
        json_t *text = read_text(reading, TEXT_MAX);

        if (text && template_walk(json_string_value(text), keep_walking, NULL, &err)) {
                json_decref(text);
                return refuse(reading, err.message);
        }
        return text;
}

static json_t *read_number(struct reading *reading)
{
        const struct node_param *param = reading->param;
        bool integer = param->type == PARAM_INTEGER;
        double value = json_number_value(reading->value);

        if (!json_is_number(reading->value) || !isfinite(value) ||
            (integer && (value != floor(value) || fabs(value) > 9e15)))
                return refuse(reading, integer ? "must be a whole number" : "must be a number");
        if ((param->minimum != 0 || param->maximum != 0) &&
            (value < param->minimum || value > param->maximum)) {
                build_node_problem(reading->build, reading->node, reading->field,
                                   "must be between %g and %g", param->minimum, param->maximum);
                return NULL;
        }
        return integer ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *read_choice(struct reading *reading)
{
        const char *value = json_string_value(reading->value);
        char choices[200] = "";

        for (const char *const *option = reading->param->options; *option; option++) {
                size_t used = strlen(choices);

                if (value && strcmp(value, *option) == 0)
                        return json_string(value);
                snprintf(choices + used, sizeof(choices) - used, "%s%s", used ? ", " : "", *option);
        }
        build_node_problem(reading->build, reading->node, reading->field, "must be one of: %s",
                           choices);
        return NULL;
}

static json_t *read_documents(struct reading *reading)
{
        const json_t *id;
        size_t i;

        if (!json_is_array(reading->value))
                return refuse(reading, "must be an array of document ids");
        if (json_array_size(reading->value) > DOCUMENTS_MAX)
                return refuse(reading, "names more than 1000 documents");
        json_array_foreach (reading->value, i, id) {
                if (json_is_string(id) && uuid_valid(json_string_value(id)))
                        continue;
                size_t used = strlen(reading->field);

                snprintf(reading->field + used, sizeof(reading->field) - used, "[%zu]", i);
                return refuse(reading, "must be a document id");
        }
        return json_deep_copy(reading->value);
}

static json_t *read_json(struct reading *reading)
{
        if (json_dumpb(reading->value, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT) > JSON_TEXT_MAX)
                return refuse(reading, "is larger than 100000 bytes");
        return json_deep_copy(reading->value);
}

static json_t *read_value(struct reading *reading)
{
        switch (reading->param->type) {
        case PARAM_STRING:
        case PARAM_MODEL:
                return read_text(reading, STRING_MAX);
        case PARAM_TEXT:
                return read_text(reading, TEXT_MAX);
        case PARAM_TEMPLATE:
                return read_template(reading);
        case PARAM_INTEGER:
        case PARAM_NUMBER:
                return read_number(reading);
        case PARAM_BOOLEAN:
                return json_is_boolean(reading->value) ? json_boolean(json_is_true(reading->value))
                                                       : refuse(reading, "must be true or false");
        case PARAM_SELECT:
                return read_choice(reading);
        case PARAM_DOCUMENTS:
                return read_documents(reading);
        case PARAM_JSON:
                return read_json(reading);
        }
        return NULL;
}

/* The value to use, a new reference; NULL if there is none or it is bad. */
static json_t *read_param(struct graph_build *build, size_t i, const json_t *data,
                          const struct node_param *param)
{
        struct reading reading = {.build = build, .node = i, .param = param};
        const json_t *value = json_object_get(data, param->name);

        snprintf(reading.field, sizeof(reading.field), ".data.%s", param->name);
        reading.value = value;
        if (value && !json_is_null(value) &&
            !(param->type == PARAM_SELECT && json_is_string(value) &&
              json_string_length(value) == 0))
                return read_value(&reading);
        if (param->required)
                return refuse(&reading, "is required");
        return param->default_json ? json_loads(param->default_json, JSON_DECODE_ANY, NULL) : NULL;
}

/* --- What every node has -----------------------------------------------------------------------*/
static bool has_error_output(const struct node_type *type)
{
        for (const struct node_port *port = type->outputs; port->id; port++)
                if (strcmp(port->id, "error") == 0)
                        return true;
        return false;
}

static void set_on_error(struct graph_build *build, size_t i, const char *choice)
{
        struct graph_node *node = &build->graph->nodes[i];

        if (strcmp(choice, "default") == 0)
                node->on_error = ON_ERROR_DEFAULT;
        else if (strcmp(choice, "branch") == 0)
                node->on_error = ON_ERROR_BRANCH;
        if (node->on_error == ON_ERROR_BRANCH && !has_error_output(node->type))
                build_node_problem(build, i, ".data.on_error", "%s has no error output to follow",
                                   node->type->type);
}

static void set_default_output(struct graph_build *build, size_t i, json_t *value)
{
        struct graph_node *node = &build->graph->nodes[i];

        if (json_is_string(value))
                node->default_output = json_pack("{s:O}", "text", value);
        else if (json_is_object(value))
                node->default_output = json_incref(value);
        else if (value || node->on_error == ON_ERROR_DEFAULT)
                build_node_problem(build, i, ".data.default_output", "must be a text or an object");
}

static void read_common(struct graph_build *build, size_t i, const json_t *data)
{
        struct graph_node *node = &build->graph->nodes[i];
        SCOPED_JSON json_t *common = json_object();

        for (const struct node_param *param = node_common_params; param->name; param++) {
                const json_t *given = json_object_get(data, param->name);

                if (!given || json_is_null(given))
                        continue;
                json_t *value = read_param(build, i, data, param);
                if (value)
                        json_object_set_new(common, param->name, value);
        }
        unsigned seconds = node->type->timeout_seconds ? node->type->timeout_seconds : 60;
        unsigned attempts = node->type->max_attempts ? node->type->max_attempts : 1;

        node->timeout_ms = (unsigned)(json_get_real(common, "timeout_seconds", seconds) * 1000);
        node->max_attempts = (unsigned)json_get_int(common, "max_attempts", attempts);
        set_on_error(build, i, json_get_text(common, "on_error", "fail"));
        set_default_output(build, i, json_object_get(common, "default_output"));
}

void build_read_params(struct graph_build *build, size_t i)
{
        struct graph_node *node = &build->graph->nodes[i];
        const json_t *data = json_object_get(json_array_get(build->nodes, i), "data");

        if (!node->type)
                return;
        if (data && !json_is_null(data) && !json_is_object(data)) {
                build_node_problem(build, i, ".data", "must be an object");
                return;
        }
        bool bad_before = build->bad;

        build->bad = false;
        node->params = json_object();
        for (const struct node_param *param = node->type->params; param->name; param++) {
                json_t *value = read_param(build, i, data, param);
                if (value)
                        json_object_set_new(node->params, param->name, value);
        }
        read_common(build, i, data);
        if (!build->bad && node->type->check) {
                size_t before = build->problems->count;

                node->type->check(node->id, node->params, build->problems);
                build->bad = build->problems->count > before;
        }
        build->bad = build->bad || bad_before;
}
