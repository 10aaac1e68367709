/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/credentials: provider keys, sealed at rest and never shown again. */
#include "api/credentials.h"

#include <string.h>
#include <strings.h>

#include "api/routes.h"
#include "api/views.h"
#include "base/clock.h"
#include "observe/log.h"

enum { HINT_LENGTH = 4, KEY_MAX = 1024, URL_MAX = 2048 };

struct credential_body {
        char *api_key, *base_url;
};

static const struct field credential_fields[] = {
        {"api_key", FIELD_STRING, FIELD_NULLABLE, offsetof(struct credential_body, api_key), 1,
         KEY_MAX, 0},
        {"base_url", FIELD_STRING, FIELD_NULLABLE, offsetof(struct credential_body, base_url), 1,
         URL_MAX, 0},
        {0},
};

static const struct app_provider *find_provider(struct app *app, const char *name)
{
        for (const struct app_provider *provider = app->providers; provider->name; provider++)
                if (strcmp(provider->name, name) == 0)
                        return provider;
        return NULL;
}

enum status credential_resolve(void *arg, const void *ctx, const char *user_id,
                               const char *provider, char **ret_key, char **ret_base_url,
                               struct error *err)
{
        struct app *app = arg;
        const struct app_provider *fallback = find_provider(app, provider);
        struct credential row = {0};
        enum status status =
                user_id ? store_get_credential(app->store, ctx, user_id, provider, &row, err)
                        : STATUS_NOT_FOUND;

        *ret_key = *ret_base_url = NULL;
        if (status && status != STATUS_NOT_FOUND)
                return status;
        *err = ERROR_INIT;
        if (row.base_url && *row.base_url)
                *ret_base_url = row.base_url;
        if (row.sealed_key && *row.sealed_key)
                return secret_open(ctx, &app->secrets, row.sealed_key, ret_key, err);
        /* A key of the environment must not travel to an address that a user chose. */
        if (fallback && !*ret_base_url) {
                *ret_key = mem_strdup(ctx, fallback->api_key);
                *ret_base_url = mem_strdup(ctx, fallback->base_url);
        }
        return STATUS_OK;
}

static const char *hint_of(const char *key)
{
        size_t length = strlen(key);

        return length / 4 >= HINT_LENGTH ? key + length - HINT_LENGTH : "";
}

/* A key is enough, and so is an address where the server behind it may want no key. */
static bool works_without_key(const char *provider)
{
        return strcmp(provider, "openai") == 0 || strcmp(provider, "searxng") == 0;
}

static void view_credential(struct json_writer *json, const struct app_provider *provider,
                            const struct credential *row)
{
        bool from_environment = !row && (provider->api_key ||
                                         (provider->base_url && works_without_key(provider->name)));
        const char *hint = row ? row->hint : provider->api_key ? hint_of(provider->api_key) : NULL;
        const char *url = row ? row->base_url : provider->base_url;

        json_open_object(json, NULL);
        json_put_text(json, "provider", provider->name);
        json_put_bool(json, "configured", row || from_environment);
        json_put_text(json, "source", row ? "user" : from_environment ? "environment" : NULL);
        json_put_text(json, "hint", hint && *hint ? hint : NULL);
        json_put_text(json, "base_url", url && *url ? url : NULL);
        json_put_time(json, "updated_at", row ? row->updated_at : 0);
        json_close_object(json);
}

static enum status provider_param(struct request *req, const struct app_provider **ret,
                                  struct error *err)
{
        const char *name = request_param(req, "provider");

        *ret = find_provider(app_of(req), name);
        if (*ret)
                return STATUS_OK;
        return error_set(
                err, STATUS_NOT_FOUND,
                "There is no provider '%.40s'; there are gemini, openai, brave, serpapi, searxng",
                name);
}

static struct reply reply_credential(struct request *req, const struct app_provider *provider,
                                     const struct credential *row)
{
        struct view view;

        view_begin(&view, req);
        view_credential(&view.json, provider, row);
        return view_reply(&view, 200);
}

static struct reply list_credentials(struct request *req)
{
        struct app *app = app_of(req);
        struct credential *rows = NULL;
        size_t count = 0;
        struct page page = {0};
        struct error err = ERROR_INIT;
        struct view view;

        if (store_list_credentials(app->store, req->ctx, user_of(req)->id, &rows, &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (const struct app_provider *provider = app->providers; provider->name; provider++) {
                const struct credential *row = NULL;

                for (size_t i = 0; i < count && !row; i++)
                        if (strcmp(rows[i].provider, provider->name) == 0)
                                row = &rows[i];
                view_credential(&view.json, provider, row);
                page.total++;
        }
        return view_list_reply(&view, &page);
}

static struct reply get_credential(struct request *req)
{
        const struct app_provider *provider;
        struct credential row = {0};
        struct error err = ERROR_INIT;

        if (provider_param(req, &provider, &err))
                return reply_error(req, &err);
        enum status status = store_get_credential(app_of(req)->store, req->ctx, user_of(req)->id,
                                                  provider->name, &row, &err);
        if (status && status != STATUS_NOT_FOUND)
                return reply_error(req, &err);
        return reply_credential(req, provider, status ? NULL : &row);
}

static bool plausible_url(const char *url)
{
        const char *rest = strncasecmp(url, "https://", 8) == 0  ? url + 8
                           : strncasecmp(url, "http://", 7) == 0 ? url + 7
                                                                 : "";

        return *rest && !strpbrk(url, " \t\r\n\"<>@#?");
}

/* It goes into a header: nothing may end that early. */
static bool printable(const char *key)
{
        for (; *key; key++)
                if (*key <= ' ' || *key >= 0x7f)
                        return false;
        return true;
}

/* A private address is only for administrators to choose: it reaches into the server's network. */
static enum status check_body(struct request *req, const struct credential_body *body,
                              struct error *err)
{
        if (!body->api_key && !body->base_url) {
                problems_add(request_problems(req), NULL, "api_key",
                             "give api_key, base_url or both");
                return error_set(err, STATUS_INVALID, "Give api_key, base_url or both");
        }
        if (body->api_key && !printable(body->api_key)) {
                problems_add(request_problems(req), NULL, "api_key",
                             "must be printable ASCII without spaces");
                return error_set(err, STATUS_INVALID,
                                 "api_key must be printable ASCII without spaces");
        }
        if (body->base_url && !plausible_url(body->base_url)) {
                problems_add(request_problems(req), NULL, "base_url",
                             "must be an http or https address without query or user");
                return error_set(err, STATUS_INVALID, "base_url must be an http or https address");
        }
        if (body->base_url && strcmp(user_of(req)->role, "admin") != 0)
                return error_set(err, STATUS_FORBIDDEN,
                                 "Only an administrator may point a provider at another address");
        return STATUS_OK;
}

static struct reply put_credential(struct request *req)
{
        struct app *app = app_of(req);
        const struct app_provider *provider;
        struct credential_body body = {0};
        struct error err = ERROR_INIT;

        if (provider_param(req, &provider, &err) ||
            request_fields(req, credential_fields, &body, &err) || check_body(req, &body, &err))
                return reply_error(req, &err);
        struct credential row = {
                .user_id = user_of(req)->id,
                .provider = mem_strdup(req->ctx, provider->name),
                .sealed_key = body.api_key ? secret_seal(req->ctx, &app->secrets, body.api_key)
                                           : mem_strdup(req->ctx, ""),
                .hint = mem_strdup(req->ctx, body.api_key ? hint_of(body.api_key) : ""),
                .base_url = body.base_url ? body.base_url : mem_strdup(req->ctx, ""),
                .updated_at = clock_wall_ms(),
        };
        if (store_put_credential(app->store, &row, &err))
                return reply_error(req, &err);
        log_info(LOG_auth, "provider key set", LOG_STR("provider", provider->name));
        return reply_credential(req, provider, &row);
}

static struct reply delete_credential(struct request *req)
{
        const struct app_provider *provider;
        struct error err = ERROR_INIT;

        if (provider_param(req, &provider, &err) ||
            store_delete_credential(app_of(req)->store, user_of(req)->id, provider->name, &err))
                return reply_error(req, &err);
        log_info(LOG_auth, "provider key deleted", LOG_STR("provider", provider->name));
        return reply_empty(req, 204);
}

const struct route credential_routes[] = {
        {METHOD_GET, "/api/v1/credentials", 0, 0, list_credentials, NULL},
        {METHOD_GET, "/api/v1/credentials/{provider}", 0, 0, get_credential, NULL},
        {METHOD_PUT, "/api/v1/credentials/{provider}", 0, SMALL_BODY, put_credential, NULL},
        {METHOD_DELETE, "/api/v1/credentials/{provider}", 0, 0, delete_credential, NULL},
        {0},
};
