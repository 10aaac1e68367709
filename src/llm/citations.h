/* SPDX-License-Identifier: Apache-2.0 */
/* Citations: the numbered passages of a prompt, and the markers [1] of an answer resolved back to
 * document, page and byte range. */
#pragma once

#include "llm/llm.h"

/* Passages as a numbered list for a prompt: "[1] handbook.pdf, page 12\n<text>\n\n…". */
void citations_write_passages(struct buffer *out, const struct llm_passage *passages, size_t count);

/* Citations of `answer`: each distinct marker in order of first use; the quote is the sentence of
 * the passage that shares most with the sentence before the marker. New reference; empty array if
 * the answer cites nothing. */
json_t *citations_resolve(const char *answer, const struct llm_passage *passages,
                          size_t count) MUST_USE;

/* One citation of bytes [from, to) of passage.text. New reference. */
json_t *citation_new(const struct llm_passage *passage, size_t from, size_t to) MUST_USE;
