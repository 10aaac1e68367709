/* SPDX-License-Identifier: Apache-2.0 */
/* The sum of the route tables. */
#include "api/routes.h"

#include "base/uuid.h"

#define RESOURCES                                                                                  \
        auth_routes, api_key_routes, credential_routes, workflow_routes, execution_routes,         \
                document_routes, search_routes, chat_routes, socket_routes, node_type_routes,      \
                system_routes, docs_routes

const struct route *const all_tables[] = {RESOURCES, metrics_routes, NULL};
const struct route *const tables_without_metrics[] = {RESOURCES, NULL};
const struct route *const metrics_tables[] = {metrics_routes, NULL};

enum status id_param(const struct request *req, const char *name, const char **ret,
                     struct error *err)
{
        const char *value = request_param(req, name);

        if (!uuid_valid(value))
                return error_set(err, STATUS_NOT_FOUND, "There is no object with this id");
        *ret = value;
        return STATUS_OK;
}

enum status id_field(struct request *req, const char *name, const char *value, struct error *err)
{
        if (value && uuid_valid(value))
                return STATUS_OK;
        problems_add(request_problems(req), NULL, name,
                     value ? "must be an id (UUID)" : "is required");
        return error_set(err, STATUS_INVALID, "%s %s", name,
                         value ? "must be an id (UUID)" : "is required");
}
