/* SPDX-License-Identifier: Apache-2.0 */
/* What the client's tests share: a scripted server, a client, and calls watched from the test's
 * thread. */
#pragma once

#include <pthread.h>

#include "net/client.h"
#include "net/test_stub_server.h"

struct fixture {
        void *ctx;
        struct stub *stub;
        struct http_client *client;
};

/* What a call under test did, watched from the test's thread. */
struct watch {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct buffer data;
        size_t pieces, done;
        struct error err;
        unsigned status;
        char header[64];
        struct http_call *call;
};
int client_set_up(void **state);
int client_tear_down(void **state);

struct http_request client_get(struct fixture *fixture, const char *path);
/* http_client_fetch with a fresh error. */
enum status client_fetch(struct fixture *fixture, const struct http_request *request,
                         struct http_result *result, struct error *err);

void client_watch_init(struct watch *watch, const void *ctx);
/* A streamed call; watch->call is set before done can look at it. */
void client_watch_start(struct watch *watch, struct fixture *fixture,
                        const struct http_request *request);
/* What client_watch_start hands to the client. */
extern const struct http_handlers client_watch_handlers;
/* Waits until a counter of the watch has reached `count`. */
void client_watch_wait(struct watch *watch, const size_t *counter, size_t count);
