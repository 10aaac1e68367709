/* SPDX-License-Identifier: Apache-2.0 */
/* SearXNG, which people host themselves: GET /search?format=json, no key.
 *
 * It refuses with pages: 403 when its settings do not list the JSON format (which is the default),
 * 429 or a redirect when its limiter takes us for a bot. */
#include "websearch/websearch_internal.h"

static void request(const struct question *question, struct buffer *url,
                    struct http_header headers[WEBSEARCH_HEADERS])
{
        (void)question;
        websearch_url_add(url, "format", "json");
        headers[0] = (struct http_header){"Accept", "application/json"};
}

static enum status find(const struct question *question, const json_t *json, json_t **ret,
                        struct refusal *refusal)
{
        *ret = json_object_get(json, "results");
        if (json_is_array(*ret))
                return STATUS_OK;
        return websearch_refuse(refusal, REFUSED_SHAPE, question, "no list of results in it");
}

static enum status explain(const struct question *question, const struct answer *answer,
                           const json_t *json, struct refusal *refusal)
{
        const char *error = json_get_text(json, "error", NULL);

        if (answer->status == 403)
                return websearch_refuse(refusal, REFUSED_FORMAT, question, error);
        if (answer->status == 429)
                return websearch_refuse(refusal, REFUSED_LIMITER, question, error);
        return websearch_refuse_status(refusal, question, answer->status, error);
}

const struct websearch_ops searxng_ops = {
        .name = "searxng",
        .title = "SearXNG",
        .setting = "SEARXNG_URL",
        .path = "/search",
        .members = {.url = "url",
                    .title = "title",
                    .snippet = "content",
                    .date = {"publishedDate"}},
        .request = request,
        .find = find,
        .explain = explain,
};
