/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks: verified tokens are cheap, but the user behind them is a database row; it is kept for a
 * few seconds, so that a burst of requests reads it once. */
#include "api/session.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#include "api/auth/api_key.h"
#include "api/auth/jwt.h"
#include "base/clock.h"
#include "observe/metrics.h"

enum { FRESH_MS = 5000, ACTIVE_MS = 15 * 60 * 1000, SEEN_MAX = 10000 };

struct seen {
        char user_id[UUID_TEXT_SIZE];
        struct user user; /* below this object */
        int64_t loaded_ms, last_ms;
        UT_hash_handle hh;
};

struct sessions {
        pthread_mutex_t lock;
        struct seen *users;
};

static void drop(struct sessions *sessions, struct seen *seen)
{
        HASH_DEL(sessions->users, seen);
        mem_free(seen);
}

/* Users seen in the last 15 minutes; older entries go. */
static void count_active(void *arg)
{
        struct sessions *sessions = arg;
        struct seen *seen, *next;
        int64_t now = clock_wall_ms();

        pthread_mutex_lock(&sessions->lock);
        HASH_ITER (hh, sessions->users, seen, next) {
                if (now - seen->last_ms > ACTIVE_MS)
                        drop(sessions, seen);
        }
        metric_set(METRIC_users_active, (double)HASH_COUNT(sessions->users));
        pthread_mutex_unlock(&sessions->lock);
}

struct sessions *sessions_new(struct app *app)
{
        struct sessions *sessions = mem_new(NULL, struct sessions);

        (void)app;
        pthread_mutex_init(&sessions->lock, NULL);
        metrics_on_scrape(count_active, sessions);
        return sessions;
}

struct sessions *sessions_free(struct sessions *sessions)
{
        if (!sessions)
                return NULL;
        metrics_off_scrape(count_active, sessions);
        while (sessions->users)
                drop(sessions, sessions->users);
        pthread_mutex_destroy(&sessions->lock);
        return mem_free(sessions);
}

static void copy_user(const void *ctx, const struct user *from, struct user *to)
{
        *to = *from;
        to->id = mem_strdup(ctx, from->id);
        to->email = mem_strdup(ctx, from->email);
        to->full_name = mem_strdup(ctx, from->full_name);
        to->role = mem_strdup(ctx, from->role);
        to->password_hash = mem_strdup(ctx, from->password_hash);
}

static bool find_fresh(struct sessions *sessions, const void *ctx, const char *user_id, int64_t now,
                       struct user *ret)
{
        struct seen *seen;
        bool fresh = false;

        pthread_mutex_lock(&sessions->lock);
        HASH_FIND_STR(sessions->users, user_id, seen);
        if (seen) {
                seen->last_ms = now;
                fresh = now - seen->loaded_ms < FRESH_MS;
                if (fresh)
                        copy_user(ctx, &seen->user, ret);
        }
        pthread_mutex_unlock(&sessions->lock);
        return fresh;
}

static void remember(struct sessions *sessions, const struct user *user, int64_t now)
{
        struct seen *old, *seen = mem_new(NULL, struct seen);

        copy_user(seen, user, &seen->user);
        snprintf(seen->user_id, sizeof(seen->user_id), "%s", user->id);
        seen->loaded_ms = seen->last_ms = now;
        pthread_mutex_lock(&sessions->lock);
        HASH_FIND_STR(sessions->users, seen->user_id, old);
        if (old)
                drop(sessions, old);
        else if (HASH_COUNT(sessions->users) >= SEEN_MAX)
                drop(sessions, sessions->users);
        HASH_ADD_STR(sessions->users, user_id, seen);
        pthread_mutex_unlock(&sessions->lock);
}

void session_forget(struct app *app, const char *user_id)
{
        struct seen *seen;

        pthread_mutex_lock(&app->sessions->lock);
        HASH_FIND_STR(app->sessions->users, user_id, seen);
        if (seen)
                seen->loaded_ms = 0;
        pthread_mutex_unlock(&app->sessions->lock);
}

static enum status load_user(struct app *app, const void *ctx, const char *user_id,
                             struct user *ret, struct error *err)
{
        int64_t now = clock_wall_ms();

        if (find_fresh(app->sessions, ctx, user_id, now, ret))
                return STATUS_OK;
        enum status status = store_get_user(app->store, ctx, user_id, ret, err);

        if (status == STATUS_NOT_FOUND)
                return error_set(err, STATUS_UNAUTHENTICATED, "This account no longer exists");
        if (status == STATUS_OK)
                remember(app->sessions, ret, now);
        return status;
}

static enum status key_user(struct app *app, const void *ctx, const char *token, struct user *ret,
                            struct error *err)
{
        struct api_key key = {0};
        int64_t now = clock_wall_ms();
        char hash[65];

        secret_hash(token, strlen(token), hash);
        enum status status = store_find_api_key(app->store, ctx, hash, now, &key, err);
        if (status == STATUS_NOT_FOUND)
                return error_set(err, STATUS_UNAUTHENTICATED,
                                 "The API key is not valid, was deleted or has expired");
        if (status)
                return status;
        if (now - key.last_used_at > 60000)
                store_touch_api_key(app->store, key.id, now);
        return load_user(app, ctx, key.user_id, ret, err);
}

enum status session_user(struct app *app, const void *ctx, const char *token, struct user *ret,
                         struct error *err)
{
        struct jwt_claims claims = {0};
        enum status status;

        if (api_key_looks_like(token))
                return key_user(app, ctx, token, ret, err);
        status = jwt_verify(&app->secrets, token, clock_wall_ms() / 1000, &claims, err);
        if (status)
                return status;
        status = load_user(app, ctx, claims.user_id, ret, err);
        /* What is kept may be older than the token. */
        if (status == STATUS_OK && ret->token_version < claims.token_version) {
                session_forget(app, claims.user_id);
                status = load_user(app, ctx, claims.user_id, ret, err);
        }
        if (status)
                return status;
        if (ret->token_version != claims.token_version)
                return error_set(err, STATUS_UNAUTHENTICATED,
                                 "The password was changed since; log in again");
        return STATUS_OK;
}

/* The token behind "Bearer " in the Authorization header. */
static enum status bearer_token(const struct request *req, const char **ret, struct error *err)
{
        const char *header = request_header(req, "Authorization");

        if (!header)
                return error_set(err, STATUS_UNAUTHENTICATED,
                                 "Sign in: send 'Authorization: Bearer <access token>'");
        if (strncasecmp(header, "Bearer ", 7) != 0)
                return error_set(err, STATUS_UNAUTHENTICATED,
                                 "The Authorization header must be 'Bearer <access token>'");
        *ret = header + 7;
        return STATUS_OK;
}

enum status session_authorize(struct request *req, struct error *err)
{
        struct user *user = mem_new(req->ctx, struct user);
        const char *token;

        if (bearer_token(req, &token, err) || session_user(app_of(req), req->ctx, token, user, err))
                return err->status;
        trace_set(req->trace.user_id, user->id);
        req->user = user;
        if ((req->route->flags & ROUTE_ADMIN) && strcmp(user->role, "admin") != 0)
                return error_set(err, STATUS_FORBIDDEN, "Only an administrator may do this");
        return STATUS_OK;
}
