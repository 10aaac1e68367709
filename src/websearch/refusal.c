/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals: what a provider says when it gives no results, in words for the person who can do
 * something about it. Whatever is quoted of the provider is cut, on one line, and without the key
 * and the query, as it reaches the log. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "websearch/websearch_internal.h"

enum { WORDS_MAX = 2 * WEBSEARCH_DETAIL_MAX };

struct wording {
        enum status status;
        bool retryable;
        const char *format; /* %1$s the provider, %2$s its words */
};

#define SETTINGS "under Settings, Credentials"

static const struct wording wordings[] = {
        [REFUSED_KEY] = {STATUS_UPSTREAM, false, "%1$s refused the API key: check it " SETTINGS},
        [REFUSED_ACCESS] = {STATUS_UPSTREAM, false,
                            "%1$s refused access: check its address, and what guards it"},
        [REFUSED_FORMAT] = {STATUS_UPSTREAM, false,
                            "%1$s refused to answer in JSON: add json to formats, below search, in "
                            "its settings.yml, and restart it"},
        [REFUSED_LIMITER] = {STATUS_RATE_LIMITED, true,
                             "%1$s limits how often it is asked: set limiter to false in its "
                             "settings.yml, or let this server's address pass in its limiter.toml"},
        [REFUSED_PLAN] = {STATUS_UPSTREAM, false,
                          "The plan of this %1$s account does not include web search: choose "
                          "another plan with the provider"},
        [REFUSED_QUOTA] = {STATUS_RATE_LIMITED, false,
                           "The searches of this %1$s account are used up: wait until its quota is "
                           "renewed, choose a larger plan with the provider, or another provider"},
        [REFUSED_RATE] = {STATUS_RATE_LIMITED, true,
                          "%1$s is asked too often with this key: try again in a moment"},
        [REFUSED_REQUEST] = {STATUS_UPSTREAM, false, "%1$s did not accept the search: %2$s"},
        [REFUSED_ADDRESS] =
                {STATUS_UPSTREAM, false,
                 "%1$s offers no search at the address that is set: check it " SETTINGS},
        [REFUSED_MOVED] = {STATUS_UPSTREAM, false,
                           "%1$s sent the search on to another address, which is not followed: set "
                           "its final address (https instead of http?) " SETTINGS},
        [REFUSED_BUSY] = {STATUS_UNAVAILABLE, true,
                          "%1$s is overloaded or down: try again in a moment"},
        [REFUSED_SERVER] = {STATUS_UPSTREAM, true, "%1$s failed on its own side: %2$s"},
        [REFUSED_EMPTY] = {STATUS_UPSTREAM, true, "%1$s gave an empty answer"},
        [REFUSED_PAGE] = {STATUS_UPSTREAM, true,
                          "%1$s answered with something else than search results (%2$s): check "
                          "its address, and whether a proxy or login page is in between"},
        [REFUSED_BROKEN] = {STATUS_UPSTREAM, true,
                            "%1$s sent an answer that is garbled or breaks off: try again in a "
                            "moment"},
        [REFUSED_SHAPE] = {STATUS_UPSTREAM, false,
                           "%1$s did not answer the way this provider does (%2$s): check its "
                           "address"},
        [REFUSED_SIZE] = {STATUS_UPSTREAM, false,
                          "%1$s answered with more than 2 MiB: check its address"},
};

static size_t key_at(const char *at, const struct question *question)
{
        size_t length = question->api_key ? strlen(question->api_key) : 0;

        return length && strncmp(at, question->api_key, length) == 0 ? length : 0;
}

/* As words of their own: a query "a" must not blot out every a. */
static size_t query_at(const char *text, const char *at, const char *query)
{
        size_t length = strlen(query);

        if (strncmp(at, query, length) != 0)
                return 0;
        if ((at > text && isalnum((unsigned char)at[-1])) || isalnum((unsigned char)at[length]))
                return 0;
        return length;
}

static void keep_detail(struct refusal *refusal, const struct question *question,
                        const char *detail)
{
        SCOPED_MEM void *ctx = mem_root();
        const char *text = websearch_plain_text(ctx, detail ? detail : "", WORDS_MAX);
        struct buffer out = BUFFER_INIT(ctx, WORDS_MAX);

        for (const char *at = text; *at;) {
                size_t length = key_at(at, question);

                if (length == 0)
                        length = query_at(text, at, question->query);
                if (length > 0)
                        buffer_text(&out, "***");
                else
                        buffer_char(&out, *at);
                at += length ? length : 1;
        }
        size_t kept = websearch_cut(&out, WEBSEARCH_DETAIL_MAX - 1);

        memcpy(refusal->detail, buffer_string(&out), kept);
        refusal->detail[kept] = '\0';
}

/* The table's formats are constants of this file. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
enum status websearch_refuse(struct refusal *refusal, enum refused kind,
                             const struct question *question, const char *detail)
{
        const struct wording *wording = &wordings[kind];
        char text[ERROR_MESSAGE_MAX];

        keep_detail(refusal, question, detail);
        snprintf(text, sizeof(text), wording->format, question->ops->title,
                 *refusal->detail ? refusal->detail : "no reason given");
        refusal->retryable = wording->retryable;
        return error_set(&refusal->error, wording->status, "%s", text);
}
#pragma GCC diagnostic pop

static enum refused kind_of(const struct question *question, unsigned status)
{
        switch (status) {
        case 401:
        case 403:
                return question->ops->needs_key ? REFUSED_KEY : REFUSED_ACCESS;
        case 402:
                return REFUSED_QUOTA;
        case 404:
        case 405:
        case 410:
                return REFUSED_ADDRESS;
        case 408:
        case 425:
                return REFUSED_BUSY;
        case 429:
                return REFUSED_RATE;
        case 503:
                return REFUSED_BUSY;
        default:
                return status >= 500   ? REFUSED_SERVER
                       : status >= 400 ? REFUSED_REQUEST
                                       : REFUSED_MOVED;
        }
}

enum status websearch_refuse_status(struct refusal *refusal, const struct question *question,
                                    unsigned status, const char *detail)
{
        char number[32];

        snprintf(number, sizeof(number), "HTTP status %u", status);
        return websearch_refuse(refusal, kind_of(question, status), question,
                                detail && *detail ? detail : number);
}

void websearch_refuse_transfer(struct refusal *refusal, const struct question *question,
                               const struct error *err)
{
        *refusal = (struct refusal){.error = *err};
        if (err->status == STATUS_CANCELLED)
                return;
        if (err->status == STATUS_TOO_LARGE) {
                websearch_refuse(refusal, REFUSED_SIZE, question, NULL);
                return;
        }
        refusal->retryable = err->status == STATUS_UPSTREAM ||
                             err->status == STATUS_UPSTREAM_TIMEOUT ||
                             err->status == STATUS_UNAVAILABLE;
        /* Neither a bad setting nor a provider's name that leads into our own network is a mistake
         * in what the caller asked. */
        if (err->status == STATUS_INVALID)
                refusal->error.status = STATUS_UNPROCESSABLE;
        else if (err->status == STATUS_FORBIDDEN)
                refusal->error.status = STATUS_UPSTREAM;
        error_prefix(&refusal->error, "%s", question->ops->title);
}
