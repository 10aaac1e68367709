/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts: what a model is told, from parameters, query, passages and history. */
#pragma once

#include "engine/node.h"
#include "llm/llm.h"

/* Fills system, messages, question and passages of `request`; texts are below ctx or borrowed from
 * the run. */
enum status prompt_fill(struct node_run *run, const void *ctx, struct llm_request *request,
                        struct error *err) MUST_USE;
