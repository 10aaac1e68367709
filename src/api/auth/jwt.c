/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens: the signature over the received text is checked, in constant time, before any
 * claim is read; the only header accepted is the one that jwt_sign writes. */
#include "api/auth/jwt.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "base/json.h"

enum { TOKEN_MAX = 2048, CLAIMS_MAX = 1024, SKEW_SECONDS = 60 };

static const char header_json[] = "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}";
static const char issuer[] = "flowgenix";

static void append_base64(struct buffer *out, const void *data, size_t length)
{
        char text[CLAIMS_MAX * 2];

        sodium_bin2base64(text, sizeof(text), data, length,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        buffer_text(out, text);
}

static void authenticate(const struct secrets *secrets, const char *text, size_t length,
                         unsigned char mac[crypto_auth_hmacsha256_BYTES])
{
        crypto_auth_hmacsha256(mac, (const unsigned char *)text, length, secrets->tokens);
}

char *jwt_sign(const void *ctx, const struct secrets *secrets, const struct jwt_claims *claims,
               int64_t now_seconds)
{
        struct buffer token = BUFFER_INIT(ctx, TOKEN_MAX);
        unsigned char mac[crypto_auth_hmacsha256_BYTES];
        char id[UUID_TEXT_SIZE];
        SCOPED_MEM char *payload =
                mem_printf(NULL,
                           "{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"%s\",\"ver\":%" PRId64
                           ",\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"jti\":\"%s\"}",
                           issuer, issuer, claims->user_id, claims->token_version, now_seconds,
                           claims->expires_at, uuid_new(id));

        append_base64(&token, header_json, strlen(header_json));
        buffer_char(&token, '.');
        append_base64(&token, payload, strlen(payload));
        authenticate(secrets, token.data, token.length, mac);
        buffer_char(&token, '.');
        append_base64(&token, mac, sizeof(mac));
        return token.data;
}

/* Decodes canonical unpadded base64url into out[0..max), NUL-terminated; false for anything else.
 */
static bool decode(const char *text, size_t length, unsigned char *out, size_t max,
                   size_t *ret_length)
{
        const char *end = NULL;

        if (sodium_base642bin(out, max - 1, text, length, NULL, ret_length, &end,
                              sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
            end != text + length)
                return false;
        out[*ret_length] = '\0';
        return true;
}

static bool signature_matches(const struct secrets *secrets, const char *token, const char *dot)
{
        unsigned char given[crypto_auth_hmacsha256_BYTES + 1],
                expected[crypto_auth_hmacsha256_BYTES];
        size_t length = 0;

        if (!decode(dot + 1, strlen(dot + 1), given, sizeof(given), &length) ||
            length != sizeof(expected))
                return false;
        authenticate(secrets, token, (size_t)(dot - token), expected);
        return sodium_memcmp(given, expected, sizeof(expected)) == 0;
}

static bool header_is_ours(const char *text, size_t length)
{
        unsigned char decoded[sizeof(header_json) + 1];
        size_t decoded_length = 0;

        return decode(text, length, decoded, sizeof(decoded), &decoded_length) &&
               strcmp((const char *)decoded, header_json) == 0;
}

static bool read_claims(const char *text, size_t length, int64_t now, struct jwt_claims *ret)
{
        unsigned char payload[CLAIMS_MAX];
        size_t payload_length = 0;
        SCOPED_JSON json_t *claims = NULL;
        struct error ignored = ERROR_INIT;

        if (!decode(text, length, payload, sizeof(payload), &payload_length) ||
            json_read((const char *)payload, payload_length, &claims, &ignored))
                return false;
        const char *user_id = json_get_text(claims, "sub", "");
        ret->expires_at = json_get_int(claims, "exp", 0);
        ret->token_version = json_get_int(claims, "ver", -1);
        if (!uuid_valid(user_id) || strcmp(json_get_text(claims, "iss", ""), issuer) != 0 ||
            strcmp(json_get_text(claims, "aud", ""), issuer) != 0)
                return false;
        memcpy(ret->user_id, user_id, UUID_TEXT_SIZE);
        return ret->expires_at > now &&
               json_get_int(claims, "iat", INT64_MAX) <= now + SKEW_SECONDS;
}

static bool verify(const struct secrets *secrets, const char *token, int64_t now,
                   struct jwt_claims *ret)
{
        const char *first = strchr(token, '.');
        const char *second = first ? strchr(first + 1, '.') : NULL;

        return second && !strchr(second + 1, '.') && strlen(token) <= TOKEN_MAX &&
               signature_matches(secrets, token, second) &&
               header_is_ours(token, (size_t)(first - token)) &&
               read_claims(first + 1, (size_t)(second - first - 1), now, ret);
}

enum status jwt_verify(const struct secrets *secrets, const char *token, int64_t now_seconds,
                       struct jwt_claims *ret, struct error *err)
{
        if (verify(secrets, token, now_seconds, ret))
                return STATUS_OK;
        return error_set(err, STATUS_UNAUTHENTICATED,
                         "The access token is not valid or has expired; log in again");
}
