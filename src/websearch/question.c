/* SPDX-License-Identifier: Apache-2.0 */
/* Questions: what a caller gives, checked and brought into the one form that a provider takes.
 *
 * A query may be a whole paragraph that came along an edge: it is put on one line and cut, at a
 * word where there is one, instead of being refused. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/secret.h"
#include "base/utf8.h"
#include "websearch/websearch_internal.h"

enum { QUERY_BYTES_MAX = 64 * 1024, URL_MAX = 32 * 1024 };

static const char *first_set(const char *a, const char *b, const char *c)
{
        if (a && *a)
                return a;
        return b && *b ? b : c;
}

/* Bytes of `text` that keep both limits; `text` has single spaces between words. Where cutting at a
 * word would lose more than half (scripts without spaces), it is cut at a character. */
static size_t fitting(const char *text, size_t length, size_t words_max)
{
        size_t characters = 0, words = 1, last_word = 0, step;

        for (size_t i = 0; i < length; i += step) {
                step = utf8_sequence(text + i, length - i);
                if (text[i] == ' ') {
                        last_word = i;
                        if (words_max && ++words > words_max)
                                return i;
                }
                if (characters++ == WEBSEARCH_QUERY_MAX)
                        return last_word > i / 2 ? last_word : i;
        }
        return length;
}

static char *query_form(const void *ctx, const char *text, size_t words_max)
{
        struct buffer line = BUFFER_INIT(ctx, QUERY_BYTES_MAX);

        websearch_squeeze(&line, text ? text : "", text ? strnlen(text, QUERY_BYTES_MAX) : 0);
        return mem_strndup(ctx, buffer_string(&line),
                           fitting(buffer_string(&line), line.length, words_max));
}

/* Keys are pasted, often with blanks around them. */
static const char *key_form(const void *ctx, const char *key)
{
        static const char blank[] = " \t\r\n";
        size_t length;

        if (!key)
                return NULL;
        key += strspn(key, blank);
        length = strlen(key);
        while (length > 0 && strchr(blank, key[length - 1]))
                length--;
        return length ? mem_strndup(ctx, key, length) : NULL;
}

/* Without slashes at the end, and without what of the search's own path was pasted with it. */
static char *base_form(const void *ctx, const char *url, const char *path)
{
        char *base = mem_strdup(ctx, url);
        size_t length = strlen(base);

        while (length > 0 && base[length - 1] == '/')
                base[--length] = '\0';
        for (size_t tail = strlen(path); tail > 1; tail--) {
                bool whole_parts = path[tail] == '\0' || path[tail] == '/';

                if (whole_parts && length > tail &&
                    strncmp(base + length - tail, path, tail) == 0) {
                        base[length - tail] = '\0';
                        break;
                }
        }
        return base;
}

static bool plausible_base(const char *url)
{
        const char *rest = strncasecmp(url, "https://", 8) == 0  ? url + 8
                           : strncasecmp(url, "http://", 7) == 0 ? url + 7
                                                                 : "";

        return *rest && *rest != '/' && !strpbrk(url, "?# \t\r\n");
}

static enum status fill_base(const void *ctx, const struct websearch_query *query,
                             const char *configured, struct question *ret, struct error *err)
{
        const char *base = first_set(query->base_url, configured, ret->ops->base_url);

        if (!base)
                return error_set(
                        err, STATUS_UNPROCESSABLE,
                        "%s has no address: set %s to that of your server, or add it under "
                        "Settings, Credentials",
                        ret->ops->title, ret->ops->setting);
        ret->own_base = base == ret->ops->base_url;
        ret->base_url = base_form(ctx, base, ret->ops->path);
        if (plausible_base(ret->base_url))
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE,
                         "The address of %s must look like http://host:port/path", ret->ops->title);
}

enum status websearch_question_fill(const void *ctx, const struct websearch_query *query,
                                    const char *configured, struct question *ret, struct error *err)
{
        *ret = (struct question){.ops = websearch_find_ops(query->provider),
                                 .results = query->results};
        if (!ret->ops)
                return error_set(err, STATUS_INVALID,
                                 "There is no web search provider '%.40s'; there are brave, "
                                 "serpapi and searxng",
                                 query->provider ? query->provider : "");
        ret->query = query_form(ctx, query->query, ret->ops->words_max);
        ret->api_key = ret->ops->needs_key ? key_form(ctx, query->api_key) : NULL;
        if (ret->results < 1 || ret->results > WEBSEARCH_RESULTS_MAX)
                ret->results = ret->results < 1 ? 1 : WEBSEARCH_RESULTS_MAX;
        if (!*ret->query)
                return error_set(err, STATUS_INVALID, "The search query is empty");
        if (ret->ops->needs_key && !ret->api_key)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "%s needs an API key: set %s, or add it under Settings, "
                                 "Credentials",
                                 ret->ops->title, ret->ops->setting);
        return fill_base(ctx, query, configured, ret, err);
}

void websearch_url_add(struct buffer *url, const char *name, const char *value)
{
        char *escaped = curl_easy_escape(NULL, value, 0);
        bool first = !strchr(buffer_string(url), '?');

        buffer_printf(url, "%c%s=%s", first ? '?' : '&', name, escaped ? escaped : "");
        curl_free(escaped);
}

char *websearch_question_url(const void *ctx, const struct question *question,
                             struct http_header headers[WEBSEARCH_HEADERS])
{
        struct buffer url = BUFFER_INIT(ctx, URL_MAX);

        memset(headers, 0, WEBSEARCH_HEADERS * sizeof(*headers));
        buffer_printf(&url, "%s%s", question->base_url, question->ops->path);
        websearch_url_add(&url, "q", question->query);
        question->ops->request(question, &url, headers);
        return url.data;
}

char *websearch_question_cache_key(const void *ctx, const struct question *question)
{
        char key_hash[65], hash[65];
        const char *key = question->api_key ? question->api_key : "";

        /* The query is last, as the only one of them that holds no line break. */
        secret_hash(key, strlen(key), key_hash);
        SCOPED_MEM char *text = mem_printf(NULL, "%s\n%lld\n%s\n%s\n%s", question->ops->name,
                                           (long long)question->results, key_hash,
                                           question->base_url, question->query);
        secret_hash(text, strlen(text), hash);
        return mem_printf(ctx, "websearch:%s", hash);
}
