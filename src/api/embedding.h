/* SPDX-License-Identifier: Apache-2.0 */
/* Which model embeds a workflow's documents: what its knowledge base node says. */
#pragma once

#include "api/app.h"

/* Has the shape of document.h's embedding_target_fn. */
enum status embedding_target(void *app, const void *ctx, const char *workflow_id,
                             struct llm_target *ret, struct error *err) MUST_USE;
