/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of llm: providers, the dialects they speak, and a call under way. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "llm/llm.h"
#include "llm/llm_passages.h"
#include "llm/prices.h"
#include "net/sse.h"

enum {
        LLM_TIMEOUT_MS = 10 * 60 * 1000,
        LLM_STALL_MS = 5 * 60 * 1000, /* thinking models are silent for minutes */
        LLM_RETRIES_MAX = 2,
        LLM_RETRY_BASE_MS = 500,
        LLM_RETRY_WAIT_MAX_MS = 60 * 1000, /* who asks for longer is not waited for */
        LLM_EVENT_MAX = 4 * 1024 * 1024,
        LLM_ANSWER_MAX = 4 * 1024 * 1024,
        LLM_BODY_MAX = 16 * 1024 * 1024,
        LLM_DETAIL_MAX = 300,
        LLM_TITLE_MAX = 120,
        LLM_DIMENSIONS_MAX = 16384,
};

/* What a server turned out not to take; learnt from its refusal, remembered by base URL and model.
 */
enum llm_quirk {
        QUIRK_OTHER_TOKENS_FIELD = 1 << 0, /* max_completion_tokens for max_tokens, or vice versa */
        QUIRK_NO_TEMPERATURE = 1 << 1,
        QUIRK_NO_STREAM_OPTIONS = 1 << 2,
        QUIRK_NO_STORE = 1 << 3,
};

struct dialect;

struct provider {
        const char *name, *title;
        bool needs_key;
        const char *base_url, *chat_model, *embed_model;
        const struct dialect *dialect; /* NULL: the local engine */
};

/* A target with every default filled in. */
struct endpoint {
        const struct provider *provider;
        const char *model, *api_key, *base_url; /* api_key NULL: none; base_url normalised */
        char title[LLM_TITLE_MAX];              /* who is named in messages */
        bool own_base;                          /* the provider's own address */
        unsigned quirks;
};

/* Why a call failed, for people and for the machine. */
struct refusal {
        struct error error;
        bool retryable;
        unsigned quirk;              /* not 0: the same again, without what was refused */
        char detail[LLM_DETAIL_MAX]; /* the provider's own words, for the log, without the key */
};

/* What is gathered of an answer. */
struct answer {
        struct buffer text;
        char finish[32];  /* the provider's word; "" so far none */
        char model[96];   /* the one that answered */
        char blocked[32]; /* why the prompt or the answer was withheld */
        int64_t input_tokens, output_tokens;
        bool has_usage, ended; /* ended: the stream said so */
};

struct embedding {
        const void *ctx;
        float *vectors; /* total x dims, below ctx */
        size_t total, dims;
        size_t first, count; /* the batch at hand */
        int64_t tokens;      /* of that batch; 0: not told */
};

/* Why a provider does not answer; one wording for all of them. */
enum refusal_kind {
        REFUSED_KEY,        /* the key is wrong */
        REFUSED_PERMISSION, /* the key is right, but may not do this */
        REFUSED_REGION,
        REFUSED_MODEL,
        REFUSED_QUOTA, /* used up: waiting a little does not help */
        REFUSED_RATE,  /* too fast */
        REFUSED_BUSY,
        REFUSED_LENGTH,  /* prompt too long */
        REFUSED_REQUEST, /* something else about the request */
        REFUSED_SERVER,  /* its fault */
        REFUSED_SAFETY,
        REFUSED_BUDGET, /* thinking used up max_tokens */
        REFUSED_EMPTY,
        REFUSED_CUT,   /* the stream ended too early */
        REFUSED_SHAPE, /* not the answer this provider gives */
};

struct explanation {
        enum refusal_kind kind;
        unsigned quirk;
        unsigned retry_after_ms;
        const char *message; /* the provider's words, borrowed from its JSON; NULL: none */
};

/* How a provider is spoken to. Functions get what they need and keep nothing. */
struct dialect {
        /* Checks the model's name and brings the base URL into its one form, below ctx. */
        enum status (*prepare)(const void *ctx, struct endpoint *endpoint, struct error *err);
        /* Name and value of the header that carries the key. */
        struct http_header (*key_header)(const void *ctx, const struct endpoint *endpoint);

        char *(*chat_url)(const void *ctx, const struct endpoint *endpoint, bool stream);
        void (*chat_body)(struct buffer *out, const struct endpoint *endpoint,
                          const struct llm_request *request, bool stream);
        /* Takes what `quirk` names out of a body that was refused, or renames it. */
        void (*chat_adapt)(json_t *body, unsigned quirk);
        /* One event of the stream, or the whole answer: new text goes to the end of answer->text. A
         * failure fills `refusal`. */
        enum status (*chat_event)(const struct endpoint *endpoint, struct answer *answer,
                                  const json_t *json, struct refusal *refusal);
        /* The connection ended: is the answer whole and usable? */
        enum status (*chat_end)(const struct endpoint *endpoint, struct answer *answer,
                                struct refusal *refusal);

        size_t batch_max, batch_bytes;
        char *(*embed_url)(const void *ctx, const struct endpoint *endpoint);
        void (*embed_body)(struct buffer *out, const struct endpoint *endpoint,
                           enum llm_embed_kind kind, const char *const *texts, size_t count);
        /* Fills the vectors in order; false if the answer has another shape. */
        bool (*embed_answer)(const json_t *json, struct embedding *out);

        char *(*check_url)(const void *ctx, const struct endpoint *endpoint);
        enum status (*check_answer)(const struct endpoint *endpoint, const json_t *json,
                                    struct error *err);

        /* What an error object of the provider, or a whole error answer, means. `http_status` is 0
         * inside a stream; `json` may be NULL. */
        struct explanation (*explain)(unsigned http_status, const json_t *json);
};

extern const struct dialect gemini_dialect, openai_dialect;

struct quirks;

struct llm {
        struct http_client *client;
        struct pool *pool;
        struct prices *prices;
        struct quirks *quirks;
        char *gemini_base_url, *openai_base_url;
        unsigned retry_base_ms;
};

struct llm_call {
        struct llm *llm;
        struct endpoint endpoint;
        struct llm_handlers handlers;
        void *arg;
        struct trace trace;
        struct kept_passages *passages;
        char *question; /* local only */
        bool json_output, stream;

        pthread_mutex_t lock;
        struct http_call *http; /* guarded by lock; NULL between attempts */
        atomic_bool cancelled;

        char *body;
        size_t body_length;
        char *url;
        int64_t prompt_tokens; /* estimated */
        struct sse_reader *reader;
        struct answer answer;
        json_t *citations;       /* of the local engine; NULL: resolved from the text's markers */
        struct refusal *refusal; /* NULL until needed: see llm_call_refusal */
        bool unreadable;         /* the refusal is that the answer does not parse */
        int64_t start_us, deadline_us, first_token_us;
        unsigned retries;
};

/* llm_endpoint.c */
const struct provider *llm_provider_find(const char *name);
enum status llm_endpoint_fill(struct llm *llm, const void *ctx, const struct llm_target *target,
                              bool embedding, struct endpoint *ret, struct error *err) MUST_USE;
/* `url` without slashes at its end and without the first of `suffixes` (NULL-terminated) that it
 * ends with, below ctx. */
char *llm_base_url_trim(const void *ctx, const char *url, const char *const suffixes[]);
/* Headers of a JSON call, ended by {0}; `headers` has room for ENDPOINT_HEADERS. */
enum { ENDPOINT_HEADERS = 4 };
void llm_endpoint_headers(const void *ctx, const struct endpoint *endpoint, bool stream,
                          struct http_header headers[ENDPOINT_HEADERS]);

/* llm_embed.c: copies one vector, made of unit length, to its place; false if it is none, or of
 * another size than those before. The first vector allocates. */
bool llm_embedding_take(struct embedding *out, size_t index, const json_t *values);

/* llm_quirks.c: thread-safe. */
struct quirks *llm_quirks_new(const void *ctx);
unsigned llm_quirks_get(struct quirks *quirks, const char *base_url, const char *model);
/* Remembers the quirks of an endpoint that answered. */
void llm_quirks_add(struct quirks *quirks, const struct endpoint *endpoint);

/* llm_refusal.c */
enum status llm_refusal_set(struct refusal *refusal, enum refusal_kind kind,
                            const struct endpoint *endpoint, const char *detail);
/* From an error object inside an answer. */
enum status llm_refusal_from_json(struct refusal *refusal, const struct endpoint *endpoint,
                                  const json_t *json);
/* From an HTTP answer with an error status. */
void llm_refusal_from_answer(struct refusal *refusal, const struct endpoint *endpoint,
                             const struct http_result *result);
/* From a transfer that failed. */
void llm_refusal_from_transport(struct refusal *refusal, const struct endpoint *endpoint,
                                const struct error *err);
/* How long to wait before attempt number `retry` + 1; `asked_ms` is what the provider wants. False
 * if it wants longer than anyone should wait, or than is left. */
bool llm_retry_wait(const struct llm *llm, unsigned retry, unsigned asked_ms, int64_t left_us,
                    unsigned *ret_ms);

/* llm_remote.c: a chat over HTTP. Begins; the rest happens on the client's thread. */
void llm_remote_chat(struct llm_call *call, const struct llm_request *request);

/* local.c */
void local_chat(struct llm_call *call, const struct llm_request *request);

/* llm_call.c */
/* What went wrong; status OK so far. Large, so made when first asked for. */
struct refusal *llm_call_refusal(struct llm_call *call);
/* Reports (success unless the refusal holds an error), counts, logs and frees. */
void llm_call_finish(struct llm_call *call);
/* The same for a call that was cancelled. */
void llm_call_cancelled(struct llm_call *call);
/* llm_call_finish from a pool thread, for what fails before it began. */
void llm_call_finish_later(struct llm_call *call);
/* A rough count where the provider gives none. */
int64_t llm_tokens_estimate(const char *text, size_t length);
