/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this layer share: a scripted server, the layer on top of it, and one call made
 * and waited for. */
#pragma once

#include "llm/llm.h"
#include "net/test_stub_server.h"

struct chat_fixture {
        struct stub *stub;
        struct http_client *client;
        struct pool *pool;
        struct llm *llm;
        struct trace trace;
};

/* What a call gave. */
struct chat_outcome {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct buffer streamed;
        char *text, *model, *finish;
        struct llm_usage usage;
        json_t *citations;
        struct error err;
        bool retryable;
        size_t tokens, done;
        int64_t done_us;
        struct llm_call *call;
};

int chat_set_up(void **state);
int chat_tear_down(void **state);

/* Below the fixture. */
struct chat_outcome *chat_start(struct chat_fixture *fixture, const struct llm_request *request,
                                bool stream);
void chat_cancel(struct chat_outcome *outcome);
void chat_wait_tokens(struct chat_outcome *outcome, size_t count);
void chat_wait(struct chat_outcome *outcome);
/* Start and wait. */
struct chat_outcome *chat(struct chat_fixture *fixture, const struct llm_request *request,
                          bool stream);
/* A small request to a provider. */
struct llm_request chat_request(const char *provider);
/* Queues a reply with an event stream. */
void chat_stream(struct chat_fixture *fixture, const char *path, const char *events);
void chat_reply(struct chat_fixture *fixture, const char *path, unsigned status, const char *json);
