/* SPDX-License-Identifier: Apache-2.0 */
/* Language models behind one port: chat with streaming, and embeddings.
 *
 * A call holds no thread while it waits. Its callbacks run on the HTTP client's thread (the local
 * engine's on a pool thread) and must not block. Providers are rows of a table of `llm_ops`. */
#pragma once

#include "base/json.h"
#include "base/pool.h"
#include "net/client.h"

struct llm;
struct llm_call;

/* A retrieved passage: for `local` the material itself, for others already inside the prompt; the
 * order gives the numbers [1], [2] … of citation markers. */
struct llm_passage {
        const char *document_id, *chunk_id, *filename;
        const char *text; /* content of the chunk */
        int64_t page;     /* 0: the format has no pages */
        int64_t start;    /* byte offset of `text` in the document's extracted text */
        const char *url;  /* web results: set, then document_id is NULL */
        const char *title;
};

struct llm_message {
        const char *role; /* "user" or "assistant" */
        const char *content;
};

/* Who answers, with what credentials. Empty or NULL base_url: the provider's own. A base URL is set
 * by an administrator and may be a private address. */
struct llm_target {
        const char *provider; /* "local", "gemini", "openai" */
        const char *model;    /* "" : the provider's default */
        const char *api_key;
        const char *base_url;
};

/* All texts are copied by llm_chat. */
struct llm_request {
        struct llm_target target;
        const char *system;
        const struct llm_message *messages; /* the last one is the question or filled-in prompt */
        size_t message_count;
        const char *question; /* the user's own words, for `local` */
        const struct llm_passage *passages;
        size_t passage_count;
        double temperature; /* < 0: not sent */
        int64_t max_tokens; /* 0: not sent */
        bool json_output;
        unsigned timeout_ms; /* whole call with retries; 0: 10 min */
        const struct trace *trace;
};

struct llm_usage {
        int64_t input_tokens, output_tokens;
        bool estimated; /* the provider gave no figures */
        double cost_dollars;
        double time_to_first_token_ms; /* < 0: no token came */
};

/* Valid during `done` only. `text` is the whole answer; of a failed call what had come, with the
 * tokens it used. */
struct llm_result {
        const char *text;
        const char *model;         /* the one that answered */
        const char *finish_reason; /* "stop", "length" or the provider's word */
        struct llm_usage usage;
        /* Array of {document_id,chunk_id,filename,page,start,end,quote} or {url,title,quote}: the
         * k-th distinct marker [n] of the text is the k-th citation, for `local` with n = k.
         * Borrowed. */
        json_t *citations;
};

struct llm_handlers {
        /* NULL: the answer is not streamed, and has no time to first token. */
        void (*token)(const char *text, size_t length, void *arg);
        /* Once, last; `err` is NULL on success. `retryable`: a later attempt may succeed. */
        void (*done)(const struct llm_result *result, const struct error *err, bool retryable,
                     void *arg);
};

struct llm_options {
        struct http_client *client;
        struct pool *pool;                             /* for the local engine */
        const char *price_file;                        /* NULL: the embedded table */
        const char *gemini_base_url, *openai_base_url; /* defaults, may be NULL */
        unsigned retry_base_ms; /* wait before the first retry, doubled for each further; 0: 500 */
};

enum status llm_new(const struct llm_options *options, struct llm **ret,
                    struct error *err) MUST_USE;
struct llm *llm_free(struct llm *llm);

/* True for a known provider; *ret_needs_key tells whether it works without a key. */
bool llm_provider_known(const char *provider, bool *ret_needs_key);

/* Begins a call; errors arrive by done. The call is valid until done returns. Any thread. */
struct llm_call *llm_chat(struct llm *llm, const struct llm_request *request,
                          const struct llm_handlers *handlers, void *arg);
/* done follows at once with CANCELLED. The owner makes sure that done was not called yet. */
void llm_cancel(struct llm_call *call);

enum llm_embed_kind { LLM_EMBED_DOCUMENT, LLM_EMBED_QUERY };

/* Embeds `count` texts, in batches within the provider's limits, and waits; any thread but the
 * client's. *ret is count x dims floats, each vector of unit length, below ctx. */
enum status llm_embed(struct llm *llm, const void *ctx, const struct llm_target *target,
                      enum llm_embed_kind kind, const char *const *texts, size_t count, float **ret,
                      size_t *ret_dims, struct error *err) MUST_USE;

/* Asks the provider whether key and model work, with a call that costs nothing; waits. */
enum status llm_check(struct llm *llm, const struct llm_target *target, struct error *err) MUST_USE;
