/* SPDX-License-Identifier: Apache-2.0 */
/* The port: set-up, and how a call begins and is cancelled. */
#include "llm/llm.h"

#include "base/clock.h"
#include "llm/llm_internal.h"

enum status llm_new(const struct llm_options *options, struct llm **ret, struct error *err)
{
        struct llm *llm = mem_new(NULL, struct llm);

        llm->client = options->client;
        llm->pool = options->pool;
        llm->retry_base_ms = options->retry_base_ms ? options->retry_base_ms : LLM_RETRY_BASE_MS;
        llm->gemini_base_url = mem_strdup(llm, options->gemini_base_url);
        llm->openai_base_url = mem_strdup(llm, options->openai_base_url);
        llm->quirks = llm_quirks_new(llm);
        if (prices_load(llm, options->price_file, &llm->prices, err)) {
                mem_free(llm);
                return err->status;
        }
        *ret = llm;
        return STATUS_OK;
}

struct llm *llm_free(struct llm *llm)
{
        return mem_free(llm);
}

static struct llm_call *call_new(struct llm *llm, const struct llm_request *request,
                                 const struct llm_handlers *handlers, void *arg)
{
        struct llm_call *call = mem_new(NULL, struct llm_call);
        unsigned timeout_ms = request->timeout_ms ? request->timeout_ms : LLM_TIMEOUT_MS;

        call->llm = llm;
        call->handlers = *handlers;
        call->arg = arg;
        if (request->trace)
                call->trace = *request->trace;
        call->stream = handlers->token != NULL;
        call->json_output = request->json_output;
        call->start_us = clock_monotonic_us();
        call->deadline_us = call->start_us + (int64_t)timeout_ms * 1000;
        call->answer.text = BUFFER_INIT(call, LLM_ANSWER_MAX);
        pthread_mutex_init(&call->lock, NULL);
        return call;
}

struct llm_call *llm_chat(struct llm *llm, const struct llm_request *request,
                          const struct llm_handlers *handlers, void *arg)
{
        struct llm_call *call = call_new(llm, request, handlers, arg);
        struct error err = ERROR_INIT;

        if (llm_endpoint_fill(llm, call, &request->target, /* embedding= */ false, &call->endpoint,
                              &err)) {
                llm_call_refusal(call)->error = err;
                llm_call_finish_later(call);
        } else if (call->endpoint.provider->dialect) {
                llm_remote_chat(call, request);
        } else {
                local_chat(call, request);
        }
        return call;
}

void llm_cancel(struct llm_call *call)
{
        pthread_mutex_lock(&call->lock);
        atomic_store(&call->cancelled, true);
        if (call->http)
                http_call_cancel(call->http);
        pthread_mutex_unlock(&call->lock);
}
