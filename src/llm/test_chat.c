/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/test_chat.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"

int chat_set_up(void **state)
{
        struct chat_fixture *fixture = mem_new(NULL, struct chat_fixture);
        struct llm_options options = {.retry_base_ms = 20};
        struct error err = ERROR_INIT;

        fixture->stub = stub_start();
        if (http_client_new(&fixture->client, &err) ||
            pool_new("test", 2, 100, &fixture->pool, &err))
                return -1;
        options.client = fixture->client;
        options.pool = fixture->pool;
        options.gemini_base_url = stub_url(fixture->stub, fixture, "/g/");
        options.openai_base_url = stub_url(fixture->stub, fixture, "");
        if (llm_new(&options, &fixture->llm, &err))
                return -1;
        trace_begin(&fixture->trace, NULL);
        *state = fixture;
        return 0;
}

int chat_tear_down(void **state)
{
        struct chat_fixture *fixture = *state;

        http_client_free(fixture->client);
        pool_free(fixture->pool);
        llm_free(fixture->llm);
        stub_stop(fixture->stub);
        mem_free(fixture);
        return 0;
}

static void on_token(const char *text, size_t length, void *arg)
{
        struct chat_outcome *outcome = arg;

        pthread_mutex_lock(&outcome->lock);
        buffer_append(&outcome->streamed, text, length);
        outcome->tokens++;
        pthread_cond_broadcast(&outcome->changed);
        pthread_mutex_unlock(&outcome->lock);
}

static void on_done(const struct llm_result *result, const struct error *err, bool retryable,
                    void *arg)
{
        struct chat_outcome *outcome = arg;

        pthread_mutex_lock(&outcome->lock);
        outcome->text = mem_strdup(outcome, result->text);
        outcome->model = mem_strdup(outcome, result->model);
        outcome->finish = mem_strdup(outcome, result->finish_reason);
        outcome->usage = result->usage;
        outcome->citations = json_deep_copy(result->citations);
        if (err)
                outcome->err = *err;
        outcome->retryable = retryable;
        outcome->done++;
        outcome->done_us = clock_monotonic_us();
        pthread_cond_broadcast(&outcome->changed);
        pthread_mutex_unlock(&outcome->lock);
}

static int outcome_close(struct chat_outcome *outcome)
{
        json_decref(outcome->citations);
        return 0;
}

struct chat_outcome *chat_start(struct chat_fixture *fixture, const struct llm_request *request,
                                bool stream)
{
        const struct llm_handlers handlers = {.token = stream ? on_token : NULL, .done = on_done};
        struct chat_outcome *outcome = mem_new(fixture, struct chat_outcome);
        struct llm_request copy = *request;

        pthread_mutex_init(&outcome->lock, NULL);
        pthread_cond_init(&outcome->changed, NULL);
        outcome->streamed = BUFFER_INIT(outcome, 1 << 24);
        talloc_set_destructor(outcome, outcome_close);
        if (!copy.trace)
                copy.trace = &fixture->trace;
        pthread_mutex_lock(&outcome->lock);
        outcome->call = llm_chat(fixture->llm, &copy, &handlers, outcome);
        pthread_mutex_unlock(&outcome->lock);
        return outcome;
}

void chat_cancel(struct chat_outcome *outcome)
{
        pthread_mutex_lock(&outcome->lock);
        if (!outcome->done)
                llm_cancel(outcome->call);
        pthread_mutex_unlock(&outcome->lock);
}

static void wait_for(struct chat_outcome *outcome, const size_t *counter, size_t count)
{
        pthread_mutex_lock(&outcome->lock);
        while (*counter < count && !outcome->done)
                pthread_cond_wait(&outcome->changed, &outcome->lock);
        pthread_mutex_unlock(&outcome->lock);
}

void chat_wait_tokens(struct chat_outcome *outcome, size_t count)
{
        wait_for(outcome, &outcome->tokens, count);
}

void chat_wait(struct chat_outcome *outcome)
{
        wait_for(outcome, &outcome->done, 1);
}

struct chat_outcome *chat(struct chat_fixture *fixture, const struct llm_request *request,
                          bool stream)
{
        struct chat_outcome *outcome = chat_start(fixture, request, stream);

        chat_wait(outcome);
        return outcome;
}

struct llm_request chat_request(const char *provider)
{
        static const struct llm_message messages[] = {{"user", "Why?"}};

        return (struct llm_request){
                .target = {.provider = provider, .model = "m-1", .api_key = "key-7"},
                .system = "Be brief.",
                .messages = messages,
                .message_count = 1,
                .temperature = -1,
        };
}

void chat_stream(struct chat_fixture *fixture, const char *path, const char *events)
{
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = path,
                                      .headers = "Content-Type: text/event-stream\r\n",
                                      .body = events,
                                      .framing = STUB_CHUNKED,
                                      .piece = 61});
}

void chat_reply(struct chat_fixture *fixture, const char *path, unsigned status, const char *json)
{
        stub_add(fixture->stub, &(struct stub_reply){.path = path, .status = status, .body = json});
}
