/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: text with {{node_id.field}} places, paths as in json_path ("llm.citations[0].quote").
 * A place without a field, {{node_id}}, means the node's `text`. A backslash before {{ keeps it as
 * text. A string is put in as it is, other values as JSON; what is put in is never read as a
 * template again. Blanks inside the braces do not count. */
#pragma once

#include "base/json.h"

enum { TEMPLATE_PLACE_MAX = 256 }; /* bytes between the braces */

/* True if filling would change the text at all. */
bool template_has_places(const char *text);

/* Calls `each` for every place; false from it stops. STATUS_INVALID names the position of an
 * unclosed, empty or over-long place. */
typedef bool template_place_fn(const char *node_id, const char *path, void *arg);
enum status template_walk(const char *text, template_place_fn *each, void *arg,
                          struct error *err) MUST_USE;

/* Fills the places from `values` ({"node_id": output}); a missing value is STATUS_UNPROCESSABLE
 * that names the place. `out` bounds the result. */
enum status template_fill(const char *text, const json_t *values, struct buffer *out,
                          struct error *err) MUST_USE;
