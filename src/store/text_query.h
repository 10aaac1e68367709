/* SPDX-License-Identifier: Apache-2.0 */
/* What a person typed, as expressions of the keyword index.
 *
 * Every word and every "quoted phrase" becomes a quoted string, so that no character of the text
 * has a meaning of its own in an expression; they are OR-ed, ranking does the rest. Very common
 * English words are left out when others remain: they would match nearly everything, slowly. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { TEXT_QUERY_TERMS_MAX = 64 };

struct text_query;

/* Below ctx; NULL if nothing in `text` can be searched for. `scope` (may be NULL) is the workflow
 * whose chunks are meant. Any bytes are safe. Both are borrowed by the query. */
struct text_query *text_query_new(const void *ctx, const char *text, const char *scope);
size_t text_query_count(const struct text_query *query);

/* Expressions, below the query: chunks with any term … */
char *text_query_any(const struct text_query *query);
/* … with one term … */
char *text_query_term(const struct text_query *query, size_t term);
/* … with any of the terms marked in `lead`, ranked by all terms. Each counts twice in the score. */
char *text_query_led(const struct text_query *query, const bool lead[TEXT_QUERY_TERMS_MAX]);
