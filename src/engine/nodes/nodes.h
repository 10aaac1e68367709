/* SPDX-License-Identifier: Apache-2.0 */
/* The node types, for the table that lists them, and what they share. */
#pragma once

#include "engine/node.h"

extern const struct node_type node_user_query;
extern const struct node_type node_knowledge_base;
extern const struct node_type node_llm_engine;
extern const struct node_type node_web_search;
extern const struct node_type node_output;

enum { NODE_TEXT_MAX = 1024 * 1024 }; /* bytes of any text a node gives */

/* The question a node works on: its `query` parameter, else what came in as "query", else the
 * execution's input. Borrowed from the run. */
const char *node_query(const struct node_run *run);
/* A parameter's text, or NULL if it is not set or empty. */
const char *node_param_text(const struct node_run *run, const char *name);
/* Key and base URL of `provider`; a missing key is UNPROCESSABLE and says where to set it (an
 * OpenAI-compatible server of one's own may work without). Strings below ctx. */
enum status node_credential(struct node_run *run, const void *ctx, const char *provider,
                            bool needs_key, char **ret_key, char **ret_base_url,
                            struct error *err) MUST_USE;

/* Test programs add their own types to what node_type_find knows. Before any other thread runs. */
void node_types_extend(const struct node_type *const *more);
