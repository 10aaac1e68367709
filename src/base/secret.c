/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets at rest: libsodium secretbox, key derivation and random tokens. */
#include "base/secret.h"

#include <sodium.h>
#include <string.h>

enum { SECRET_KEY_MIN = 16, RANDOM_MAX = 64 };

static void derive(const char *secret_key, const char *purpose, unsigned char out[SECRET_KEY_BYTES])
{
        crypto_generichash_state state;

        crypto_generichash_init(&state, NULL, 0, SECRET_KEY_BYTES);
        crypto_generichash_update(&state, (const unsigned char *)purpose, strlen(purpose) + 1);
        crypto_generichash_update(&state, (const unsigned char *)secret_key, strlen(secret_key));
        crypto_generichash_final(&state, out, SECRET_KEY_BYTES);
}

enum status secrets_derive(const char *secret_key, struct secrets *ret, struct error *err)
{
        if (strlen(secret_key) < SECRET_KEY_MIN)
                return error_set(err, STATUS_INVALID, "SECRET_KEY must have at least %d characters",
                                 SECRET_KEY_MIN);
        if (sodium_init() < 0)
                return error_set(err, STATUS_INTERNAL, "libsodium cannot start");
        derive(secret_key, "flowgenix credentials", ret->credentials);
        derive(secret_key, "flowgenix tokens", ret->tokens);
        return STATUS_OK;
}

static char *base64(const void *ctx, const unsigned char *data, size_t length, int variant)
{
        size_t size = sodium_base64_encoded_len(length, variant);
        char *text = mem_array(ctx, char, size);

        return sodium_bin2base64(text, size, data, length, variant);
}

char *secret_seal(const void *ctx, const struct secrets *secrets, const char *plain)
{
        SCOPED_MEM void *scratch = mem_root();
        size_t length = strlen(plain);
        size_t total = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + length;
        unsigned char *box = mem_array(scratch, unsigned char, total);

        randombytes_buf(box, crypto_secretbox_NONCEBYTES);
        crypto_secretbox_easy(box + crypto_secretbox_NONCEBYTES, (const unsigned char *)plain,
                              length, box, secrets->credentials);
        return base64(ctx, box, total, sodium_base64_VARIANT_ORIGINAL);
}

enum status secret_open(const void *ctx, const struct secrets *secrets, const char *sealed,
                        char **ret, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        const size_t overhead = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
        size_t text_length = strlen(sealed), length = 0;
        unsigned char *box = mem_array(scratch, unsigned char, text_length + 1);

        if (sodium_base642bin(box, text_length, sealed, text_length, NULL, &length, NULL,
                              sodium_base64_VARIANT_ORIGINAL) ||
            length < overhead)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "A stored key is damaged; enter it again");
        char *plain = mem_array(ctx, char, length - overhead + 1);
        if (crypto_secretbox_open_easy((unsigned char *)plain, box + crypto_secretbox_NONCEBYTES,
                                       length - crypto_secretbox_NONCEBYTES, box,
                                       secrets->credentials)) {
                mem_free(plain);
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "A stored key was saved under another SECRET_KEY; enter it again");
        }
        *ret = plain;
        return STATUS_OK;
}

void secret_hash(const void *data, size_t length, char hex[65])
{
        unsigned char hash[crypto_hash_sha256_BYTES];

        crypto_hash_sha256(hash, data, length);
        sodium_bin2hex(hex, 65, hash, sizeof(hash));
}

char *secret_random(const void *ctx, size_t bytes)
{
        unsigned char data[RANDOM_MAX];

        if (bytes > sizeof(data))
                bytes = sizeof(data);
        randombytes_buf(data, bytes);
        return base64(ctx, data, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}
