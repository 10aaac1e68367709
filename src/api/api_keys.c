/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/api-keys: personal keys, shown once and kept as hashes. */
#include <string.h>

#include "api/auth/api_key.h"
#include "api/routes.h"
#include "api/views.h"
#include "base/clock.h"
#include "observe/log.h"

struct key_body {
        char *name, *expires_at;
};

static const struct field key_fields[] = {
        {"name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct key_body, name), 1, 100, 0},
        {"expires_at", FIELD_STRING, FIELD_NULLABLE, offsetof(struct key_body, expires_at), 1, 40,
         0},
        {0},
};

/* `key` NULL: the row of a list, without the key itself. */
static void view_key(struct json_writer *json, const struct api_key *row, const char *key)
{
        json_open_object(json, NULL);
        json_put_text(json, "id", row->id);
        json_put_text(json, "name", row->name);
        json_put_text(json, "prefix", row->prefix);
        if (key)
                json_put_text(json, "key", key);
        json_put_time(json, "created_at", row->created_at);
        json_put_time(json, "expires_at", row->expires_at);
        if (!key)
                json_put_time(json, "last_used_at", row->last_used_at);
        json_close_object(json);
}

static struct reply list_keys(struct request *req)
{
        struct page page;
        struct api_key *keys = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;

        if (page_read(req, &page, &err) ||
            store_list_api_keys(app_of(req)->store, req->ctx, user_of(req)->id, &page, &keys,
                                &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++)
                view_key(&view.json, &keys[i], NULL);
        return view_list_reply(&view, &page);
}

static enum status read_expiry(struct request *req, const char *text, int64_t *ret,
                               struct error *err)
{
        if (!text)
                return STATUS_OK;
        if (clock_parse(text, ret, err)) {
                problems_add(request_problems(req), NULL, "expires_at", "is not an RFC 3339 time");
                return err->status;
        }
        if (*ret > clock_wall_ms())
                return STATUS_OK;
        problems_add(request_problems(req), NULL, "expires_at", "must be in the future");
        return error_set(err, STATUS_INVALID, "expires_at must be in the future");
}

static struct reply create_key(struct request *req)
{
        struct key_body body = {0};
        struct api_key row = {0};
        struct error err = ERROR_INIT;
        struct view view;
        char hash[65];

        if (request_fields(req, key_fields, &body, &err) ||
            read_expiry(req, body.expires_at, &row.expires_at, &err))
                return reply_error(req, &err);
        char *key = api_key_generate(req->ctx);

        secret_hash(key, strlen(key), hash);
        row.user_id = user_of(req)->id;
        row.name = body.name;
        row.prefix = mem_strndup(req->ctx, key, API_KEY_PREFIX_LENGTH);
        row.hash = hash;
        if (store_add_api_key(app_of(req)->store, &row, req->ctx, &err))
                return reply_error(req, &err);
        log_info(LOG_auth, "API key made", LOG_STR("key_id", row.id));
        view_begin(&view, req);
        view_key(&view.json, &row, key);
        return view_reply(&view, 201);
}

static struct reply delete_key(struct request *req)
{
        struct error err = ERROR_INIT;
        const char *id;

        if (id_param(req, "id", &id, &err) ||
            store_delete_api_key(app_of(req)->store, user_of(req)->id, id, &err))
                return reply_error(req, &err);
        log_info(LOG_auth, "API key deleted", LOG_STR("key_id", id));
        return reply_empty(req, 204);
}

const struct route api_key_routes[] = {
        {METHOD_GET, "/api/v1/api-keys", 0, 0, list_keys, NULL},
        {METHOD_POST, "/api/v1/api-keys", 0, SMALL_BODY, create_key, NULL},
        {METHOD_DELETE, "/api/v1/api-keys/{id}", 0, 0, delete_key, NULL},
        {0},
};
