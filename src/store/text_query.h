/* SPDX-License-Identifier: Apache-2.0 */
/* What a person typed, as an expression of the keyword index.
 *
 * Every word and every "quoted phrase" becomes a quoted string, so that no character of the text
 * has a meaning of its own in the expression; they are OR-ed, ranking does the rest. Very common
 * English words are left out when others remain: they would match nearly everything, slowly. */
#pragma once

/* Below ctx; NULL if nothing in `text` can be searched for. `scope` (may be NULL) is the workflow
 * whose chunks are meant. Any bytes are safe. */
char *text_query_new(const void *ctx, const char *text, const char *scope);
