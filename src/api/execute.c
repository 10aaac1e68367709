/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a workflow for a request. */
#include "api/execute.h"

enum status execute_workflow(struct request *req, const struct execute_request *request,
                             const struct engine_callbacks *callbacks, void *arg, struct error *err)
{
        struct app *app = app_of(req);
        struct workflow workflow = {0};

        if (store_get_workflow(app->store, req->ctx, user_of(req)->id, request->workflow_id,
                               &workflow, err))
                return err->status;
        trace_set(req->trace.workflow_id, workflow.id);
        const struct engine_request start = {
                .user_id = user_of(req)->id,
                .workflow = &workflow,
                .user_input = request->user_input,
                .context = request->context,
                .history = request->history,
                .history_count = request->history_count,
                .idempotency_key = request->key ? request->key->key : NULL,
                .fingerprint = request->key ? request->key->fingerprint : NULL,
                .trace = &req->trace,
        };
        return engine_start(app->engine, &start, callbacks, arg, request_problems(req), err);
}
