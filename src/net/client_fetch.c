/* SPDX-License-Identifier: Apache-2.0 */
/* The waiting form of a call, for threads that may block: start-up checks, workers, tests. */
#include <pthread.h>

#include "net/client.h"

struct fetch {
        pthread_mutex_t lock;
        pthread_cond_t over;
        bool done;
        const void *ctx;
        struct http_result *result;
        struct error *err;
};

static void on_done(const struct http_result *result, const struct error *err, void *arg)
{
        struct fetch *fetch = arg;

        *fetch->result = *result;
        fetch->result->body = mem_dup(fetch->ctx, result->body, result->body_length + 1);
        fetch->result->content_type = mem_strdup(fetch->ctx, result->content_type);
        if (err)
                *fetch->err = *err;
        pthread_mutex_lock(&fetch->lock);
        fetch->done = true;
        pthread_cond_signal(&fetch->over);
        pthread_mutex_unlock(&fetch->lock);
}

enum status http_client_fetch(struct http_client *client, const void *ctx,
                              const struct http_request *request, struct http_result *ret,
                              struct error *err)
{
        static const struct http_handlers handlers = {.done = on_done};
        struct error failure = ERROR_INIT;
        struct fetch fetch = {
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .over = PTHREAD_COND_INITIALIZER,
                .ctx = ctx,
                .result = ret,
                .err = &failure,
        };

        http_client_start(client, request, &handlers, &fetch);
        pthread_mutex_lock(&fetch.lock);
        while (!fetch.done)
                pthread_cond_wait(&fetch.over, &fetch.lock);
        pthread_mutex_unlock(&fetch.lock);
        pthread_cond_destroy(&fetch.over);
        pthread_mutex_destroy(&fetch.lock);
        if (failure.status)
                *err = failure;
        return failure.status;
}
