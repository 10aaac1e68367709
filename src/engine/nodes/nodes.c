/* SPDX-License-Identifier: Apache-2.0 */
/* The table of node types, in the palette's order. */
#include "engine/nodes/nodes.h"

#include <string.h>

const struct node_type *const node_types[] = {
        &node_user_query, &node_knowledge_base, &node_web_search,
        &node_llm_engine, &node_output,         NULL,
};

static const char *const on_error_options[] = {"fail", "default", "branch", NULL};

const struct node_param node_common_params[] = {
        {.name = "timeout_seconds",
         .label = "Time limit (seconds)",
         .type = PARAM_NUMBER,
         .default_json = "60",
         .minimum = 0.001,
         .maximum = 3600,
         .help = "An attempt that takes longer fails.",
         .advanced = true},
        {.name = "max_attempts",
         .label = "Attempts",
         .type = PARAM_INTEGER,
         .default_json = "1",
         .minimum = 1,
         .maximum = 10,
         .help = "Tries in all, with growing pauses, where trying again can help.",
         .advanced = true},
        {.name = "on_error",
         .label = "On error",
         .type = PARAM_SELECT,
         .default_json = "\"fail\"",
         .options = on_error_options,
         .help = "fail: the run fails. default: the run goes on with the default output. branch: "
                 "the "
                 "run goes on from the error output.",
         .advanced = true},
        {.name = "default_output",
         .label = "Default output",
         .type = PARAM_JSON,
         .help = "What the node gives when it fails and On error is default: a text or an object.",
         .advanced = true},
        {0},
};

static const struct node_type *const *extension;

void node_types_extend(const struct node_type *const *more)
{
        extension = more;
}

static const struct node_type *find(const struct node_type *const *table, const char *type)
{
        for (; *table; table++)
                if (strcmp((*table)->type, type) == 0)
                        return *table;
        return NULL;
}

const struct node_type *node_type_find(const char *type)
{
        const struct node_type *found = find(node_types, type);

        return found || !extension ? found : find(extension, type);
}
