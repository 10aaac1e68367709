/* SPDX-License-Identifier: Apache-2.0 */
/* The local engine as a provider: works on a pool thread, gives its text word by word. */
#include "llm/local.h"

#include <string.h>

#include "base/clock.h"
#include "llm/llm_internal.h"

/* Bytes up to the end of the next word and the space behind it. */
static size_t next_token(const char *text)
{
        size_t length = strcspn(text, " \n");

        return length + strspn(text + length, " \n");
}

static void tell(struct llm_call *call, const char *text, size_t length)
{
        if (!call->handlers.token)
                return;
        if (!call->first_token_us)
                call->first_token_us = clock_monotonic_us();
        call->handlers.token(text, length, call->arg);
}

static void give(struct llm_call *call, const char *text)
{
        while (*text && !atomic_load(&call->cancelled)) {
                size_t length = next_token(text);

                tell(call, text, length);
                text += length;
        }
}

/* A node that asked for JSON gets an object, so that what follows can read it. */
static void wrap_json(struct buffer *text)
{
        SCOPED_MEM char *plain = mem_strdup(NULL, buffer_string(text));

        buffer_clear(text);
        buffer_text(text, "{\"answer\":");
        buffer_json(text, plain);
        buffer_text(text, ",\"engine\":\"local extractive\"}");
}

static void run(void *arg)
{
        struct llm_call *call = arg;
        struct answer *answer = &call->answer;
        SCOPED_MEM void *ctx = mem_root();
        struct llm_passage *passages;
        size_t count;

        if (!atomic_load(&call->cancelled)) {
                passages = kept_passages_read(call->passages, ctx, &count);
                local_answer(call->question, passages, count, &answer->text, &call->citations);
                if (call->json_output)
                        wrap_json(&answer->text);
                give(call, buffer_string(&answer->text));
        }
        memcpy(answer->finish, "stop", sizeof("stop"));
        if (atomic_load(&call->cancelled))
                llm_call_cancelled(call);
        else
                llm_call_finish(call);
}

static const char *question_of(const struct llm_request *request)
{
        if (request->question && *request->question)
                return request->question;
        return request->message_count ? request->messages[request->message_count - 1].content : "";
}

void local_chat(struct llm_call *call, const struct llm_request *request)
{
        call->question = mem_strdup(call, question_of(request));
        call->prompt_tokens = llm_tokens_estimate(call->question, strlen(call->question));
        for (size_t i = 0; i < request->passage_count; i++) {
                const char *text = request->passages[i].text;

                call->prompt_tokens += text ? llm_tokens_estimate(text, strlen(text)) : 0;
        }
        call->passages = kept_passages_new(call, request->passages, request->passage_count,
                                           /* body= */ NULL, 0);
        pool_continue(call->llm->pool, run, call);
}
