/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in price table: prices.json, turned into an array by the build. */
#pragma once

#include <stddef.h>

extern const char prices_json[]; /* NUL-terminated */
extern const size_t prices_json_length;
