/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a call, whoever answered: usage, cost, metrics, one log line, and the caller's done.
 */
#include <string.h>

#include "base/clock.h"
#include "llm/citations.h"
#include "llm/llm_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

/* About four bytes of English a token; characters beyond Latin take more tokens than that. */
int64_t llm_tokens_estimate(const char *text, size_t length)
{
        size_t plain = 0, wide = 0;

        for (size_t i = 0; i < length; i++) {
                unsigned char c = (unsigned char)text[i];

                if (c < 0x80)
                        plain++;
                else if (c >= 0xE0)
                        wide++; /* first byte of three or four */
                else if (c >= 0xC0)
                        plain += 2;
        }
        return (int64_t)((plain + 3) / 4 + wide);
}

/* A call that was refused before any text came has used nothing. */
static void fill_usage(struct llm_call *call, struct llm_usage *usage)
{
        const struct answer *answer = &call->answer;
        const char *provider = call->endpoint.provider ? call->endpoint.provider->name : "";

        usage->time_to_first_token_ms = -1;
        if (call->first_token_us)
                usage->time_to_first_token_ms =
                        (double)(call->first_token_us - call->start_us) / 1000;
        if (llm_call_refusal(call)->error.status && !answer->has_usage && answer->text.length == 0)
                return;
        usage->estimated = !answer->has_usage;
        usage->input_tokens = answer->has_usage ? answer->input_tokens : call->prompt_tokens;
        usage->output_tokens = answer->has_usage ? answer->output_tokens
                                                 : llm_tokens_estimate(buffer_string(&answer->text),
                                                                       answer->text.length);
        usage->cost_dollars = prices_cost(call->llm->prices, provider, answer->model,
                                          usage->input_tokens, usage->output_tokens);
        if (usage->cost_dollars <= 0)
                usage->cost_dollars = prices_cost(call->llm->prices, provider, call->endpoint.model,
                                                  usage->input_tokens, usage->output_tokens);
}

/* Values of the metric's label `status`, few and fixed. A switch would need every status. */
static const char *status_label(enum status status)
{
        if (status == STATUS_OK)
                return "success";
        if (status == STATUS_CANCELLED)
                return "cancelled";
        if (status == STATUS_RATE_LIMITED)
                return "rate_limited";
        if (status == STATUS_UPSTREAM_TIMEOUT)
                return "timeout";
        return status == STATUS_UNPROCESSABLE ? "refused" : "error";
}

static void count(const struct llm_call *call, const char *status, const struct llm_usage *usage)
{
        const char *provider = call->endpoint.provider ? call->endpoint.provider->name : "unknown";
        const char *model = call->endpoint.model ? call->endpoint.model : "unknown";

        metric_add(METRIC_llm_requests_total, 1, provider, model, status);
        metric_observe(METRIC_llm_request_duration_seconds, metric_seconds_since(call->start_us),
                       provider, model);
        if (usage->time_to_first_token_ms >= 0)
                metric_observe(METRIC_llm_time_to_first_token_seconds,
                               usage->time_to_first_token_ms / 1000, provider, model);
        if (usage->input_tokens > 0)
                metric_add(METRIC_llm_tokens_total, (double)usage->input_tokens, provider, model,
                           "input");
        if (usage->output_tokens > 0)
                metric_add(METRIC_llm_tokens_total, (double)usage->output_tokens, provider, model,
                           "output");
        if (usage->cost_dollars > 0)
                metric_add(METRIC_llm_cost_dollars_total, usage->cost_dollars, provider, model);
}

static void log_call(struct llm_call *call, const char *status, const struct llm_usage *usage)
{
        const struct refusal *refusal = llm_call_refusal(call);
        const struct error *err = &refusal->error;
        bool failed = err->status != STATUS_OK && err->status != STATUS_CANCELLED;
        const struct log_field fields[] = {
                LOG_STR("provider",
                        call->endpoint.provider ? call->endpoint.provider->name : "unknown"),
                LOG_STR("model", call->endpoint.model),
                LOG_STR("status", status),
                LOG_REAL("duration_ms", (double)(clock_monotonic_us() - call->start_us) / 1000),
                LOG_INT("input_tokens", usage->input_tokens),
                LOG_INT("output_tokens", usage->output_tokens),
                LOG_BOOL("tokens_estimated", usage->estimated),
                LOG_INT("retries", call->retries),
                LOG_STR("detail", *refusal->detail ? refusal->detail : NULL),
                LOG_REAL("time_to_first_token_ms", usage->time_to_first_token_ms),
        };
        size_t field_count = ARRAY_LENGTH(fields) - (usage->time_to_first_token_ms < 0 ? 1 : 0);

        log_write(failed ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, LOG_llm_request,
                  failed ? "language model call failed" : "language model called",
                  failed ? err : NULL, fields, field_count);
}

struct refusal *llm_call_refusal(struct llm_call *call)
{
        if (!call->refusal)
                call->refusal = mem_new(call, struct refusal);
        return call->refusal;
}

static json_t *take_citations(struct llm_call *call)
{
        json_t *citations = call->citations;
        SCOPED_MEM void *ctx = mem_root();
        struct llm_passage *passages;
        size_t count;

        call->citations = NULL;
        if (citations)
                return citations;
        if (llm_call_refusal(call)->error.status || !strchr(buffer_string(&call->answer.text), '['))
                return json_array();
        passages = kept_passages_read(call->passages, ctx, &count);
        return citations_resolve(buffer_string(&call->answer.text), passages, count);
}

void llm_call_finish(struct llm_call *call)
{
        TRACE_SCOPE(&call->trace);
        const struct error *err = &llm_call_refusal(call)->error;
        const char *status = status_label(err->status);
        SCOPED_JSON json_t *citations = take_citations(call);
        struct llm_result result = {
                .text = buffer_string(&call->answer.text),
                .model = *call->answer.model ? call->answer.model : call->endpoint.model,
                .finish_reason = call->answer.finish,
                .citations = citations,
        };

        fill_usage(call, &result.usage);
        count(call, status, &result.usage);
        log_call(call, status, &result.usage);
        call->handlers.done(&result, err->status ? err : NULL, llm_call_refusal(call)->retryable,
                            call->arg);
        pthread_mutex_destroy(&call->lock);
        mem_free(call);
}

void llm_call_cancelled(struct llm_call *call)
{
        *llm_call_refusal(call) = (struct refusal){0};
        error_set(&llm_call_refusal(call)->error, STATUS_CANCELLED, "the call was cancelled");
        llm_call_finish(call);
}

static void finish_job(void *arg)
{
        struct llm_call *call = arg;

        if (atomic_load(&call->cancelled))
                llm_call_cancelled(call);
        else
                llm_call_finish(call);
}

void llm_call_finish_later(struct llm_call *call)
{
        pool_continue(call->llm->pool, finish_job, call);
}
