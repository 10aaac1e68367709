/* SPDX-License-Identifier: Apache-2.0 */
/* The local engine's answer: sentences of the passages, picked and ordered by rules. No model, no
 * network, no chance: the same question and passages give the same answer. */
#pragma once

#include "llm/llm.h"

/* Appends the answer's text with its markers; *ret_citations (new reference) matches them. */
void local_answer(const char *question, const struct llm_passage *passages, size_t count,
                  struct buffer *out, json_t **ret_citations);
