/* SPDX-License-Identifier: Apache-2.0 */
/* userQuery: where an execution begins. Gives {text} and, when the caller sent one, {context}, so
 * that templates reach its values. */
#include "engine/nodes/nodes.h"

static const struct node_port outputs[] = {
        {.id = "text", .label = "Query", .type = PORT_TEXT},
        {0},
};

static void run(struct node_run *run)
{
        json_t *output = json_pack("{s:s}", "text", run->user_input);

        if (run->context)
                json_object_set(output, "context", (json_t *)(uintptr_t)run->context);
        node_succeed(run, output, NULL);
}

const struct node_type node_user_query = {
        .type = "userQuery",
        .title = "User query",
        .description = "Starts the workflow with what the user asks.",
        .category = "input",
        .flags = NODE_INSTANT | NODE_START,
        .inputs = (const struct node_port[]){{0}},
        .outputs = outputs,
        .params = (const struct node_param[]){{0}},
        .run = run,
};
