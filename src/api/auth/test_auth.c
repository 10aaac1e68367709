/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "api/auth/api_key.h"
#include "api/auth/jwt.h"
#include "api/auth/password.h"

#include <cmocka.h>

static const char user_id[] = "0192aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa";
static const int64_t now = 1800000000;

static struct secrets secrets_of(const char *key)
{
        struct secrets secrets;
        struct error err = ERROR_INIT;

        assert_int_equal(secrets_derive(key, &secrets, &err), STATUS_OK);
        return secrets;
}

static char *sign(void *ctx, const struct secrets *secrets, int64_t expires_at)
{
        struct jwt_claims claims = {.token_version = 3, .expires_at = expires_at};

        memcpy(claims.user_id, user_id, sizeof(user_id));
        return jwt_sign(ctx, secrets, &claims, now);
}

static enum status verify(const struct secrets *secrets, const char *token, struct jwt_claims *ret)
{
        struct error err = ERROR_INIT;

        return jwt_verify(secrets, token, now + 10, ret, &err);
}

static void token_is_read_back(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct secrets secrets = secrets_of("a key of sixteen bytes or more");
        struct jwt_claims claims;

        (void)state;
        assert_int_equal(verify(&secrets, sign(ctx, &secrets, now + 900), &claims), STATUS_OK);
        assert_string_equal(claims.user_id, user_id);
        assert_int_equal(claims.token_version, 3);
}

static void other_keys_and_late_tokens_are_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct secrets ours = secrets_of("a key of sixteen bytes or more");
        struct secrets theirs = secrets_of("another key, also long enough");
        struct jwt_claims claims;

        (void)state;
        assert_int_equal(verify(&ours, sign(ctx, &theirs, now + 900), &claims),
                         STATUS_UNAUTHENTICATED);
        assert_int_equal(verify(&ours, sign(ctx, &ours, now + 10), &claims),
                         STATUS_UNAUTHENTICATED);
        assert_int_equal(verify(&ours, sign(ctx, &ours, now + 11), &claims), STATUS_OK);
}

/* Every single changed character must break the token, the last one included (canonical base64). */
static void any_changed_character_is_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct secrets secrets = secrets_of("a key of sixteen bytes or more");
        char *token = sign(ctx, &secrets, now + 900);
        struct jwt_claims claims;

        (void)state;
        for (size_t i = 0; token[i]; i++) {
                char kept = token[i];

                token[i] = kept == 'A' ? 'B' : 'A';
                assert_int_equal(verify(&secrets, token, &claims), STATUS_UNAUTHENTICATED);
                token[i] = kept;
        }
        assert_int_equal(verify(&secrets, token, &claims), STATUS_OK);
}

/* A token under the right key, but with another header: algorithm none, or RS256 by confusion. */
static char *forge(void *ctx, const struct secrets *secrets, const char *header,
                   const char *payload)
{
        unsigned char mac[crypto_auth_hmacsha256_BYTES];
        char head[256], body[512], tail[128];
        int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

        sodium_bin2base64(head, sizeof(head), (const unsigned char *)header, strlen(header),
                          variant);
        sodium_bin2base64(body, sizeof(body), (const unsigned char *)payload, strlen(payload),
                          variant);
        char *text = mem_printf(ctx, "%s.%s", head, body);
        crypto_auth_hmacsha256(mac, (const unsigned char *)text, strlen(text), secrets->tokens);
        sodium_bin2base64(tail, sizeof(tail), mac, sizeof(mac), variant);
        return mem_printf(ctx, "%s.%s", text, tail);
}

static void foreign_headers_and_claims_are_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct secrets secrets = secrets_of("a key of sixteen bytes or more");
        const char *payload =
                "{\"iss\":\"flowgenix\",\"aud\":\"flowgenix\",\"sub\":"
                "\"0192aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa\",\"ver\":1,\"iat\":1800000000,"
                "\"exp\":1800000900,\"jti\":\"x\"}";
        const char *ours = "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}";
        struct jwt_claims claims;

        (void)state;
        assert_int_equal(verify(&secrets, forge(ctx, &secrets, ours, payload), &claims), STATUS_OK);
        const char *const headers[] = {"{\"alg\":\"none\"}",
                                       "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}",
                                       "{\"alg\":\"hs256\",\"typ\":\"at+jwt\"}", ""};
        for (size_t i = 0; i < ARRAY_LENGTH(headers); i++)
                assert_int_equal(
                        verify(&secrets, forge(ctx, &secrets, headers[i], payload), &claims),
                        STATUS_UNAUTHENTICATED);
        const char *const payloads[] = {
                "{}", "[]", "", "{\"iss\":\"other\"}",
                "{\"iss\":\"flowgenix\",\"aud\":\"flowgenix\",\"sub\":\"x\"}"};
        for (size_t i = 0; i < ARRAY_LENGTH(payloads); i++)
                assert_int_equal(verify(&secrets, forge(ctx, &secrets, ours, payloads[i]), &claims),
                                 STATUS_UNAUTHENTICATED);
        const char *const texts[] = {"", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d.e"};
        for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
                assert_int_equal(verify(&secrets, texts[i], &claims), STATUS_UNAUTHENTICATED);
}

static void passwords_match_only_themselves(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        char *hash;

        (void)state;
        assert_int_equal(password_hash(ctx, "correct horse", &hash, &err), STATUS_OK);
        assert_non_null(strstr(hash, "$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_true(password_matches(hash, "correct horse"));
        assert_false(password_matches(hash, "correct horsf"));
        assert_false(password_matches(NULL, "correct horse"));
}

/* The stand-in for unknown users must be a well-formed hash, or it would be refused without work.
 */
static void nobody_costs_as_much_as_somebody(void **state)
{
        struct timespec a, b, c;
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        char *hash;

        (void)state;
        assert_int_equal(password_hash(ctx, "x", &hash, &err), STATUS_OK);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        assert_false(password_matches(hash, "y"));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        assert_false(password_matches(NULL, "y"));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &c);
        double somebody = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
        double nobody = (double)(c.tv_sec - b.tv_sec) * 1e9 + (double)(c.tv_nsec - b.tv_nsec);
        assert_true(nobody > somebody / 5);
}

static void sealed_keys_open_under_their_key_only(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct secrets ours = secrets_of("a key of sixteen bytes or more");
        struct secrets theirs = secrets_of("another key, also long enough");
        struct error err = ERROR_INIT;
        char *sealed = secret_seal(ctx, &ours, "sk-123"), *plain;

        (void)state;
        assert_null(strstr(sealed, "sk-123"));
        assert_int_equal(secret_open(ctx, &ours, sealed, &plain, &err), STATUS_OK);
        assert_string_equal(plain, "sk-123");
        assert_int_equal(secret_open(ctx, &theirs, sealed, &plain, &err), STATUS_UNPROCESSABLE);
        assert_int_equal(secret_open(ctx, &ours, "AAAA", &plain, &err), STATUS_UNPROCESSABLE);
        assert_int_equal(secret_open(ctx, &ours, "not base64!", &plain, &err),
                         STATUS_UNPROCESSABLE);
}

static void api_keys_are_long_and_differ(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char *a = api_key_generate(ctx), *b = api_key_generate(ctx);

        (void)state;
        assert_true(api_key_looks_like(a));
        assert_int_equal(strlen(a), 4 + 43);
        assert_string_not_equal(a, b);
        assert_false(api_key_looks_like("eyJhbGciOiJIUzI1NiJ9"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(token_is_read_back),
                cmocka_unit_test(other_keys_and_late_tokens_are_refused),
                cmocka_unit_test(any_changed_character_is_refused),
                cmocka_unit_test(foreign_headers_and_claims_are_refused),
                cmocka_unit_test(passwords_match_only_themselves),
                cmocka_unit_test(nobody_costs_as_much_as_somebody),
                cmocka_unit_test(sealed_keys_open_under_their_key_only),
                cmocka_unit_test(api_keys_are_long_and_differ),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
