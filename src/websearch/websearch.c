/* SPDX-License-Identifier: Apache-2.0 */
/* The port: which providers there are, and how a search begins.
 *
 * A search whose end is known at its start (a mistake in the question, an answer in the cache)
 * takes the same way as all others, so that done is always called on the client's thread: its call
 * has no address, and fails there at once. */
#include <string.h>

#include "base/clock.h"
#include "websearch/websearch_call.h"

static const struct websearch_ops *const providers[] = {&brave_ops, &serpapi_ops, &searxng_ops};

const struct websearch_ops *websearch_find_ops(const char *name)
{
        for (size_t i = 0; name && i < ARRAY_LENGTH(providers); i++) {
                if (strcmp(providers[i]->name, name) == 0)
                        return providers[i];
        }
        return NULL;
}

bool websearch_provider_known(const char *provider, bool *ret_needs_key)
{
        const struct websearch_ops *ops = websearch_find_ops(provider);

        *ret_needs_key = ops && ops->needs_key;
        return ops != NULL;
}

enum status websearch_new(const struct websearch_options *options, struct websearch **ret,
                          struct error *err)
{
        struct websearch *websearch = mem_new(NULL, struct websearch);

        (void)err;
        websearch->client = options->client;
        websearch->cache = options->cache;
        websearch->brave_base_url = mem_strdup(websearch, options->brave_base_url);
        websearch->serpapi_base_url = mem_strdup(websearch, options->serpapi_base_url);
        websearch->searxng_url = mem_strdup(websearch, options->searxng_url);
        pthread_mutex_init(&websearch->lock, NULL);
        pthread_cond_init(&websearch->idle, NULL);
        LIST_INIT(&websearch->calls);
        *ret = websearch;
        return STATUS_OK;
}

/* Under the lock, which keeps call->http alive: its done takes it away under the lock first. */
static void cancel(struct websearch_call *call)
{
        if (!call->cancelled && call->http)
                http_call_cancel(call->http);
        call->cancelled = true;
}

struct websearch *websearch_free(struct websearch *websearch)
{
        struct websearch_call *call;

        if (!websearch)
                return NULL;
        pthread_mutex_lock(&websearch->lock);
        LIST_FOREACH(call, &websearch->calls, list)
        cancel(call);
        while (!LIST_EMPTY(&websearch->calls))
                pthread_cond_wait(&websearch->idle, &websearch->lock);
        pthread_mutex_unlock(&websearch->lock);
        pthread_cond_destroy(&websearch->idle);
        pthread_mutex_destroy(&websearch->lock);
        return mem_free(websearch);
}

static const char *configured_url(const struct websearch *websearch, const char *provider)
{
        const struct websearch_ops *ops = websearch_find_ops(provider);

        if (ops == &brave_ops)
                return websearch->brave_base_url;
        if (ops == &serpapi_ops)
                return websearch->serpapi_base_url;
        return websearch->searxng_url;
}

static void look_up(struct websearch_call *call)
{
        struct cache *cache = call->websearch->cache;
        struct error ignored = ERROR_INIT;
        char *text;
        size_t length;

        if (!cache)
                return;
        call->cache_key = websearch_question_cache_key(call, &call->question);
        if (cache_get(cache, call, call->cache_key, &text, &length))
                call->cached = json_read(text, length, &call->results, &ignored) == STATUS_OK;
}

static struct websearch_call *call_new(struct websearch *websearch,
                                       const struct websearch_query *query)
{
        struct websearch_call *call = mem_new(NULL, struct websearch_call);

        call->websearch = websearch;
        call->start_us = clock_monotonic_us();
        if (query->trace)
                call->trace = *query->trace;
        if (websearch_question_fill(call, query, configured_url(websearch, query->provider),
                                    &call->question, &call->refusal.error) == STATUS_OK)
                look_up(call);
        return call;
}

static bool end_is_known(const struct websearch_call *call)
{
        return call->results || call->refusal.error.status != STATUS_OK;
}

/* Under the lock, so that done finds call->http. */
static void begin(struct websearch_call *call, unsigned timeout_ms)
{
        struct http_header headers[WEBSEARCH_HEADERS];
        struct http_request request = {
                .method = "GET",
                .url = "",
                .timeout_ms = timeout_ms ? timeout_ms : WEBSEARCH_TIMEOUT_MS,
                .response_max = WEBSEARCH_ANSWER_MAX,
                .private_addresses = !call->question.own_base,
                .trace = &call->trace,
        };

        if (!end_is_known(call)) {
                request.url = websearch_question_url(call, &call->question, headers);
                request.headers = headers;
        }
        call->http =
                http_client_start(call->websearch->client, &request, &websearch_handlers, call);
}

struct websearch_call *websearch_start(struct websearch *websearch,
                                       const struct websearch_query *query, websearch_done_fn *done,
                                       void *arg)
{
        struct websearch_call *call = call_new(websearch, query);

        call->done = done;
        call->arg = arg;
        pthread_mutex_lock(&websearch->lock);
        LIST_INSERT_HEAD(&websearch->calls, call, list);
        begin(call, query->timeout_ms);
        pthread_mutex_unlock(&websearch->lock);
        return call;
}

void websearch_cancel(struct websearch_call *call)
{
        struct websearch *websearch = call->websearch;

        pthread_mutex_lock(&websearch->lock);
        cancel(call);
        pthread_mutex_unlock(&websearch->lock);
}
