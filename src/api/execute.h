/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a workflow for a request: what execute and chat share. */
#pragma once

#include "api/app.h"

struct idempotency_key {
        char *key; /* NULL: none */
        char fingerprint[65];
};

struct execute_request {
        const char *workflow_id, *user_input;
        const char *context;               /* JSON object text or NULL */
        const struct idempotency_key *key; /* may be NULL */
        const struct llm_message *history;
        size_t history_count;
};

/* Loads the user's workflow and starts it; graph problems go to the request's problem list. The
 * callbacks follow only when this returns OK. */
enum status execute_workflow(struct request *req, const struct execute_request *request,
                             const struct engine_callbacks *callbacks, void *arg,
                             struct error *err) MUST_USE;
