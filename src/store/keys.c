/* SPDX-License-Identifier: Apache-2.0 */
/* Keys at rest: people's own API keys (by hash) and the keys of providers (sealed). */
#include "base/clock.h"
#include "base/uuid.h"
#include "store/store_internal.h"
#include "store/users.h"

static const struct column api_key_columns[] = {
        TEXT_COLUMN(struct api_key, id),        TEXT_COLUMN(struct api_key, user_id),
        TEXT_COLUMN(struct api_key, name),      TEXT_COLUMN(struct api_key, prefix),
        TEXT_COLUMN(struct api_key, hash),      INT_COLUMN(struct api_key, created_at),
        INT_COLUMN(struct api_key, expires_at), INT_COLUMN(struct api_key, last_used_at),
};
static const struct row_type api_key_type = ROW_TYPE(struct api_key, "API key", api_key_columns);

#define API_KEY_COLUMNS "id, user_id, name, prefix, hash, created_at, expires_at, last_used_at"

enum status store_add_api_key(struct store *store, struct api_key *key, const void *ctx,
                              struct error *err)
{
        static const char sql[] = "INSERT INTO api_keys (" API_KEY_COLUMNS ")"
                                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        struct api_key row = *key;
        struct db_value values[ROW_VALUES_MAX];
        char id[UUID_TEXT_SIZE];

        if (!row.id)
                row.id = uuid_new(id);
        if (!row.created_at)
                row.created_at = clock_wall_ms();
        if (store_exec(store, sql, row_values(&api_key_type, &row, values), NULL, err))
                return err->status;
        if (!key->id)
                key->id = mem_strdup(ctx, row.id);
        key->created_at = row.created_at;
        return STATUS_OK;
}

enum status store_list_api_keys(struct store *store, const void *ctx, const char *user_id,
                                struct page *page, struct api_key **ret, size_t *ret_count,
                                struct error *err)
{
        const struct page_query query = {
                .sql = "SELECT " API_KEY_COLUMNS " FROM api_keys WHERE user_id = ?1 AND id < ?2"
                       " ORDER BY id DESC LIMIT ?3",
                .count_sql = "SELECT count(*) FROM api_keys WHERE user_id = ?1",
                .filters = DB_ARGS(DB_TEXT(user_id)),
                .type = &api_key_type,
                .ctx = ctx,
        };

        return store_get_page(store, &query, page, (void **)ret, ret_count, err);
}

enum status store_delete_api_key(struct store *store, const char *user_id, const char *id,
                                 struct error *err)
{
        static const char sql[] = "DELETE FROM api_keys WHERE id = ?2 AND user_id = ?1";

        return store_change(store, sql, DB_ARGS(DB_TEXT(user_id), DB_TEXT(id)), api_key_type.name,
                            err);
}

enum status store_find_api_key(struct store *store, const void *ctx, const char *hash, int64_t now,
                               struct api_key *ret, struct error *err)
{
        static const char sql[] = "SELECT " API_KEY_COLUMNS " FROM api_keys"
                                  " WHERE hash = ?1 AND (expires_at = 0 OR expires_at > ?2)";
        const struct row_query query = {sql, DB_ARGS(DB_TEXT(hash), DB_INT(now)), &api_key_type,
                                        ctx};

        return store_get_row(store, &query, ret, err);
}

struct touch {
        char id[UUID_TEXT_SIZE];
        int64_t now;
};

static enum status touch_api_key(struct db_conn *conn, void *arg, struct error *err)
{
        static const char sql[] =
                "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND last_used_at < ?2";
        const struct touch *touch = arg;

        return db_exec(conn, sql, DB_ARGS(DB_TEXT(touch->id), DB_INT(touch->now)), NULL, err);
}

/* Whether the time of the last use was kept changes nothing for anyone. */
static void touch_done(void *arg, const struct error *err)
{
        (void)err;
        mem_free(arg);
}

void store_touch_api_key(struct store *store, const char *id, int64_t now)
{
        struct touch *touch = mem_new(NULL, struct touch);

        snprintf(touch->id, sizeof(touch->id), "%s", id);
        touch->now = now;
        db_write_async(store->db, touch_api_key, touch, touch_done);
}

/* --- Provider keys ----------------------------------------------------------------------------*/
static const struct column credential_columns[] = {
        TEXT_COLUMN(struct credential, user_id),    TEXT_COLUMN(struct credential, provider),
        TEXT_COLUMN(struct credential, sealed_key), TEXT_COLUMN(struct credential, hint),
        TEXT_COLUMN(struct credential, base_url),   INT_COLUMN(struct credential, updated_at),
};
static const struct row_type credential_type =
        ROW_TYPE(struct credential, "credential", credential_columns);

#define CREDENTIAL_COLUMNS "user_id, provider, sealed_key, hint, base_url, updated_at"

enum status store_put_credential(struct store *store, const struct credential *credential,
                                 struct error *err)
{
        static const char sql[] =
                "INSERT INTO credentials (" CREDENTIAL_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                " ON CONFLICT (user_id, provider) DO UPDATE SET sealed_key = excluded.sealed_key,"
                " hint = excluded.hint, base_url = excluded.base_url,"
                " updated_at = excluded.updated_at";
        struct credential row = *credential;
        struct db_value values[ROW_VALUES_MAX];

        if (!row.updated_at)
                row.updated_at = clock_wall_ms();
        return store_exec(store, sql, row_values(&credential_type, &row, values), NULL, err);
}

enum status store_get_credential(struct store *store, const void *ctx, const char *user_id,
                                 const char *provider, struct credential *ret, struct error *err)
{
        static const char sql[] = "SELECT " CREDENTIAL_COLUMNS " FROM credentials"
                                  " WHERE user_id = ?1 AND provider = ?2";
        const struct row_query query = {sql, DB_ARGS(DB_TEXT(user_id), DB_TEXT(provider)),
                                        &credential_type, ctx};

        return store_get_row(store, &query, ret, err);
}

enum status store_list_credentials(struct store *store, const void *ctx, const char *user_id,
                                   struct credential **ret, size_t *ret_count, struct error *err)
{
        static const char sql[] = "SELECT " CREDENTIAL_COLUMNS " FROM credentials"
                                  " WHERE user_id = ?1 ORDER BY provider";
        const struct row_query query = {sql, DB_ARGS(DB_TEXT(user_id)), &credential_type, ctx};

        return store_get_rows(store, &query, (void **)ret, ret_count, err);
}

enum status store_delete_credential(struct store *store, const char *user_id, const char *provider,
                                    struct error *err)
{
        static const char sql[] = "DELETE FROM credentials WHERE user_id = ?1 AND provider = ?2";

        return store_change(store, sql, DB_ARGS(DB_TEXT(user_id), DB_TEXT(provider)),
                            credential_type.name, err);
}
