/* SPDX-License-Identifier: Apache-2.0 */
/* Passages kept while a model thinks, for the citations of its answer. A call that waits keeps its
 * prompt for another attempt, and the passages stand in it: their text is kept as a place in that
 * body rather than a second time. */
#pragma once

#include "llm/llm.h"

struct kept_passages;

/* Copies `count` passages below ctx. `body` (NULL: none) is JSON text that lives until it is
 * replaced by kept_passages_move. */
struct kept_passages *kept_passages_new(const void *ctx, const struct llm_passage *passages,
                                        size_t count, const char *body, size_t body_length);
/* The body will change: takes the texts out of it. */
void kept_passages_move(struct kept_passages *kept);
/* The passages, below ctx; borrows from `kept`. */
struct llm_passage *kept_passages_read(const struct kept_passages *kept, const void *ctx,
                                       size_t *ret_count);
