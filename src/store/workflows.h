/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows and their versions: every save keeps the graph it replaced. */
#pragma once

#include "store/store.h"

struct workflow {
        char *id, *owner_id, *name, *description;
        char *graph; /* workflow_data as JSON text */
        int64_t version;
        int64_t created_at, updated_at;
};

/* A row of the list: no graph, but what ran last. */
struct workflow_summary {
        struct workflow workflow;              /* graph is NULL */
        char *last_execution_id, *last_status; /* NULL if it never ran */
        int64_t last_finished_at;
};

/* Fills id, version 1 and times. */
enum status store_create_workflow(struct store *store, struct workflow *workflow, const void *ctx,
                                  struct error *err) MUST_USE;
enum status store_get_workflow(struct store *store, const void *ctx, const char *owner_id,
                               const char *id, struct workflow *ret, struct error *err) MUST_USE;
/* Owner and version only, without the graph: what chat and events need to check. */
enum status store_check_workflow(struct store *store, const char *owner_id, const char *id,
                                 int64_t *ret_version, struct error *err) MUST_USE;
enum status store_list_workflows(struct store *store, const void *ctx, const char *owner_id,
                                 struct page *page, struct workflow_summary **ret,
                                 size_t *ret_count, struct error *err) MUST_USE;
/* Saves name, description and graph as a new version. `expected_version` > 0 and not the current
 * one: STATUS_CONFLICT. Fills version and updated_at. */
enum status store_update_workflow(struct store *store, struct workflow *workflow,
                                  int64_t expected_version, struct error *err) MUST_USE;
/* Removes it with versions, executions, chat and documents' rows (files are the caller's). */
enum status store_delete_workflow(struct store *store, const char *owner_id, const char *id,
                                  struct error *err) MUST_USE;

struct workflow_version {
        int64_t version, created_at;
        char *name;
        char *graph; /* NULL in lists */
};
enum status store_list_versions(struct store *store, const void *ctx, const char *owner_id,
                                const char *workflow_id, struct page *page,
                                struct workflow_version **ret, size_t *ret_count,
                                struct error *err) MUST_USE;
enum status store_get_version(struct store *store, const void *ctx, const char *owner_id,
                              const char *workflow_id, int64_t version,
                              struct workflow_version *ret, struct error *err) MUST_USE;
