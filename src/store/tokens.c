/* SPDX-License-Identifier: Apache-2.0 */
/* Refresh tokens: each is good once and replaced by the next of its family.
 *
 * A token that comes back after it was used means that two hold it, one of them a thief: the whole
 * family ends. Ending a family removes its rows, so its tokens are then simply unknown. */
#include "base/clock.h"
#include "store/store_internal.h"
#include "store/users.h"

static const char insert_sql[] =
        "INSERT INTO refresh_tokens (hash, user_id, family_id, expires_at) VALUES (?1, ?2, ?3, ?4)";
/* Keeps the table small: what has expired is refused by its time or by being unknown. */
static const char expire_sql[] =
        "DELETE FROM refresh_tokens WHERE user_id = ?1 AND expires_at <= ?2";
static const char end_family_sql[] = "DELETE FROM refresh_tokens WHERE family_id = ?1";

static enum status insert_token(struct db_conn *conn, const struct refresh_token *token,
                                int64_t now, struct error *err)
{
        if (db_exec(conn, expire_sql, DB_ARGS(DB_TEXT(token->user_id), DB_INT(now)), NULL, err))
                return err->status;
        return db_exec(conn, insert_sql,
                       DB_ARGS(DB_TEXT(token->hash), DB_TEXT(token->user_id),
                               DB_TEXT(token->family_id), DB_INT(token->expires_at)),
                       NULL, err);
}

static enum status add_token(struct db_conn *conn, void *arg, struct error *err)
{
        return insert_token(conn, arg, clock_wall_ms(), err);
}

enum status store_add_refresh_token(struct store *store, const struct refresh_token *token,
                                    struct error *err)
{
        struct refresh_token copy = *token;

        return db_write(store->db, add_token, &copy, err);
}

struct found_token {
        char *user_id, *family_id;
        int64_t expires_at, used_at;
};

static const struct column found_columns[] = {
        TEXT_COLUMN(struct found_token, user_id),
        TEXT_COLUMN(struct found_token, family_id),
        INT_COLUMN(struct found_token, expires_at),
        INT_COLUMN(struct found_token, used_at),
};
static const struct row_type found_type =
        ROW_TYPE(struct found_token, "refresh token", found_columns);

struct rotate {
        const void *ctx;
        const char *old_hash;
        int64_t now;
        struct refresh_token *fresh;
        bool accepted;
};

static enum status replace_token(struct db_conn *conn, struct rotate *rotate, struct error *err)
{
        static const char use_sql[] = "UPDATE refresh_tokens SET used_at = ?2 WHERE hash = ?1";

        if (db_exec(conn, use_sql, DB_ARGS(DB_TEXT(rotate->old_hash), DB_INT(rotate->now)), NULL,
                    err))
                return err->status;
        return insert_token(conn, rotate->fresh, rotate->now, err);
}

/* A refused token is no failure here: what it ends must be committed. */
static enum status rotate_token(struct db_conn *conn, void *arg, struct error *err)
{
        static const char find_sql[] = "SELECT user_id, family_id, expires_at, used_at"
                                       " FROM refresh_tokens WHERE hash = ?1";
        struct rotate *rotate = arg;
        struct found_token old;
        const struct row_query find = {find_sql, DB_ARGS(DB_TEXT(rotate->old_hash)), &found_type,
                                       rotate->ctx};

        if (row_get(conn, &find, &old, err) == STATUS_NOT_FOUND) {
                *err = ERROR_INIT;
                return STATUS_OK;
        }
        if (err->status)
                return err->status;
        if (old.used_at)
                return db_exec(conn, end_family_sql, DB_ARGS(DB_TEXT(old.family_id)), NULL, err);
        if (old.expires_at <= rotate->now)
                return STATUS_OK;
        rotate->accepted = true;
        rotate->fresh->user_id = old.user_id;
        rotate->fresh->family_id = old.family_id;
        return replace_token(conn, rotate, err);
}

enum status store_rotate_refresh_token(struct store *store, const void *ctx, const char *old_hash,
                                       int64_t now, struct refresh_token *fresh, struct error *err)
{
        struct rotate rotate = {ctx, old_hash, now, fresh, false};

        if (db_write(store->db, rotate_token, &rotate, err))
                return err->status;
        if (!rotate.accepted)
                return error_set(err, STATUS_UNAUTHENTICATED, "Sign in again");
        return STATUS_OK;
}

enum status store_revoke_refresh_tokens(struct store *store, const char *user_id, const char *hash,
                                        struct error *err)
{
        static const char all_sql[] = "DELETE FROM refresh_tokens WHERE user_id = ?1";
        static const char family_sql[] = "DELETE FROM refresh_tokens WHERE family_id ="
                                         " (SELECT family_id FROM refresh_tokens WHERE hash = ?1)";

        if (!hash)
                return store_exec(store, all_sql, DB_ARGS(DB_TEXT(user_id)), NULL, err);
        return store_exec(store, family_sql, DB_ARGS(DB_TEXT(hash)), NULL, err);
}
