/* SPDX-License-Identifier: Apache-2.0 */
/* The running program as handlers see it: every part, wired by main, living until it stops. */
#pragma once

#include "base/secret.h"
#include "cache/cache.h"
#include "cache/limiter.h"
#include "document/document.h"
#include "engine/engine.h"
#include "net/server.h"
#include "store/users.h"

struct sessions;
struct health;

/* Key and URL of an outside service from the environment; NULL: not set. */
struct app_provider {
        const char *name; /* "gemini" */
        const char *api_key, *base_url;
};

struct app {
        struct secrets secrets;
        struct http_client *client;
        struct store *store;
        struct vector *vector;
        struct llm *llm;
        struct cache *cache;
        struct websearch *websearch;
        struct documents *documents;
        struct events *events;
        struct engine *engine;
        struct server *server;
        struct pool *hashing;  /* two threads: bounds what Argon2id may take */
        struct pool *watchers; /* subscribing and unsubscribing of WebSockets and streams */
        struct limiter *logins;
        struct sessions *sessions;
        struct health *health;
        const struct app_provider *providers; /* ends with {0} */
        const char *data_dir;
        int data_fd;        /* the folder, locked */
        int64_t started_us; /* clock_monotonic_us() */
};

static inline struct app *app_of(const struct request *req)
{
        return req->app;
}

/* The signed-in user; never NULL on routes without ROUTE_PUBLIC. */
static inline const struct user *user_of(const struct request *req)
{
        return req->user;
}
