/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets at rest: XSalsa20-Poly1305 (libsodium secretbox) under keys derived from SECRET_KEY with
 * BLAKE2b, one per purpose, so that no two uses share a key. Immutable after set-up; any thread. */
#pragma once

#include <stddef.h>

#include "base/error.h"

enum { SECRET_KEY_BYTES = 32 };

struct secrets {
        unsigned char credentials[SECRET_KEY_BYTES]; /* seals provider keys */
        unsigned char tokens[SECRET_KEY_BYTES];      /* signs access tokens */
};

/* `secret_key` is any text of at least 16 bytes. */
enum status secrets_derive(const char *secret_key, struct secrets *ret, struct error *err) MUST_USE;

/* Base64 of nonce and box, below ctx. */
char *secret_seal(const void *ctx, const struct secrets *secrets, const char *plain) MUST_USE;
/* STATUS_UNPROCESSABLE when it was sealed under another key or changed. */
enum status secret_open(const void *ctx, const struct secrets *secrets, const char *sealed,
                        char **ret, struct error *err) MUST_USE;
/* Lower-case hex of SHA-256, for tokens and files that are looked up by hash. */
void secret_hash(const void *data, size_t length, char hex[65]);
/* `bytes` (at most 64) random bytes as URL-safe base64 without padding, below ctx. */
char *secret_random(const void *ctx, size_t bytes) MUST_USE;
