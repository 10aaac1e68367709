/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of websearch: providers as rows of an ops table, and the way from a question to results.
 *
 * Everything from an answer's bytes to results or a refusal is free of I/O, so that tests and the
 * fuzzer can call it. All texts of a provider are strangers' texts: bounded, made plain, and its
 * addresses checked. */
#pragma once

#include "websearch/websearch.h"

enum {
        WEBSEARCH_TIMEOUT_MS = 30 * 1000,
        WEBSEARCH_ANSWER_MAX = 2 * 1024 * 1024,
        WEBSEARCH_RESULTS_MAX = 20,
        WEBSEARCH_QUERY_MAX = 400, /* characters: Brave's limit, and enough for everyone */
        WEBSEARCH_HEADERS = 4,
        WEBSEARCH_DETAIL_MAX = 300,
};

struct websearch_ops;

/* What is asked, every default filled in; texts belong to the call. */
struct question {
        const struct websearch_ops *ops;
        const char *base_url; /* without slashes at the end */
        const char *api_key;  /* NULL: none */
        const char *query;    /* on one line, within the provider's limits */
        int64_t results;
        bool own_base; /* the provider's own address */
};

/* What came back. */
struct answer {
        unsigned status;
        const char *body;
        size_t length;
        const char *content_type;                        /* may be NULL */
        const char *rate_limit, *rate_left, *rate_reset; /* X-RateLimit-*; NULL: absent */
        unsigned retry_after_ms;
};

/* Why there are no results, for people and for the machine. */
struct refusal {
        struct error error;
        bool retryable;
        char detail[WEBSEARCH_DETAIL_MAX]; /* the provider's words, without key and query */
};

/* Where a result's members are, as paths for json_path; of two, the first that is there counts. */
struct members {
        const char *url, *title, *snippet;
        const char *date[2], *source[2];
};

struct websearch_ops {
        const char *name, *title;
        bool needs_key;
        const char *setting;  /* the variable that configures it, for messages */
        const char *base_url; /* NULL: it has none of its own */
        const char *path;     /* of the search, below the base URL */
        size_t words_max;     /* of the query; 0: any number */
        struct members members;

        /* Adds what belongs to the URL after the query, and headers. `headers` is zeroed and keeps
         * its last one so; the texts live as long as the question. */
        void (*request)(const struct question *question, struct buffer *url,
                        struct http_header headers[WEBSEARCH_HEADERS]);
        /* Finds the array of results in an answer of status 2xx; NULL for none found. Refuses what
         * is no answer of this provider. */
        enum status (*find)(const struct question *question, const json_t *json, json_t **ret,
                            struct refusal *refusal);
        /* Explains an answer of any other status; `json` is NULL if it is not JSON. */
        enum status (*explain)(const struct question *question, const struct answer *answer,
                               const json_t *json, struct refusal *refusal);
};

extern const struct websearch_ops brave_ops, serpapi_ops, searxng_ops;

/* NULL if there is none of that name. */
const struct websearch_ops *websearch_find_ops(const char *name);

/* question.c */
/* Fills the question from what the caller gave and the configured base URL (may be NULL), below
 * ctx. UNPROCESSABLE if something is not set up, INVALID for an empty query. */
enum status websearch_question_fill(const void *ctx, const struct websearch_query *query,
                                    const char *configured, struct question *ret,
                                    struct error *err) MUST_USE;
/* The URL to call below ctx, and its headers. */
char *websearch_question_url(const void *ctx, const struct question *question,
                             struct http_header headers[WEBSEARCH_HEADERS]);
/* Adds "name=value", escaped, to a URL. */
void websearch_url_add(struct buffer *url, const char *name, const char *value);
/* Tells apart what may have different answers, without holding key or query; below ctx. */
char *websearch_question_cache_key(const void *ctx, const struct question *question);

/* plain_text.c */
/* One line of plain text, at most `max` bytes, below ctx: tags are gone, entities decoded, blanks
 * and control characters run together. */
char *websearch_plain_text(const void *ctx, const char *html, size_t max);
/* Appends `text` with runs of blanks, line breaks and control characters as one space, none at its
 * begin and end. */
void websearch_squeeze(struct buffer *out, const char *text, size_t length);
/* How much of such a line to take for at most `max` bytes. */
size_t websearch_cut(const struct buffer *line, size_t max);

/* results.c */
/* A new array of {rank,title,url,snippet,date,source}, at most `max`. */
json_t *websearch_results_take(const struct members *members, const json_t *items, int64_t max);

/* read.c */
/* From an answer to results (a new reference). */
enum status websearch_answer_read(const struct question *question, const struct answer *answer,
                                  json_t **ret, struct refusal *refusal) MUST_USE;

/* refusal.c: one wording for all providers. */
enum refused {
        REFUSED_KEY,
        REFUSED_ACCESS,
        REFUSED_FORMAT, /* SearXNG without JSON */
        REFUSED_LIMITER,
        REFUSED_PLAN,
        REFUSED_QUOTA, /* used up: waiting a little does not help */
        REFUSED_RATE,
        REFUSED_REQUEST,
        REFUSED_ADDRESS,
        REFUSED_MOVED,
        REFUSED_BUSY,
        REFUSED_SERVER,
        REFUSED_EMPTY,
        REFUSED_PAGE,   /* not JSON, nor said to be */
        REFUSED_BROKEN, /* said to be JSON */
        REFUSED_SHAPE,  /* JSON, but not this provider's */
        REFUSED_SIZE,
};
/* Returns the error's status; `detail`: the provider's own words, may be NULL. */
enum status websearch_refuse(struct refusal *refusal, enum refused kind,
                             const struct question *question, const char *detail);
/* What an HTTP status says where the provider has no words of its own for it. */
enum status websearch_refuse_status(struct refusal *refusal, const struct question *question,
                                    unsigned status, const char *detail);
/* From a transfer that failed. */
void websearch_refuse_transfer(struct refusal *refusal, const struct question *question,
                               const struct error *err);
