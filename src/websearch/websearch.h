/* SPDX-License-Identifier: Apache-2.0 */
/* Web search behind one port: Brave, SerpAPI and SearXNG, results in one shape.
 *
 * A call holds no thread while it waits and tries once: who asked decides about another attempt.
 * Successful answers are kept for a few minutes if there is a cache, apart for each API key. No
 * key reaches a message, a log line or a metric, no query a log line. */
#pragma once

#include "base/json.h"
#include "cache/cache.h"
#include "net/client.h"

struct websearch;
struct websearch_call;

/* All texts are copied by websearch_start. */
struct websearch_query {
        const char *provider; /* "brave", "serpapi", "searxng" */
        const char *api_key;  /* not for searxng */
        /* NULL or "": the provider's own; required for searxng. Whoever sets it is trusted: it may
         * be a private address. */
        const char *base_url;
        const char *query;   /* put on one line and cut to what the provider takes */
        int64_t results;     /* 1..20; a provider may have fewer (SerpAPI gives 10 at most) */
        unsigned timeout_ms; /* 0: 30 s */
        const struct trace *trace;
};

/* `results` is an array of {rank,title,url,snippet,date,source} (borrowed, plain text, no markup);
 * empty when nothing was found, NULL when `err` is set. `retryable`: a later attempt may succeed,
 * not before err->retry_after_ms. Once, on the client's thread. */
typedef void websearch_done_fn(json_t *results, const struct error *err, bool retryable, void *arg);

struct websearch_options {
        struct http_client *client;
        struct cache *cache; /* NULL: answers are not kept */
        const char *brave_base_url, *serpapi_base_url, *searxng_url; /* defaults, may be NULL */
};

enum status websearch_new(const struct websearch_options *options, struct websearch **ret,
                          struct error *err) MUST_USE;
/* Cancels what is under way and waits for its done; before the client and the cache are freed, and
 * not on the client's thread. Takes NULL. */
struct websearch *websearch_free(struct websearch *websearch);
bool websearch_provider_known(const char *provider, bool *ret_needs_key);

/* Errors arrive by done; the call is valid until done returns. Any thread. */
struct websearch_call *websearch_start(struct websearch *websearch,
                                       const struct websearch_query *query, websearch_done_fn *done,
                                       void *arg);
/* done follows with CANCELLED. The owner makes sure that done was not called yet. Any thread. */
void websearch_cancel(struct websearch_call *call);
