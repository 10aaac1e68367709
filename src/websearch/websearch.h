/* SPDX-License-Identifier: Apache-2.0 */
/* Web search behind one port: Brave, SerpAPI and SearXNG, results in one shape. */
#pragma once

#include "base/json.h"
#include "net/client.h"

struct websearch;
struct websearch_call;

struct websearch_query {
        const char *provider; /* "brave", "serpapi", "searxng" */
        const char *api_key;  /* not for searxng */
        const char *base_url; /* NULL or "": the provider's own; required for searxng */
        const char *query;
        int64_t results; /* 1..20 */
        unsigned timeout_ms;
        const struct trace *trace;
};

/* `results` is an array of {rank,title,url,snippet,date,source} (borrowed, plain text, no markup);
 * empty when nothing was found. Once, on the client's thread. */
typedef void websearch_done_fn(json_t *results, const struct error *err, bool retryable, void *arg);

struct websearch_options {
        struct http_client *client;
        const char *brave_base_url, *serpapi_base_url, *searxng_url; /* defaults, may be NULL */
};

enum status websearch_new(const struct websearch_options *options, struct websearch **ret,
                          struct error *err) MUST_USE;
struct websearch *websearch_free(struct websearch *websearch);
bool websearch_provider_known(const char *provider, bool *ret_needs_key);

/* Errors arrive by done; the call is valid until done returns. Any thread. */
struct websearch_call *websearch_start(struct websearch *websearch, const struct websearch_query *query,
                                       websearch_done_fn *done, void *arg);
void websearch_cancel(struct websearch_call *call); /* done follows with CANCELLED */
