/* SPDX-License-Identifier: Apache-2.0 */
/* How deep the elements of an HTML text are nested, roughly, before it is parsed: the parser looks
 * through all open elements at each tag, so depth times length is what a hostile page costs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { HTML_DEPTH_MAX = 2000 };

/* Elements whose end tags may be left out do not count. */
bool html_is_too_deep(const char *text, size_t length);
