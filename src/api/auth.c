/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/auth: accounts and tokens. What hashes a password runs on the hashing pool, which bounds
 * the memory that many log-ins at once can take. */
#include <ctype.h>
#include <string.h>

#include "api/auth/jwt.h"
#include "api/auth/password.h"
#include "api/routes.h"
#include "api/session.h"
#include "api/views.h"
#include "base/clock.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { BODY_MAX = 64 * 1024, EMAIL_MAX = 254, REFRESH_DAYS = 30, TOKEN_TEXT_MAX = 1024 };

struct auth_body {
        char *email, *password, *full_name, *refresh_token, *current_password, *new_password;
};

#define TEXT(field, min, max)                                                                      \
        {                                                                                          \
#field, FIELD_STRING, FIELD_REQUIRED, offsetof(struct auth_body, field), min, max, \
                        0                                                                          \
        }

static const struct field register_fields[] = {
        TEXT(email, 3, EMAIL_MAX),
        TEXT(password, PASSWORD_MIN, PASSWORD_MAX),
        TEXT(full_name, 1, 200),
        {0},
};
static const struct field login_fields[] = {
        TEXT(email, 1, EMAIL_MAX),
        TEXT(password, 1, PASSWORD_MAX),
        {0},
};
static const struct field refresh_fields[] = {TEXT(refresh_token, 1, TOKEN_TEXT_MAX), {0}};
static const struct field logout_fields[] = {
        {"refresh_token", FIELD_STRING, FIELD_NULLABLE, offsetof(struct auth_body, refresh_token),
         1, TOKEN_TEXT_MAX, 0},
        {0},
};
static const struct field me_fields[] = {TEXT(full_name, 1, 200), {0}};
static const struct field password_fields[] = {
        TEXT(current_password, 1, PASSWORD_MAX),
        TEXT(new_password, PASSWORD_MIN, PASSWORD_MAX),
        {0},
};

/* --- Work on the hashing pool ----------------------------------------------------------------- */
struct hashing_job {
        struct request *req;
        struct auth_body body;
        struct reply (*work)(struct request *req, const struct auth_body *body);
};

static void run_hashing(void *arg)
{
        struct hashing_job *job = arg;
        struct request *req = job->req;
        TRACE_SCOPE(&req->trace);

        request_finish(req, job->work(req, &job->body));
}

static struct reply hash_later(struct request *req, const struct auth_body *body,
                               struct reply (*work)(struct request *, const struct auth_body *))
{
        struct hashing_job *job = mem_new(req->ctx, struct hashing_job);
        struct error err = ERROR_INIT;
        struct reply later = reply_later(req);

        *job = (struct hashing_job){req, *body, work};
        if (pool_submit(app_of(req)->hashing, run_hashing, job, &err))
                request_finish(req, reply_error(req, &err));
        return later;
}

/* --- Register ----------------------------------------------------------------------------------*/
static bool email_plausible(const char *email)
{
        const char *at = strchr(email, '@');

        for (const char *c = email; *c; c++)
                if (isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
                        return false;
        return at && at != email && at[1] && !strchr(at + 1, '@') && at[1] != '.' &&
               email[strlen(email) - 1] != '.';
}

static void audit(const char *message, const char *user_id)
{
        log_info(LOG_auth, message, LOG_STR("account_id", user_id));
}

static struct reply register_slow(struct request *req, const struct auth_body *body)
{
        struct user user = {.email = body->email, .full_name = body->full_name};
        struct error err = ERROR_INIT;
        struct view view;

        if (password_hash(req->ctx, body->password, &user.password_hash, &err) ||
            store_create_user(app_of(req)->store, &user, req->ctx, &err))
                return reply_error(req, &err);
        audit("account made", user.id);
        view_begin(&view, req);
        view_user(&view.json, &user);
        return view_reply(&view, 201);
}

static struct reply register_user(struct request *req)
{
        struct auth_body body = {0};
        struct error err = ERROR_INIT;

        if (request_fields(req, register_fields, &body, &err))
                return reply_error(req, &err);
        if (!email_plausible(body.email)) {
                problems_add(request_problems(req), NULL, "email", "is not an e-mail address");
                error_set(&err, STATUS_INVALID, "email is not an e-mail address");
                return reply_error(req, &err);
        }
        return hash_later(req, &body, register_slow);
}

/* --- Log in, refresh, log out ------------------------------------------------------------------*/
static void fresh_token(struct request *req, char **ret_text, struct refresh_token *ret)
{
        char *hash = mem_array(req->ctx, char, 65);

        *ret_text = secret_random(req->ctx, 32);
        secret_hash(*ret_text, strlen(*ret_text), hash);
        ret->hash = hash;
        ret->expires_at = clock_wall_ms() + (int64_t)REFRESH_DAYS * 24 * 3600 * 1000;
}

static struct reply reply_tokens(struct request *req, const struct user *user, const char *refresh)
{
        int64_t now = clock_wall_ms() / 1000;
        struct jwt_claims claims = {.token_version = user->token_version,
                                    .expires_at = now + JWT_ACCESS_SECONDS};
        struct view view;

        memcpy(claims.user_id, user->id, UUID_TEXT_SIZE);
        view_begin(&view, req);
        json_open_object(&view.json, NULL);
        json_put_text(&view.json, "access_token",
                      jwt_sign(req->ctx, &app_of(req)->secrets, &claims, now));
        json_put_text(&view.json, "refresh_token", refresh);
        json_put_text(&view.json, "token_type", "bearer");
        json_put_int(&view.json, "expires_in", JWT_ACCESS_SECONDS);
        json_close_object(&view.json);
        return view_reply(&view, 200);
}

static const char *limiter_key(struct request *req, const char *email)
{
        char *key = mem_printf(req->ctx, "%s %s", req->peer, email);

        for (char *c = key; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        return key;
}

static struct reply refuse_login(struct request *req)
{
        struct error err = ERROR_INIT;

        metric_add(METRIC_logins_total, 1, "failure");
        log_warn(LOG_auth, "log-in refused", LOG_STR("peer", req->peer));
        error_set(&err, STATUS_UNAUTHENTICATED, "E-mail or password is wrong");
        return reply_error(req, &err);
}

static struct reply login_slow(struct request *req, const struct auth_body *body)
{
        struct app *app = app_of(req);
        struct user user = {0};
        struct refresh_token token = {0};
        struct error err = ERROR_INIT;
        char *text, *family = mem_array(req->ctx, char, UUID_TEXT_SIZE);
        enum status status = store_find_user(app->store, req->ctx, body->email, &user, &err);

        if (status && status != STATUS_NOT_FOUND)
                return reply_error(req, &err);
        if (!password_matches(user.password_hash, body->password))
                return refuse_login(req);
        fresh_token(req, &text, &token);
        token.user_id = user.id;
        token.family_id = uuid_new(family);
        if (store_add_refresh_token(app->store, &token, &err))
                return reply_error(req, &err);
        limiter_forget(app->logins, limiter_key(req, body->email));
        metric_add(METRIC_logins_total, 1, "success");
        audit("logged in", user.id);
        return reply_tokens(req, &user, text);
}

static struct reply login(struct request *req)
{
        struct auth_body body = {0};
        struct error err = ERROR_INIT;

        if (request_fields(req, login_fields, &body, &err))
                return reply_error(req, &err);
        if (limiter_take(app_of(req)->logins, limiter_key(req, body.email), clock_wall_ms(),
                         &err)) {
                metric_add(METRIC_logins_total, 1, "rate_limited");
                return reply_error(req, &err);
        }
        return hash_later(req, &body, login_slow);
}

static struct reply refresh(struct request *req)
{
        struct app *app = app_of(req);
        struct auth_body body = {0};
        struct error err = ERROR_INIT;
        struct refresh_token token = {0};
        struct user user = {0};
        char *text, old_hash[65];

        if (request_fields(req, refresh_fields, &body, &err))
                return reply_error(req, &err);
        secret_hash(body.refresh_token, strlen(body.refresh_token), old_hash);
        fresh_token(req, &text, &token);
        if (store_rotate_refresh_token(app->store, req->ctx, old_hash, clock_wall_ms(), &token,
                                       &err) ||
            store_get_user(app->store, req->ctx, token.user_id, &user, &err)) {
                log_warn(LOG_auth, "refresh refused", LOG_STR("peer", req->peer));
                return reply_error(req, &err);
        }
        return reply_tokens(req, &user, text);
}

/* With a refresh token that session ends, whoever presents it; with an access token alone all of
 * the user's sessions do. */
static struct reply logout(struct request *req)
{
        struct auth_body body = {0};
        struct error err = ERROR_INIT;
        char hash[65];

        if (req->body_length && request_fields(req, logout_fields, &body, &err))
                return reply_error(req, &err);
        if (body.refresh_token)
                secret_hash(body.refresh_token, strlen(body.refresh_token), hash);
        else if (session_authorize(req, &err))
                return reply_error(req, &err);
        const char *user_id = req->user ? user_of(req)->id : NULL;

        if (store_revoke_refresh_tokens(app_of(req)->store, user_id,
                                        body.refresh_token ? hash : NULL, &err))
                return reply_error(req, &err);
        log_info(LOG_auth, "logged out");
        return reply_empty(req, 204);
}

/* --- Me ----------------------------------------------------------------------------------------*/
static struct reply reply_user(struct request *req, const struct user *user)
{
        struct view view;

        view_begin(&view, req);
        view_user(&view.json, user);
        return view_reply(&view, 200);
}

static struct reply get_me(struct request *req)
{
        return reply_user(req, user_of(req));
}

static struct reply update_me(struct request *req)
{
        struct auth_body body = {0};
        struct user user = *user_of(req);
        struct error err = ERROR_INIT;

        if (request_fields(req, me_fields, &body, &err) ||
            store_update_user(app_of(req)->store, user.id, body.full_name, NULL, &err))
                return reply_error(req, &err);
        session_forget(app_of(req), user.id);
        user.full_name = body.full_name;
        return reply_user(req, &user);
}

static struct reply change_password_slow(struct request *req, const struct auth_body *body)
{
        struct app *app = app_of(req);
        const struct user *user = user_of(req);
        struct error err = ERROR_INIT;
        char *hash;

        if (!password_matches(user->password_hash, body->current_password)) {
                error_set(&err, STATUS_FORBIDDEN, "The current password is wrong");
                return reply_error(req, &err);
        }
        if (password_hash(req->ctx, body->new_password, &hash, &err) ||
            store_update_user(app->store, user->id, NULL, hash, &err))
                return reply_error(req, &err);
        session_forget(app, user->id);
        limiter_forget(app->logins, limiter_key(req, user->email));
        audit("password changed", user->id);
        return reply_empty(req, 204);
}

static struct reply change_password(struct request *req)
{
        struct auth_body body = {0};
        struct error err = ERROR_INIT;

        if (request_fields(req, password_fields, &body, &err) ||
            limiter_take(app_of(req)->logins, limiter_key(req, user_of(req)->email),
                         clock_wall_ms(), &err))
                return reply_error(req, &err);
        return hash_later(req, &body, change_password_slow);
}

static struct reply list_users(struct request *req)
{
        struct page page;
        struct user *users = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;

        if (page_read(req, &page, &err) ||
            store_list_users(app_of(req)->store, req->ctx, &page, &users, &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++)
                view_user(&view.json, &users[i]);
        return view_list_reply(&view, &page);
}

const struct route auth_routes[] = {
        {METHOD_POST, "/api/v1/auth/register", ROUTE_PUBLIC, BODY_MAX, register_user, NULL},
        {METHOD_POST, "/api/v1/auth/login", ROUTE_PUBLIC, BODY_MAX, login, NULL},
        {METHOD_POST, "/api/v1/auth/refresh", ROUTE_PUBLIC, BODY_MAX, refresh, NULL},
        {METHOD_POST, "/api/v1/auth/logout", ROUTE_PUBLIC, BODY_MAX, logout, NULL},
        {METHOD_GET, "/api/v1/auth/me", 0, 0, get_me, NULL},
        {METHOD_PATCH, "/api/v1/auth/me", 0, BODY_MAX, update_me, NULL},
        {METHOD_POST, "/api/v1/auth/password", 0, BODY_MAX, change_password, NULL},
        {METHOD_GET, "/api/v1/users", ROUTE_ADMIN, 0, list_users, NULL},
        {0},
};
