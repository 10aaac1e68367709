/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: fixed windows in a hash kept in order of their begin. */
#include "cache/limiter.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <uthash.h>

enum { KEY_MAX = 320 };

struct window {
        char key[KEY_MAX];
        int64_t begun_ms;
        unsigned used;
        UT_hash_handle hh;
};

struct limiter {
        pthread_mutex_t lock;
        unsigned limit, window_ms;
        size_t keys_max;
        struct window *windows; /* uthash keeps insertion order: the first is the oldest */
};

struct limiter *limiter_new(unsigned limit, unsigned window_ms, size_t keys_max)
{
        struct limiter *limiter = mem_new(NULL, struct limiter);

        pthread_mutex_init(&limiter->lock, NULL);
        limiter->limit = limit;
        limiter->window_ms = window_ms;
        limiter->keys_max = keys_max;
        return limiter;
}

static void forget(struct limiter *limiter, struct window *window)
{
        HASH_DEL(limiter->windows, window);
        mem_free(window);
}

struct limiter *limiter_free(struct limiter *limiter)
{
        if (!limiter)
                return NULL;
        while (limiter->windows)
                forget(limiter, limiter->windows);
        pthread_mutex_destroy(&limiter->lock);
        return mem_free(limiter);
}

static struct window *find(struct limiter *limiter, const char *key, int64_t now_ms)
{
        struct window *window;
        char cut[KEY_MAX] = "";

        memcpy(cut, key, strnlen(key, sizeof(cut) - 1));
        HASH_FIND_STR(limiter->windows, cut, window);
        if (window && now_ms - window->begun_ms >= limiter->window_ms) {
                forget(limiter, window);
                window = NULL;
        }
        if (window)
                return window;
        if (HASH_COUNT(limiter->windows) >= limiter->keys_max)
                forget(limiter, limiter->windows);
        window = mem_new(NULL, struct window);
        memcpy(window->key, cut, sizeof(cut));
        window->begun_ms = now_ms;
        HASH_ADD_STR(limiter->windows, key, window);
        return window;
}

enum status limiter_take(struct limiter *limiter, const char *key, int64_t now_ms,
                         struct error *err)
{
        enum status status = STATUS_OK;

        pthread_mutex_lock(&limiter->lock);
        struct window *window = find(limiter, key, now_ms);
        if (window->used < limiter->limit) {
                window->used++;
        } else {
                int64_t left = window->begun_ms + limiter->window_ms - now_ms;

                status = error_set(err, STATUS_RATE_LIMITED,
                                   "Too many attempts; try again in %lld seconds",
                                   (long long)(left + 999) / 1000);
                err->retry_after_ms = (unsigned)left;
        }
        pthread_mutex_unlock(&limiter->lock);
        return status;
}

void limiter_forget(struct limiter *limiter, const char *key)
{
        struct window *window;

        pthread_mutex_lock(&limiter->lock);
        HASH_FIND_STR(limiter->windows, key, window);
        if (window)
                forget(limiter, window);
        pthread_mutex_unlock(&limiter->lock);
}
