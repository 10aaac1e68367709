/* SPDX-License-Identifier: Apache-2.0 */
/* The table of node types as JSON, for the editor's palette and forms. */
#include <string.h>

#include "engine/node.h"

static const char *param_type_name(enum param_type type)
{
        switch (type) {
        case PARAM_STRING:
                return "string";
        case PARAM_TEXT:
                return "text";
        case PARAM_TEMPLATE:
                return "template";
        case PARAM_INTEGER:
                return "integer";
        case PARAM_NUMBER:
                return "number";
        case PARAM_BOOLEAN:
                return "boolean";
        case PARAM_SELECT:
                return "select";
        case PARAM_MODEL:
                return "model";
        case PARAM_DOCUMENTS:
                return "documents";
        case PARAM_JSON:
                return "json";
        }
        return "";
}

static const char *port_type_name(enum port_type type)
{
        switch (type) {
        case PORT_TEXT:
                return "text";
        case PORT_PASSAGES:
                return "passages";
        case PORT_RESULTS:
                return "results";
        case PORT_ANSWER:
                return "answer";
        case PORT_ANY:
                return "any";
        }
        return "";
}

static json_t *ports_json(const struct node_port *ports, bool inputs)
{
        json_t *list = json_array();

        for (; ports->id; ports++) {
                json_t *port = json_pack("{s:s, s:s, s:s}", "id", ports->id, "label", ports->label,
                                         "type", port_type_name(ports->type));

                if (inputs) {
                        json_object_set_new(port, "required", json_boolean(ports->required));
                        json_object_set_new(port, "multiple", json_boolean(ports->multiple));
                }
                json_array_append_new(list, port);
        }
        return list;
}

static json_t *options_json(const char *const *options)
{
        if (!options)
                return json_null();
        json_t *list = json_array();

        for (; *options; options++)
                json_array_append_new(list, json_string(*options));
        return list;
}

static json_t *number_json(double value, bool integer)
{
        return integer ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *param_json(const struct node_param *param)
{
        bool bounded = param->minimum != 0 || param->maximum != 0;
        bool integer = param->type == PARAM_INTEGER;
        json_t *fallback = param->default_json
                                   ? json_loads(param->default_json, JSON_DECODE_ANY, NULL)
                                   : json_null();

        return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:b, s:b}", "name", param->name,
                         "label", param->label, "type", param_type_name(param->type), "default",
                         fallback, "minimum",
                         bounded ? number_json(param->minimum, integer) : json_null(), "maximum",
                         bounded ? number_json(param->maximum, integer) : json_null(), "options",
                         options_json(param->options), "help", param->help ? param->help : "",
                         "required", (int)param->required, "advanced", (int)param->advanced);
}

static bool has_output(const struct node_type *type, const char *id)
{
        for (const struct node_port *port = type->outputs; port->id; port++)
                if (strcmp(port->id, id) == 0)
                        return true;
        return false;
}

/* A common parameter with this type's default and choices. */
static json_t *common_param_json(const struct node_type *type, const struct node_param *param)
{
        json_t *json = param_json(param);

        if (strcmp(param->name, "timeout_seconds") == 0 && type->timeout_seconds)
                json_object_set_new(json, "default", json_integer(type->timeout_seconds));
        if (strcmp(param->name, "max_attempts") == 0 && type->max_attempts)
                json_object_set_new(json, "default", json_integer(type->max_attempts));
        if (strcmp(param->name, "on_error") == 0 && !has_output(type, "error"))
                json_object_set_new(json, "options", json_pack("[s, s]", "fail", "default"));
        return json;
}

static json_t *type_json(const struct node_type *type)
{
        json_t *params = json_array();

        for (const struct node_param *param = type->params; param->name; param++)
                json_array_append_new(params, param_json(param));
        for (const struct node_param *param = node_common_params; param->name; param++)
                json_array_append_new(params, common_param_json(type, param));
        return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "type", type->type, "title",
                         type->title, "description", type->description, "category", type->category,
                         "inputs", ports_json(type->inputs, true), "outputs",
                         ports_json(type->outputs, false), "parameters", params);
}

json_t *node_types_json(void)
{
        json_t *list = json_array();

        for (const struct node_type *const *type = node_types; *type; type++)
                json_array_append_new(list, type_json(*type));
        return list;
}
