/* SPDX-License-Identifier: Apache-2.0 */
/* Results in one shape. Titles and snippets become plain text, links that are not plain http or
 * https addresses are dropped with their result, and ranks are counted anew. */
#include <ctype.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "websearch/websearch_internal.h"

enum {
        TITLE_MAX = 300,
        SNIPPET_MAX = 1500,
        DATE_MAX = 80,
        SOURCE_MAX = 120,
        ADDRESS_MAX = 2048,
};

/* Where the path begins in "https://host/path"; NULL for an address of another form. */
static const char *path_of(const char *address)
{
        const char *host = strncasecmp(address, "https://", 8) == 0  ? address + 8
                           : strncasecmp(address, "http://", 7) == 0 ? address + 7
                                                                     : "/";

        return *host == '/' ? NULL : host + strcspn(host, "/?#");
}

static bool may_stand(const char *at, bool in_path)
{
        unsigned char c = (unsigned char)*at;

        if (c >= 0x80 || !in_path)
                return c < 0x80;
        if (c == '%')
                return isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]);
        return isalnum(c) || strchr("-._~:/?#@!$&'()*+,;=", c);
}

/* Percent-encodes what may not stand in an address (RFC 3986), which takes its host as it is but
 * for letters of other scripts. */
static char *encode(const void *ctx, const char *address)
{
        struct buffer out = BUFFER_INIT(ctx, ADDRESS_MAX);
        const char *path = path_of(address), *fragment = strchr(address, '#');

        for (; path && *address; address++) {
                if (may_stand(address, address >= path) && (*address != '#' || address == fragment))
                        buffer_char(&out, *address);
                else
                        buffer_printf(&out, "%%%02X", (unsigned)(unsigned char)*address);
        }
        return out.overflow ? NULL : out.data;
}

/* libcurl lets more stand in a name than names have. */
static bool is_name(const char *host)
{
        const char *at = host;

        while (isalnum((unsigned char)*at) || (unsigned char)*at >= 0x80 ||
               (*at && strchr("-._:[]", *at)))
                at++;
        return *host && !*at && utf8_valid(host, strlen(host));
}

static bool is_web(CURLU *url, const void *ctx, char **ret_host)
{
        char *scheme = NULL, *host = NULL;
        bool web = false;

        if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
            curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK)
                web = (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                      is_name(host);
        *ret_host = mem_strdup(ctx, host);
        curl_free(scheme);
        curl_free(host);
        return web;
}

/* NULL if it is no address of the web. */
static char *clean_address(const void *ctx, const char *text, char **ret_host)
{
        CURLU *url = curl_url();
        char *clean = NULL;

        if (url && strlen(text) <= ADDRESS_MAX &&
            curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER | CURLU_URLENCODE) ==
                    CURLUE_OK &&
            is_web(url, ctx, ret_host))
                clean = encode(ctx, text);
        curl_url_cleanup(url);
        return clean;
}

static const char *text_at(const json_t *item, const char *path)
{
        const char *text = path ? json_string_value(json_path(item, path)) : NULL;

        return text && *text ? text : NULL;
}

/* The first of two members that is there, as plain text; null if neither is. */
static json_t *either(const void *ctx, const json_t *item, const char *const paths[2], size_t max)
{
        for (size_t i = 0; i < 2; i++) {
                const char *text = text_at(item, paths[i]);
                const char *plain = text ? websearch_plain_text(ctx, text, max) : "";

                if (*plain)
                        return json_string(plain);
        }
        return json_null();
}

static json_t *source_of(const void *ctx, const struct members *members, const json_t *item,
                         const char *host)
{
        json_t *source = either(ctx, item, members->source, SOURCE_MAX);

        return json_is_null(source) ? json_string(host) : source;
}

/* NULL if it has no usable address. */
static json_t *take(const void *ctx, const struct members *members, const json_t *item, size_t rank)
{
        const char *link = text_at(item, members->url);
        const char *title = text_at(item, members->title);
        const char *snippet = text_at(item, members->snippet);
        char *host = NULL;
        const char *address = link ? clean_address(ctx, link, &host) : NULL;

        if (!address)
                return NULL;
        title = websearch_plain_text(ctx, title ? title : "", TITLE_MAX);
        return json_pack("{s:I, s:s, s:s, s:s, s:o, s:o}", "rank", (json_int_t)rank, "title",
                         *title ? title : host, "url", address, "snippet",
                         websearch_plain_text(ctx, snippet ? snippet : "", SNIPPET_MAX), "date",
                         either(ctx, item, members->date, DATE_MAX), "source",
                         source_of(ctx, members, item, host));
}

json_t *websearch_results_take(const struct members *members, const json_t *items, int64_t max)
{
        json_t *results = json_array();
        const json_t *item;
        size_t i;

        json_array_foreach (items, i, item) {
                SCOPED_MEM void *ctx = mem_root();
                size_t rank = json_array_size(results) + 1;
                json_t *result;

                if ((int64_t)rank > max)
                        break;
                result = take(ctx, members, item, rank);
                if (result)
                        json_array_append_new(results, result);
        }
        return results;
}
