/* SPDX-License-Identifier: Apache-2.0 */
/* Personal API keys: "fgx_" and 32 random bytes, kept only as SHA-256. */
#pragma once

#include <stdbool.h>

#include "base/memory.h"

bool api_key_looks_like(const char *token);
/* A new key below ctx, shown to its owner once. */
char *api_key_generate(const void *ctx) MUST_USE;
enum { API_KEY_PREFIX_LENGTH = 12 }; /* of the characters that lists show */
