/* SPDX-License-Identifier: Apache-2.0 */
/* Routes: one table a resource, and what their handlers share. */
#pragma once

#include "api/app.h"

enum { SMALL_BODY = 64 * 1024, INPUT_BODY = 1024 * 1024, GRAPH_BODY = 8 * 1024 * 1024 };

extern const struct route auth_routes[], api_key_routes[], credential_routes[], workflow_routes[],
        execution_routes[], document_routes[], search_routes[], chat_routes[], socket_routes[],
        node_type_routes[], system_routes[], docs_routes[], metrics_routes[];

/* Every table, NULL-terminated; the second has no /metrics: where METRICS_PORT differs from PORT it
 * is served there by the third. */
extern const struct route *const all_tables[], *const tables_without_metrics[],
                                                       *const metrics_tables[];

/* A {parameter} that must be a UUID; NOT_FOUND for anything else, since no object has that id. */
enum status id_param(const struct request *req, const char *name, const char **ret,
                     struct error *err) MUST_USE;
/* The same for an id given in a query, a form or a body field (`name` for the problem list). */
enum status id_field(struct request *req, const char *name, const char *value,
                     struct error *err) MUST_USE;
