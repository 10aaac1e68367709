/* SPDX-License-Identifier: Apache-2.0 */
/* A search under way, and the object it belongs to. */
#pragma once

#include <pthread.h>
#include <sys/queue.h>

#include "websearch/websearch_internal.h"

LIST_HEAD(websearch_calls, websearch_call);

struct websearch {
        struct http_client *client;
        struct cache *cache;
        char *brave_base_url, *serpapi_base_url, *searxng_url;

        pthread_mutex_t lock;
        pthread_cond_t idle;
        struct websearch_calls calls; /* guarded by lock */
};

struct websearch_call {
        LIST_ENTRY(websearch_call) list;
        struct websearch *websearch;
        websearch_done_fn *done;
        void *arg;
        struct trace trace;
        struct question question;
        char *cache_key; /* NULL: nothing to keep */
        int64_t start_us;

        struct http_call *http; /* guarded by websearch->lock, as is the next one */
        bool cancelled;

        /* How it ends. Known at the start for what the cache has and for what is wrong with the
         * question. */
        json_t *results;
        struct refusal refusal;
        bool cached;
};

/* What ends every call; `arg` is the websearch_call. */
extern const struct http_handlers websearch_handlers;
