/* SPDX-License-Identifier: Apache-2.0 */
/* A chat over HTTP, from the first attempt to the last.
 *
 * The body is built once. An attempt is tried again, after a wait that holds no thread, only while
 * no token has reached the caller: afterwards the answer would begin twice. What the server refused
 * for a field it does not know is sent again at once without that field. Between attempts
 * call->http is NULL; the lock orders that against llm_cancel. */
#include <string.h>

#include "base/clock.h"
#include "llm/llm_internal.h"

static void shape_failure(struct llm_call *call, const char *detail)
{
        call->unreadable = true;
        llm_refusal_set(llm_call_refusal(call), REFUSED_SHAPE, &call->endpoint, detail);
}

/* One JSON value of the provider: new text goes on to the caller. */
static bool take_json(struct llm_call *call, const char *text, size_t length)
{
        const struct dialect *dialect = call->endpoint.provider->dialect;
        struct answer *answer = &call->answer;
        size_t before = answer->text.length;
        SCOPED_JSON json_t *json = NULL;
        struct error err = ERROR_INIT;

        if (json_read(text, length, &json, &err)) {
                shape_failure(call, err.message);
                return false;
        }
        if (dialect->chat_event(&call->endpoint, answer, json, llm_call_refusal(call)))
                return false;
        if (answer->text.overflow) {
                error_set(&llm_call_refusal(call)->error, STATUS_TOO_LARGE,
                          "the answer of %s is larger than %d bytes", call->endpoint.title,
                          LLM_ANSWER_MAX);
                return false;
        }
        if (answer->text.length == before)
                return true;
        if (call->stream && !call->first_token_us)
                call->first_token_us = clock_monotonic_us();
        if (call->handlers.token)
                call->handlers.token(answer->text.data + before, answer->text.length - before,
                                     call->arg);
        return true;
}

static bool on_event(const char *event, const char *data, size_t length, void *arg)
{
        struct llm_call *call = arg;

        (void)event;
        if (length == 6 && memcmp(data, "[DONE]", 6) == 0) {
                call->answer.ended = true;
                return false;
        }
        return take_json(call, data, length);
}

static void on_data(struct http_call *http, const char *data, size_t length, void *arg)
{
        struct llm_call *call = arg;
        struct error err = ERROR_INIT;
        TRACE_SCOPE(&call->trace);

        if (llm_call_refusal(call)->error.status)
                return;
        if (!call->reader)
                call->reader = sse_reader_new(call, LLM_EVENT_MAX, on_event, call);
        if (sse_reader_feed(call->reader, data, length, &err))
                shape_failure(call, err.message);
        if (llm_call_refusal(call)->error.status)
                http_call_cancel(http); /* of no further use */
}

/* What is left when the connection ends may be half an event. */
static void end_stream(struct llm_call *call)
{
        struct error err = ERROR_INIT;

        if (sse_reader_end(call->reader, &err) || call->unreadable)
                llm_refusal_set(llm_call_refusal(call), REFUSED_CUT, &call->endpoint, err.message);
}

/* The transfer ended well: reads what is left, and judges the whole. */
static void judge_answer(struct llm_call *call, const struct http_result *result)
{
        const struct dialect *dialect = call->endpoint.provider->dialect;

        if (result->content_type && strncmp(result->content_type, "text/html", 9) == 0)
                shape_failure(call, "a web page");
        else if (!call->stream)
                take_json(call, result->body, result->body_length);
        else if (call->reader)
                end_stream(call);
        if (!llm_call_refusal(call)->error.status)
                dialect->chat_end(&call->endpoint, &call->answer, llm_call_refusal(call));
}

/* Fills call->refusal unless the answer is good. */
static void judge(struct llm_call *call, const struct http_result *result, const struct error *err)
{
        if (llm_call_refusal(call)->error.status)
                return; /* known since it was in the stream */
        if (err && !call->answer.ended)
                llm_refusal_from_transport(llm_call_refusal(call), &call->endpoint, err);
        else if (err || (result->status >= 200 && result->status < 300))
                judge_answer(call, result);
        else
                llm_refusal_from_answer(llm_call_refusal(call), &call->endpoint, result);
}

static bool should_retry(struct llm_call *call, unsigned *ret_wait_ms)
{
        return llm_call_refusal(call)->retryable && !call->first_token_us &&
               call->retries < LLM_RETRIES_MAX &&
               llm_retry_wait(call->llm, call->retries,
                              llm_call_refusal(call)->error.retry_after_ms,
                              call->deadline_us - clock_monotonic_us(), ret_wait_ms);
}

/* True if the body was changed in a way not tried before. */
static bool adapt(struct llm_call *call)
{
        unsigned quirk = llm_call_refusal(call)->quirk;
        SCOPED_JSON json_t *json = NULL;
        struct error err = ERROR_INIT;

        if (!quirk || (call->endpoint.quirks & quirk) ||
            json_read(call->body, call->body_length, &json, &err))
                return false;
        call->endpoint.quirks |= quirk;
        call->endpoint.provider->dialect->chat_adapt(json, quirk);
        kept_passages_move(call->passages);
        mem_free(call->body);
        call->body = json_write(call, json);
        call->body_length = strlen(call->body);
        return true;
}

static void forget_attempt(struct llm_call *call)
{
        struct buffer text = call->answer.text;

        buffer_clear(&text);
        *llm_call_refusal(call) = (struct refusal){0};
        call->unreadable = false;
        call->reader = mem_free(call->reader);
        call->answer = (struct answer){.text = text};
}

static void attempt_start(struct llm_call *call, unsigned delay_ms);

static void on_done(const struct http_result *result, const struct error *err, void *arg)
{
        struct llm_call *call = arg;
        unsigned wait_ms = 0;
        TRACE_SCOPE(&call->trace);

        pthread_mutex_lock(&call->lock);
        call->http = NULL;
        pthread_mutex_unlock(&call->lock);
        if (atomic_load(&call->cancelled)) {
                llm_call_cancelled(call);
                return;
        }
        judge(call, result, err);
        if (!llm_call_refusal(call)->error.status) {
                llm_quirks_add(call->llm->quirks, &call->endpoint);
                llm_call_finish(call);
        } else if (adapt(call)) {
                forget_attempt(call);
                attempt_start(call, 0);
        } else if (should_retry(call, &wait_ms)) {
                forget_attempt(call);
                call->retries++;
                attempt_start(call, wait_ms);
        } else {
                llm_call_finish(call);
        }
}

/* Milliseconds left, rounded up and at least one, so that 0 does not stand for the client's default. */
static unsigned time_left_ms(const struct llm_call *call, unsigned delay_ms)
{
        int64_t left_us = call->deadline_us - clock_monotonic_us();
        int64_t left_ms = (left_us + 999) / 1000 - (int64_t)delay_ms;

        return left_ms > 0 ? (unsigned)left_ms : 1;
}

static void attempt_start(struct llm_call *call, unsigned delay_ms)
{
        static const struct http_handlers streamed = {.data = on_data, .done = on_done};
        static const struct http_handlers whole = {.done = on_done};
        SCOPED_MEM void *ctx = mem_root();
        struct http_header headers[ENDPOINT_HEADERS];
        struct http_request request = {
                .method = "POST",
                .url = call->url,
                .headers = headers,
                .body = call->body,
                .body_length = call->body_length,
                .body_borrowed = true,
                .timeout_ms = time_left_ms(call, delay_ms),
                .stall_timeout_ms = call->stream ? LLM_STALL_MS : 0,
                .private_addresses = true,
                .trace = &call->trace,
                .delay_ms = delay_ms,
        };
        bool cancelled;

        llm_endpoint_headers(ctx, &call->endpoint, call->stream, headers);
        pthread_mutex_lock(&call->lock);
        cancelled = atomic_load(&call->cancelled);
        if (!cancelled)
                call->http = http_client_start(call->llm->client, &request,
                                               call->stream ? &streamed : &whole, call);
        pthread_mutex_unlock(&call->lock);
        if (cancelled)
                llm_call_cancelled(call);
}

static enum status build(struct llm_call *call, const struct llm_request *request)
{
        const struct dialect *dialect = call->endpoint.provider->dialect;
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, LLM_BODY_MAX);

        dialect->chat_body(&body, &call->endpoint, request, call->stream);
        if (body.overflow)
                return buffer_check(&body, "the prompt", &llm_call_refusal(call)->error);
        call->body = mem_dup(call, buffer_string(&body), body.length + 1);
        call->body_length = body.length;
        call->prompt_tokens = llm_tokens_estimate(call->body, call->body_length);
        call->url = dialect->chat_url(call, &call->endpoint, call->stream);
        call->passages = kept_passages_new(call, request->passages, request->passage_count,
                                           call->body, call->body_length);
        return STATUS_OK;
}

void llm_remote_chat(struct llm_call *call, const struct llm_request *request)
{
        if (build(call, request))
                llm_call_finish_later(call);
        else
                attempt_start(call, 0);
}
