/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/node-types: the table of node types, for the editor's palette and forms. */
#include "api/routes.h"

static struct reply list_node_types(struct request *req)
{
        json_t *items = node_types_json();
        SCOPED_JSON json_t *list = json_pack("{s:o, s:n, s:I}", "items", items, "next_cursor",
                                             "total", (json_int_t)json_array_size(items));

        return reply_json(req, 200, list);
}

const struct route node_type_routes[] = {
        {METHOD_GET, "/api/v1/node-types", 0, 0, list_node_types, NULL},
        {0},
};
