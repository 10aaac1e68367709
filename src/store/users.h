/* SPDX-License-Identifier: Apache-2.0 */
/* Users, their refresh tokens and their personal API keys. */
#pragma once

#include "store/store.h"

struct user {
        char *id, *email, *full_name;
        char *role; /* "admin" or "member" */
        char *password_hash;
        int64_t token_version; /* rises when the password changes: older access tokens are refused */
        int64_t created_at;
};

/* Fills id, role ("admin" for the very first user, decided inside the write) and created_at when
 * they are not set. Emails are compared without case. STATUS_CONFLICT if the email is taken. */
enum status store_create_user(struct store *store, struct user *user, const void *ctx,
                              struct error *err) MUST_USE;
enum status store_get_user(struct store *store, const void *ctx, const char *id, struct user *ret,
                           struct error *err) MUST_USE;
enum status store_find_user(struct store *store, const void *ctx, const char *email,
                            struct user *ret, struct error *err) MUST_USE;
enum status store_list_users(struct store *store, const void *ctx, struct page *page,
                             struct user **ret, size_t *ret_count, struct error *err) MUST_USE;
/* NULL leaves a column as it is; a new password raises token_version and ends all refresh families. */
enum status store_update_user(struct store *store, const char *id, const char *full_name,
                              const char *password_hash, struct error *err) MUST_USE;

/* Refresh tokens are stored by SHA-256 and rotate inside a family that began with a log-in. */
struct refresh_token {
        char *hash, *user_id, *family_id;
        int64_t expires_at;
};
enum status store_add_refresh_token(struct store *store, const struct refresh_token *token,
                                    struct error *err) MUST_USE;
/* Marks `old_hash` used and adds `fresh` (user and family filled from the old one) in one write.
 * A token used before revokes its whole family: STATUS_UNAUTHENTICATED, as for unknown, expired and
 * revoked ones. */
enum status store_rotate_refresh_token(struct store *store, const void *ctx, const char *old_hash,
                                       int64_t now, struct refresh_token *fresh,
                                       struct error *err) MUST_USE;
/* Ends the family of this token, whoever asks (having it is enough; `user_id` is not looked at), or,
 * when `hash` is NULL, all of the user's. Unknown is fine. */
enum status store_revoke_refresh_tokens(struct store *store, const char *user_id, const char *hash,
                                        struct error *err) MUST_USE;

struct api_key {
        char *id, *user_id, *name;
        char *prefix; /* first characters, shown in lists */
        char *hash;
        int64_t created_at, expires_at /* 0: never */, last_used_at;
};
enum status store_add_api_key(struct store *store, struct api_key *key, const void *ctx,
                              struct error *err) MUST_USE;
enum status store_list_api_keys(struct store *store, const void *ctx, const char *user_id,
                                struct page *page, struct api_key **ret, size_t *ret_count,
                                struct error *err) MUST_USE;
enum status store_delete_api_key(struct store *store, const char *user_id, const char *id,
                                 struct error *err) MUST_USE;
/* The key's row by hash if it has not expired at `now`. */
enum status store_find_api_key(struct store *store, const void *ctx, const char *hash, int64_t now,
                               struct api_key *ret, struct error *err) MUST_USE;
/* Sets last_used_at without waiting for the commit. */
void store_touch_api_key(struct store *store, const char *id, int64_t now);

/* Provider keys, sealed by base/secret.h before they come here. One row a user and provider. */
struct credential {
        char *user_id, *provider, *sealed_key, *hint, *base_url;
        int64_t updated_at;
};
enum status store_put_credential(struct store *store, const struct credential *credential,
                                 struct error *err) MUST_USE;
enum status store_get_credential(struct store *store, const void *ctx, const char *user_id,
                                 const char *provider, struct credential *ret,
                                 struct error *err) MUST_USE;
enum status store_list_credentials(struct store *store, const void *ctx, const char *user_id,
                                   struct credential **ret, size_t *ret_count,
                                   struct error *err) MUST_USE;
enum status store_delete_credential(struct store *store, const char *user_id, const char *provider,
                                    struct error *err) MUST_USE;
