/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens: JWT (RFC 7519) signed with HS256 and nothing else (RFC 8725). */
#pragma once

#include <stdint.h>

#include "base/secret.h"
#include "base/uuid.h"

enum { JWT_ACCESS_SECONDS = 15 * 60 };

struct jwt_claims {
        char user_id[UUID_TEXT_SIZE]; /* sub */
        int64_t token_version;        /* ver: must equal the user's */
        int64_t expires_at;           /* exp, seconds since 1970 */
};

/* A token for `claims` below ctx; expires_at is used as given. */
char *jwt_sign(const void *ctx, const struct secrets *secrets, const struct jwt_claims *claims,
               int64_t now_seconds) MUST_USE;
/* STATUS_UNAUTHENTICATED for anything but a token that jwt_sign made under this key and that has
 * not expired at `now_seconds`; the message does not say which check failed. */
enum status jwt_verify(const struct secrets *secrets, const char *token, int64_t now_seconds,
                       struct jwt_claims *ret, struct error *err) MUST_USE;
