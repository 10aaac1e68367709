/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords over libsodium's crypto_pwhash. */
#include "api/auth/password.h"

#include <sodium.h>
#include <string.h>

enum { PASSES = 2, MEMORY_BYTES = 19456 * 1024 };

/* A hash of random bytes that nobody has, under the same cost. */
static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSByYW5kb20gc2FsdA$"
                             "K3X1v9cJm1H0c0d4wq3mO3b6o0k0nq1gq4E0h2nQ5uM";

enum status password_hash(const void *ctx, const char *password, char **ret, struct error *err)
{
        char hash[crypto_pwhash_STRBYTES];

        if (crypto_pwhash_str_alg(hash, password, strlen(password), PASSES, MEMORY_BYTES,
                                  crypto_pwhash_ALG_ARGON2ID13))
                return error_set(err, STATUS_UNAVAILABLE, "Not enough memory to check a password");
        *ret = mem_strdup(ctx, hash);
        return STATUS_OK;
}

bool password_matches(const char *hash, const char *password)
{
        return crypto_pwhash_str_verify(hash ? hash : nobody, password, strlen(password)) == 0 &&
               hash;
}
