/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: Argon2id with OWASP's minimum cost (19 MiB, 2 passes). Each call takes tens of
 * milliseconds and that memory, so callers run on the small hashing pool. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum { PASSWORD_MIN = 8, PASSWORD_MAX = 256 };

/* PHC string below ctx. */
enum status password_hash(const void *ctx, const char *password, char **ret,
                          struct error *err) MUST_USE;
/* `hash` NULL does the same work and answers false, so that unknown users cost the same time. */
bool password_matches(const char *hash, const char *password);
