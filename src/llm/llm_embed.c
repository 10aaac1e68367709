/* SPDX-License-Identifier: Apache-2.0 */
/* Embeddings and the key check: calls that a worker thread waits for. Batches keep to the
 * provider's limits in number and bytes; every vector is brought to unit length, since truncated
 * ones are not. Usage and cost count like those of a chat. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "llm/llm_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { EMBED_TIMEOUT_MS = 120 * 1000, CHECK_TIMEOUT_MS = 15 * 1000, ANSWER_MAX = 64 * 1024 * 1024 };

/* What one call used, for metrics and log. */
struct account {
        int64_t start_us;
        int64_t tokens;
        bool estimated;
        unsigned retries;
};

bool llm_embedding_take(struct embedding *out, size_t index, const json_t *values)
{
        size_t dims = json_array_size(values);
        double sum = 0;
        const json_t *value;
        float *to;
        size_t i;

        if (dims == 0 || dims > LLM_DIMENSIONS_MAX || (out->dims && out->dims != dims))
                return false;
        if (!out->vectors) {
                out->dims = dims;
                out->vectors = mem_array(out->ctx, float, out->total *dims);
        }
        to = out->vectors + (out->first + index) * dims;
        json_array_foreach (values, i, value) {
                if (!json_is_number(value))
                        return false;
                to[i] = (float)json_number_value(value);
                sum += (double)to[i] * (double)to[i];
        }
        if (!(sum > 0) || !isfinite(sum))
                return false;
        for (i = 0; i < dims; i++)
                to[i] = (float)((double)to[i] / sqrt(sum));
        return true;
}

/* One attempt; the answer's JSON is a new reference. */
static void attempt(struct llm *llm, const struct endpoint *endpoint,
                    const struct http_request *request, json_t **ret, struct refusal *refusal)
{
        SCOPED_MEM void *ctx = mem_root();
        struct http_result result = {0};
        struct error err = ERROR_INIT;

        *refusal = (struct refusal){0};
        if (http_client_fetch(llm->client, ctx, request, &result, &err))
                llm_refusal_from_transport(refusal, endpoint, &err);
        else if (result.status < 200 || result.status > 299)
                llm_refusal_from_answer(refusal, endpoint, &result);
        else if (json_read(result.body, result.body_length, ret, &err))
                llm_refusal_set(refusal, REFUSED_SHAPE, endpoint, err.message);
}

/* A JSON call with retries. */
static enum status exchange(struct llm *llm, const struct endpoint *endpoint,
                            const struct http_request *what, unsigned timeout_ms,
                            struct account *account, json_t **ret, struct refusal *refusal)
{
        int64_t deadline_us = account->start_us + (int64_t)timeout_ms * 1000;
        SCOPED_MEM void *ctx = mem_root();
        struct http_header headers[ENDPOINT_HEADERS];
        struct http_request request = *what;

        llm_endpoint_headers(ctx, endpoint, /* stream= */ false, headers);
        request.headers = headers;
        request.private_addresses = true;
        request.response_max = ANSWER_MAX;
        for (;; account->retries++) {
                int64_t left_us = deadline_us - clock_monotonic_us();

                request.timeout_ms = left_us > 1000 ? (unsigned)(left_us / 1000) : 1;
                attempt(llm, endpoint, &request, ret, refusal);
                if (!refusal->error.status || !refusal->retryable ||
                    account->retries >= LLM_RETRIES_MAX ||
                    !llm_retry_wait(llm, account->retries, refusal->error.retry_after_ms,
                                    deadline_us - clock_monotonic_us(), &request.delay_ms))
                        return refusal->error.status;
        }
}

static void report(struct llm *llm, const struct endpoint *endpoint, const struct account *account,
                   const struct refusal *refusal)
{
        const char *provider = endpoint->provider->name, *model = endpoint->model;
        const char *status = refusal->error.status ? "error" : "success";
        double cost = prices_cost(llm->prices, provider, model, account->tokens, 0);
        const struct log_field fields[] = {
                LOG_STR("provider", provider),
                LOG_STR("model", model),
                LOG_STR("status", status),
                LOG_REAL("duration_ms", (double)(clock_monotonic_us() - account->start_us) / 1000),
                LOG_INT("input_tokens", account->tokens),
                LOG_INT("output_tokens", 0),
                LOG_BOOL("tokens_estimated", account->estimated),
                LOG_INT("retries", account->retries),
                LOG_STR("detail", *refusal->detail ? refusal->detail : NULL),
        };

        metric_add(METRIC_llm_requests_total, 1, provider, model, status);
        metric_observe(METRIC_llm_request_duration_seconds, metric_seconds_since(account->start_us),
                       provider, model);
        if (account->tokens > 0)
                metric_add(METRIC_llm_tokens_total, (double)account->tokens, provider, model,
                           "input");
        if (cost > 0)
                metric_add(METRIC_llm_cost_dollars_total, cost, provider, model);
        log_write(refusal->error.status ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, LOG_llm_request,
                  refusal->error.status ? "embedding call failed" : "texts embedded",
                  refusal->error.status ? &refusal->error : NULL, fields, ARRAY_LENGTH(fields));
}

static enum status embed_batch(struct llm *llm, const struct endpoint *endpoint,
                               enum llm_embed_kind kind, const char *const *texts,
                               struct embedding *out, struct error *err)
{
        const struct dialect *dialect = endpoint->provider->dialect;
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = NULL;
        struct buffer body = BUFFER_INIT(ctx, LLM_BODY_MAX);
        struct account account = {.start_us = clock_monotonic_us()};
        struct refusal refusal = {0};
        struct http_request request = {.method = "POST", .trace = trace_current()};

        dialect->embed_body(&body, endpoint, kind, texts, out->count);
        if (buffer_check(&body, "the texts to embed", err))
                return err->status;
        request.url = dialect->embed_url(ctx, endpoint);
        request.body = body.data;
        request.body_length = body.length;
        request.body_borrowed = true;
        if (!exchange(llm, endpoint, &request, EMBED_TIMEOUT_MS, &account, &json, &refusal)) {
                if (!dialect->embed_answer(json, out))
                        llm_refusal_set(&refusal, REFUSED_SHAPE, endpoint,
                                        "not as many vectors of one size as texts");
                account.estimated = out->tokens == 0;
                account.tokens =
                        out->tokens ? out->tokens : llm_tokens_estimate(body.data, body.length);
        }
        report(llm, endpoint, &account, &refusal);
        if (refusal.error.status)
                *err = refusal.error;
        return refusal.error.status;
}

/* How many of the texts go into the next batch: at least one. */
static size_t batch_size(const struct dialect *dialect, const char *const *texts, size_t count)
{
        size_t size = 0, bytes = 0;

        while (size < count && size < dialect->batch_max) {
                bytes += strlen(texts[size]) + 200; /* what JSON puts around it */
                if (size > 0 && bytes > dialect->batch_bytes)
                        break;
                size++;
        }
        return size;
}

enum status llm_embed(struct llm *llm, const void *ctx, const struct llm_target *target,
                      enum llm_embed_kind kind, const char *const *texts, size_t count, float **ret,
                      size_t *ret_dims, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        struct embedding out = {.ctx = ctx, .total = count};
        struct endpoint endpoint;

        if (llm_endpoint_fill(llm, scratch, target, /* embedding= */ true, &endpoint, err))
                return err->status;
        if (!endpoint.provider->dialect)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "The local engine has no embeddings: choose gemini or openai");
        for (; out.first < count; out.first += out.count) {
                out.count = batch_size(endpoint.provider->dialect, texts + out.first,
                                       count - out.first);
                if (embed_batch(llm, &endpoint, kind, texts + out.first, &out, err))
                        return err->status;
        }
        *ret = out.vectors;
        *ret_dims = out.dims;
        return STATUS_OK;
}

enum status llm_check(struct llm *llm, const struct llm_target *target, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = NULL;
        struct account account = {.start_us = clock_monotonic_us()};
        struct http_request request = {.method = "GET", .trace = trace_current()};
        struct refusal refusal;
        struct endpoint endpoint;

        if (llm_endpoint_fill(llm, ctx, target, /* embedding= */ false, &endpoint, err))
                return err->status;
        if (!endpoint.provider->dialect)
                return STATUS_OK;
        request.url = endpoint.provider->dialect->check_url(ctx, &endpoint);
        if (exchange(llm, &endpoint, &request, CHECK_TIMEOUT_MS, &account, &json, &refusal)) {
                *err = refusal.error;
                return err->status;
        }
        return endpoint.provider->dialect->check_answer(&endpoint, json, err);
}
