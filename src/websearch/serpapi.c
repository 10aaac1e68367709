/* SPDX-License-Identifier: Apache-2.0 */
/* SerpAPI: GET /search.json with Google as the engine. The key is part of the URL, so the URL is a
 * secret.
 *
 * Nothing found comes as status 200 with an `error` text, a used-up account as the same 429 as
 * asking too fast; only the words tell. */
#include <string.h>

#include "websearch/websearch_internal.h"

static void request(const struct question *question, struct buffer *url,
                    struct http_header headers[WEBSEARCH_HEADERS])
{
        websearch_url_add(url, "engine", "google");
        websearch_url_add(url, "api_key", question->api_key);
        headers[0] = (struct http_header){"Accept", "application/json"};
}

static bool says(const char *text, const char *words)
{
        return strcasestr(text, words) != NULL;
}

static enum status find(const struct question *question, const json_t *json, json_t **ret,
                        struct refusal *refusal)
{
        const char *error = json_get_text(json, "error", NULL);
        const char *state = json_get_text(json_object_get(json, "search_metadata"), "status", "");

        *ret = json_object_get(json, "organic_results");
        if (json_is_array(*ret))
                return STATUS_OK;
        if (error && says(error, "run out of searches"))
                return websearch_refuse(refusal, REFUSED_QUOTA, question, error);
        if (error && !says(error, "returned any results"))
                return websearch_refuse(refusal, REFUSED_SERVER, question, error);
        if (!*ret && (error || strcmp(state, "Success") == 0))
                return STATUS_OK;
        return websearch_refuse(refusal, REFUSED_SHAPE, question, "no organic results in it");
}

static enum status explain(const struct question *question, const struct answer *answer,
                           const json_t *json, struct refusal *refusal)
{
        const char *error = json_get_text(json, "error", NULL);

        if (answer->status == 429 && error && says(error, "run out of searches"))
                return websearch_refuse(refusal, REFUSED_QUOTA, question, error);
        return websearch_refuse_status(refusal, question, answer->status, error);
}

const struct websearch_ops serpapi_ops = {
        .name = "serpapi",
        .title = "SerpAPI",
        .needs_key = true,
        .setting = "SERPAPI_KEY",
        .base_url = "https://serpapi.com",
        .path = "/search.json",
        .members = {.url = "link",
                    .title = "title",
                    .snippet = "snippet",
                    .date = {"date"},
                    .source = {"source"}},
        .request = request,
        .find = find,
        .explain = explain,
};
