/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals: what a provider says when it does not answer, in words for the person who can do
 * something about it, with the provider's own words (without the key) for the log. */
#include <ctype.h>
#include <sodium.h>
#include <string.h>

#include "base/utf8.h"
#include "llm/llm_internal.h"

/* Copies the provider's words: one line, valid UTF-8, the key blotted out. */
static void keep_detail(struct refusal *refusal, const struct endpoint *endpoint,
                        const char *detail)
{
        const char *key = endpoint->api_key;
        size_t used = 0, key_length = key ? strlen(key) : 0, step;

        for (const char *c = detail ? detail : ""; *c && used + 8 < LLM_DETAIL_MAX; c += step) {
                step = utf8_sequence(c, strlen(c));
                if (key_length > 0 && strncmp(c, key, key_length) == 0) {
                        memcpy(refusal->detail + used, "***", 3);
                        used += 3;
                        step = key_length;
                } else if (step == 0 || iscntrl((unsigned char)*c)) {
                        refusal->detail[used++] = ' ';
                        step = 1;
                } else {
                        memcpy(refusal->detail + used, c, step);
                        used += step;
                }
        }
        refusal->detail[used] = '\0';
}

struct wording {
        enum status status;
        bool retryable;
        const char *format; /* %1$s who, %2$s the model, %3$s the provider's words */
};

#define SETTINGS "under Settings, Credentials"

static const struct wording wordings[] = {
        [REFUSED_KEY] = {STATUS_UNPROCESSABLE, false,
                         "%1$s refused the API key: check it " SETTINGS},
        [REFUSED_PERMISSION] =
                {STATUS_UNPROCESSABLE, false,
                 "%1$s does not let this API key use the model %2$s: check the key's "
                 "rights and its project, or set another key " SETTINGS},
        [REFUSED_REGION] = {STATUS_UNPROCESSABLE, false,
                            "%1$s is not offered in this server's country, or needs billing to be "
                            "switched on for this key's project"},
        [REFUSED_MODEL] = {STATUS_UNPROCESSABLE, false,
                           "%1$s has no model '%2$s' (misspelt, retired, or not installed there): "
                           "choose another in the node's settings"},
        [REFUSED_QUOTA] = {STATUS_RATE_LIMITED, false,
                           "%1$s: the quota of this account is used up: wait until it is renewed, "
                           "check billing with the provider, or choose another provider"},
        [REFUSED_RATE] = {STATUS_RATE_LIMITED, true,
                          "%1$s is asked too often with this key: try again in a moment"},
        [REFUSED_BUSY] = {STATUS_UNAVAILABLE, true,
                          "%1$s is overloaded or still starting: try again in a moment"},
        [REFUSED_LENGTH] = {STATUS_UNPROCESSABLE, false,
                            "%1$s: the prompt is too long for the model %2$s: hand over fewer "
                            "passages or a shorter history"},
        [REFUSED_REQUEST] = {STATUS_UNPROCESSABLE, false, "%1$s did not accept the request: %3$s"},
        [REFUSED_SERVER] = {STATUS_UPSTREAM, true, "%1$s failed on its own side: %3$s"},
        [REFUSED_SAFETY] =
                {STATUS_UNPROCESSABLE, false,
                 "%1$s withheld the answer for safety or policy reasons (%3$s): rephrase "
                 "the question"},
        [REFUSED_BUDGET] = {STATUS_UNPROCESSABLE, false,
                            "%1$s: the model %2$s used all its tokens before it answered: raise "
                            "the limit on the answer's tokens in the node's settings"},
        [REFUSED_EMPTY] = {STATUS_UPSTREAM, true, "%1$s gave an empty answer"},
        [REFUSED_CUT] = {STATUS_UPSTREAM, true, "%1$s broke off in mid-answer"},
        [REFUSED_SHAPE] = {STATUS_UPSTREAM, true,
                           "%1$s did not answer the way this provider does (%3$s): check the base "
                           "URL"},
};

/* The table's formats are constants of this file. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
enum status llm_refusal_set(struct refusal *refusal, enum refusal_kind kind,
                            const struct endpoint *endpoint, const char *detail)
{
        const struct wording *wording = &wordings[kind];
        char text[ERROR_MESSAGE_MAX];

        keep_detail(refusal, endpoint, detail);
        snprintf(text, sizeof(text), wording->format, endpoint->title, endpoint->model,
                 *refusal->detail ? refusal->detail : "no reason given");
        refusal->retryable = wording->retryable;
        return error_set(&refusal->error, wording->status, "%s", text);
}
#pragma GCC diagnostic pop

static void explain(struct refusal *refusal, const struct endpoint *endpoint, unsigned http_status,
                    const json_t *json, const char *otherwise)
{
        struct explanation told = endpoint->provider->dialect->explain(http_status, json);
        const char *message = told.message && *told.message ? told.message : otherwise;

        llm_refusal_set(refusal, told.kind, endpoint, message);
        refusal->quirk = told.quirk;
        if (refusal->retryable)
                refusal->error.retry_after_ms = told.retry_after_ms;
}

enum status llm_refusal_from_json(struct refusal *refusal, const struct endpoint *endpoint,
                                  const json_t *json)
{
        explain(refusal, endpoint, 0, json, NULL);
        return refusal->error.status;
}

void llm_refusal_from_answer(struct refusal *refusal, const struct endpoint *endpoint,
                             const struct http_result *result)
{
        SCOPED_JSON json_t *json = NULL;
        struct error ignored = ERROR_INIT;
        char what[LLM_DETAIL_MAX];

        *refusal = (struct refusal){0};
        /* What is not JSON is a proxy's page, most often: its status is what counts. */
        if (json_read(result->body, result->body_length, &json, &ignored))
                json = NULL;
        snprintf(what, sizeof(what), "HTTP %u, %.60s", result->status,
                 result->content_type ? result->content_type : "no content type");
        explain(refusal, endpoint, result->status, json, what);
        /* A redirect is not followed, and the same address will redirect again. */
        if (result->status / 100 == 3)
                refusal->retryable = false;
        if (refusal->retryable && !refusal->error.retry_after_ms)
                refusal->error.retry_after_ms = result->retry_after_ms;
}

void llm_refusal_from_transport(struct refusal *refusal, const struct endpoint *endpoint,
                                const struct error *err)
{
        *refusal = (struct refusal){.error = *err};
        refusal->retryable = err->status == STATUS_UPSTREAM ||
                             err->status == STATUS_UPSTREAM_TIMEOUT ||
                             err->status == STATUS_UNAVAILABLE;
        /* The message names the host already. */
        if (endpoint->own_base || endpoint->provider->dialect == &gemini_dialect)
                error_prefix(&refusal->error, "%s", endpoint->provider->title);
        else
                error_prefix(&refusal->error, "The model server");
}

bool llm_retry_wait(const struct llm *llm, unsigned retry, unsigned asked_ms, int64_t left_us,
                    unsigned *ret_ms)
{
        unsigned base_ms = llm->retry_base_ms << retry;
        unsigned wait_ms = base_ms / 2 + randombytes_uniform(base_ms / 2 + 1);

        if (asked_ms > LLM_RETRY_WAIT_MAX_MS)
                return false;
        /* Nobody comes back before the time asked for, nor all at the same moment. */
        if (asked_ms >= wait_ms)
                wait_ms = asked_ms + randombytes_uniform(base_ms / 2 + 1);
        *ret_ms = wait_ms;
        return (int64_t)wait_ms * 1000 < left_us;
}
