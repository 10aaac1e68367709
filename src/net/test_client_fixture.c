/* SPDX-License-Identifier: Apache-2.0 */
#include "net/test_client_fixture.h"

#include <stdio.h>

int client_set_up(void **state)
{
        struct fixture *fixture = mem_new(NULL, struct fixture);
        struct error err = ERROR_INIT;

        fixture->ctx = fixture;
        fixture->stub = stub_start();
        if (http_client_new(&fixture->client, &err))
                return -1;
        *state = fixture;
        return 0;
}

int client_tear_down(void **state)
{
        struct fixture *fixture = *state;

        http_client_free(fixture->client);
        stub_stop(fixture->stub);
        mem_free(fixture);
        return 0;
}

void client_watch_init(struct watch *watch, const void *ctx)
{
        *watch = (struct watch){.lock = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER,
                                .data = BUFFER_INIT(ctx, 1 << 24)};
}

static void on_data(struct http_call *call, const char *data, size_t length, void *arg)
{
        struct watch *watch = arg;

        (void)call;
        pthread_mutex_lock(&watch->lock);
        buffer_append(&watch->data, data, length);
        watch->pieces++;
        pthread_cond_broadcast(&watch->changed);
        pthread_mutex_unlock(&watch->lock);
}

static void on_done(const struct http_result *result, const struct error *err, void *arg)
{
        struct watch *watch = arg;
        const char *header;

        pthread_mutex_lock(&watch->lock);
        header = watch->call ? http_call_header(watch->call, "x-word") : NULL;
        snprintf(watch->header, sizeof(watch->header), "%s", header ? header : "");
        watch->status = result->status;
        if (err)
                watch->err = *err;
        watch->done++;
        pthread_cond_broadcast(&watch->changed);
        pthread_mutex_unlock(&watch->lock);
}

const struct http_handlers client_watch_handlers = {.data = on_data, .done = on_done};

void client_watch_wait(struct watch *watch, const size_t *counter, size_t count)
{
        pthread_mutex_lock(&watch->lock);
        while (*counter < count)
                pthread_cond_wait(&watch->changed, &watch->lock);
        pthread_mutex_unlock(&watch->lock);
}

void client_watch_start(struct watch *watch, struct fixture *fixture,
                        const struct http_request *request)
{
        pthread_mutex_lock(&watch->lock);
        watch->call = http_client_start(fixture->client, request, &client_watch_handlers, watch);
        pthread_mutex_unlock(&watch->lock);
}

struct http_request client_get(struct fixture *fixture, const char *path)
{
        return (struct http_request){.method = "GET",
                                     .url = stub_url(fixture->stub, fixture->ctx, path),
                                     .private_addresses = true};
}

enum status client_fetch(struct fixture *fixture, const struct http_request *request,
                         struct http_result *result, struct error *err)
{
        *err = ERROR_INIT;
        return http_client_fetch(fixture->client, fixture->ctx, request, result, err);
}
