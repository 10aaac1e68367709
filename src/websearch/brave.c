/* SPDX-License-Identifier: Apache-2.0 */
/* Brave Search: GET /res/v1/web/search, the key in a header.
 *
 * `web` is absent when nothing was found. A wrong key is a 422. 429 stands both for too fast and
 * for a month that is used up; limits come as lists "per second, per month", where a limit of 0
 * means that there is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "websearch/websearch_internal.h"

enum { RETRY_MIN_MS = 1000, RETRY_MAX_S = 3600 };

static void request(const struct question *question, struct buffer *url,
                    struct http_header headers[WEBSEARCH_HEADERS])
{
        char count[24];

        snprintf(count, sizeof(count), "%lld", (long long)question->results);
        websearch_url_add(url, "count", count);
        websearch_url_add(url, "text_decorations", "false");
        websearch_url_add(url, "result_filter", "web,query");
        headers[0] = (struct http_header){"X-Subscription-Token", question->api_key};
        headers[1] = (struct http_header){"Accept", "application/json"};
}

static enum status find(const struct question *question, const json_t *json, json_t **ret,
                        struct refusal *refusal)
{
        const json_t *web = json_object_get(json, "web");
        bool is_search = strcmp(json_get_text(json, "type", ""), "search") == 0;

        *ret = json_object_get(web, "results");
        if (json_is_array(*ret) || (is_search && (!web || json_is_null(web))))
                return STATUS_OK;
        return websearch_refuse(refusal, REFUSED_SHAPE, question, "no web results in it");
}

/* The two numbers of "1, 15000". */
static bool read_pair(const char *text, long long *ret_second, long long *ret_month)
{
        char *end;

        if (!text)
                return false;
        *ret_second = strtoll(text, &end, 10);
        if (end == text || *end != ',')
                return false;
        text = end + 1;
        *ret_month = strtoll(text, &end, 10);
        return end != text;
}

static bool month_used_up(const struct answer *answer, const json_t *json)
{
        const json_t *meta = json_path(json, "error.meta");
        int64_t quota = json_get_int(meta, "quota_limit", 0);
        long long second, limit, left;

        if (quota > 0)
                return json_get_int(meta, "quota_current", 0) >= quota;
        return read_pair(answer->rate_limit, &second, &limit) && limit > 0 &&
               read_pair(answer->rate_left, &second, &left) && left <= 0;
}

static enum status explain_rate(const struct question *question, const struct answer *answer,
                                const json_t *json, const char *detail, struct refusal *refusal)
{
        long long second, month;

        if (month_used_up(answer, json))
                return websearch_refuse(refusal, REFUSED_QUOTA, question, detail);
        websearch_refuse(refusal, REFUSED_RATE, question, detail);
        refusal->error.retry_after_ms = RETRY_MIN_MS;
        if (answer->retry_after_ms > RETRY_MIN_MS)
                refusal->error.retry_after_ms = answer->retry_after_ms;
        else if (read_pair(answer->rate_reset, &second, &month) && second > 1 &&
                 second <= RETRY_MAX_S)
                refusal->error.retry_after_ms = (unsigned)second * 1000;
        return refusal->error.status;
}

static enum status explain(const struct question *question, const struct answer *answer,
                           const json_t *json, struct refusal *refusal)
{
        const json_t *error = json_object_get(json, "error");
        const char *code = json_get_text(error, "code", "");
        const char *detail = json_get_text(error, "detail", NULL);

        if (strcmp(code, "SUBSCRIPTION_TOKEN_INVALID") == 0 || answer->status == 401)
                return websearch_refuse(refusal, REFUSED_KEY, question, detail);
        if (strcmp(code, "OPTION_NOT_IN_PLAN") == 0)
                return websearch_refuse(refusal, REFUSED_PLAN, question, detail);
        if (answer->status == 402)
                return websearch_refuse(refusal, REFUSED_QUOTA, question, detail);
        if (answer->status == 429)
                return explain_rate(question, answer, json, detail, refusal);
        return websearch_refuse_status(refusal, question, answer->status, detail);
}

const struct websearch_ops brave_ops = {
        .name = "brave",
        .title = "Brave",
        .needs_key = true,
        .setting = "BRAVE_API_KEY",
        .base_url = "https://api.search.brave.com",
        .path = "/res/v1/web/search",
        .words_max = 50,
        .members = {.url = "url",
                    .title = "title",
                    .snippet = "description",
                    .date = {"page_age", "age"},
                    .source = {"profile.name", "meta_url.hostname"}},
        .request = request,
        .find = find,
        .explain = explain,
};
