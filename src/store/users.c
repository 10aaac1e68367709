/* SPDX-License-Identifier: Apache-2.0 */
/* Users. An account is unique by its email with the case folded, so that two spellings of one
 * address are one person; the email is shown as it was typed. */
#include "store/users.h"

#include <utf8proc.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "store/store_internal.h"

static const struct column user_columns[] = {
        TEXT_COLUMN(struct user, id),
        TEXT_COLUMN(struct user, email),
        TEXT_COLUMN(struct user, full_name),
        TEXT_COLUMN(struct user, role),
        TEXT_COLUMN(struct user, password_hash),
        INT_COLUMN(struct user, token_version),
        INT_COLUMN(struct user, created_at),
};
static const struct row_type user_type = ROW_TYPE(struct user, "user", user_columns);

#define USER_COLUMNS "id, email, full_name, role, password_hash, token_version, created_at"

static enum status email_key(const void *ctx, const char *email, char **ret, struct error *err)
{
        SCOPED_FREE utf8proc_uint8_t *folded = NULL;

        if (utf8proc_map((const utf8proc_uint8_t *)email, 0, &folded,
                         UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE |
                                 UTF8PROC_CASEFOLD) < 0)
                return error_set(err, STATUS_INVALID, "The email is not valid UTF-8");
        *ret = mem_strdup(ctx, (const char *)folded);
        return STATUS_OK;
}

struct create {
        struct user row;
        const char *key;
};

static enum status create_user(struct db_conn *conn, void *arg, struct error *err)
{
        static const char any_sql[] = "SELECT 1 FROM users LIMIT 1";
        static const char insert_sql[] = "INSERT INTO users (" USER_COLUMNS ", email_key)"
                                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        struct create *create = arg;
        struct db_value values[ROW_VALUES_MAX];
        struct db_args args;
        int64_t any = 0;

        if (row_get_int(conn, any_sql, DB_NO_ARGS, 0, &any, err))
                return err->status;
        if (!create->row.role)
                create->row.role = (char *)(uintptr_t)(any ? "member" : "admin");
        args = row_values(&user_type, &create->row, values);
        values[args.count++] = DB_TEXT(create->key);
        if (db_exec(conn, insert_sql, args, NULL, err) == STATUS_CONFLICT)
                return error_set(err, STATUS_CONFLICT, "This email is already registered");
        return err->status;
}

enum status store_create_user(struct store *store, struct user *user, const void *ctx,
                              struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        struct create create = {.row = *user};
        char id[UUID_TEXT_SIZE], *key = NULL;

        if (email_key(scratch, user->email, &key, err))
                return err->status;
        create.key = key;
        if (!create.row.id)
                create.row.id = uuid_new(id);
        if (!create.row.created_at)
                create.row.created_at = clock_wall_ms();
        if (db_write(store->db, create_user, &create, err))
                return err->status;
        if (!user->id)
                user->id = mem_strdup(ctx, create.row.id);
        if (!user->role)
                user->role = mem_strdup(ctx, create.row.role);
        user->created_at = create.row.created_at;
        return STATUS_OK;
}

enum status store_get_user(struct store *store, const void *ctx, const char *id, struct user *ret,
                           struct error *err)
{
        static const char sql[] = "SELECT " USER_COLUMNS " FROM users WHERE id = ?1";
        const struct row_query query = {sql, DB_ARGS(DB_TEXT(id)), &user_type, ctx};

        return store_get_row(store, &query, ret, err);
}

enum status store_find_user(struct store *store, const void *ctx, const char *email,
                            struct user *ret, struct error *err)
{
        static const char sql[] = "SELECT " USER_COLUMNS " FROM users WHERE email_key = ?1";
        SCOPED_MEM void *scratch = mem_root();
        char *key = NULL;

        if (email_key(scratch, email, &key, err))
                return err->status;
        return store_get_row(
                store, &(struct row_query){sql, DB_ARGS(DB_TEXT(key)), &user_type, ctx}, ret, err);
}

enum status store_list_users(struct store *store, const void *ctx, struct page *page,
                             struct user **ret, size_t *ret_count, struct error *err)
{
        const struct page_query query = {
                .sql = "SELECT " USER_COLUMNS " FROM users WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
                .count_sql = "SELECT count(*) FROM users",
                .type = &user_type,
                .ctx = ctx,
        };

        return store_get_page(store, &query, page, (void **)ret, ret_count, err);
}

struct update {
        const char *id, *full_name, *password_hash;
};

static enum status update_user(struct db_conn *conn, void *arg, struct error *err)
{
        static const char update_sql[] =
                "UPDATE users SET full_name = coalesce(?2, full_name),"
                " password_hash = coalesce(?3, password_hash),"
                " token_version = token_version + (?3 IS NOT NULL) WHERE id = ?1";
        static const char end_families_sql[] = "DELETE FROM refresh_tokens WHERE user_id = ?1";
        const struct update *update = arg;

        if (row_must_change(conn, update_sql,
                            DB_ARGS(DB_TEXT(update->id), DB_TEXT(update->full_name),
                                    DB_TEXT(update->password_hash)),
                            "user", err))
                return err->status;
        if (!update->password_hash)
                return STATUS_OK;
        return db_exec(conn, end_families_sql, DB_ARGS(DB_TEXT(update->id)), NULL, err);
}

enum status store_update_user(struct store *store, const char *id, const char *full_name,
                              const char *password_hash, struct error *err)
{
        struct update update = {id, full_name, password_hash};

        return db_write(store->db, update_user, &update, err);
}
