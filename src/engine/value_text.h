/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text of a jansson value, several times faster than jansson writes it: outputs of nodes are
 * written at every step. */
#pragma once

#include "base/json.h"

/* Appends compact text; the value has the depth that json_read allows, or less. */
void value_append(struct buffer *out, const json_t *value);
