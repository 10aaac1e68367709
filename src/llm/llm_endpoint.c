/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints: who is asked, where, with what key. People paste base URLs in every form (with and
 * without /v1, with the full path of a call, with a slash) and keys with blanks around them; here
 * they get one form. */
#include <stdio.h>
#include <string.h>

#include "llm/llm_internal.h"

static const struct provider providers[] = {
        {
                .name = "local",
                .title = "The local engine",
                .chat_model = "extractive",
        },
        {
                .name = "gemini",
                .title = "Gemini",
                .needs_key = true,
                .base_url = "https://generativelanguage.googleapis.com",
                .chat_model = "gemini-flash-latest",
                .embed_model = "gemini-embedding-2",
                .dialect = &gemini_dialect,
        },
        {
                .name = "openai",
                .title = "OpenAI",
                .needs_key = true,
                .base_url = "https://api.openai.com/v1",
                .chat_model = "gpt-4.1-mini",
                .embed_model = "text-embedding-3-small",
                .dialect = &openai_dialect,
        },
};

const struct provider *llm_provider_find(const char *name)
{
        for (size_t i = 0; name && i < ARRAY_LENGTH(providers); i++) {
                if (strcmp(providers[i].name, name) == 0)
                        return &providers[i];
        }
        return NULL;
}

bool llm_provider_known(const char *provider, bool *ret_needs_key)
{
        const struct provider *found = llm_provider_find(provider);

        *ret_needs_key = found && found->needs_key;
        return found != NULL;
}

char *llm_base_url_trim(const void *ctx, const char *url, const char *const suffixes[])
{
        char *text = mem_strdup(ctx, url);
        size_t length = strlen(text);

        while (length > 0 && text[length - 1] == '/')
                text[--length] = '\0';
        for (size_t i = 0; suffixes[i]; i++) {
                size_t suffix = strlen(suffixes[i]);

                if (length > suffix && strcmp(text + length - suffix, suffixes[i]) == 0) {
                        text[length - suffix] = '\0';
                        break;
                }
        }
        return text;
}

static const char *host_of(const char *url, int *ret_length)
{
        const char *host = strstr(url, "://");

        host = host ? host + 3 : url;
        *ret_length = (int)strcspn(host, "/?#");
        return host;
}

static bool is_http(const char *url)
{
        return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

static enum status check_base_url(const struct endpoint *endpoint, struct error *err)
{
        int length;

        host_of(endpoint->base_url, &length);
        if (is_http(endpoint->base_url) && length > 0 && !strpbrk(endpoint->base_url, "?# \t\r\n"))
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE,
                         "The base URL of %s must look like http://host:port/path",
                         endpoint->provider->title);
}

static void write_title(struct endpoint *endpoint)
{
        int length;
        const char *host = host_of(endpoint->base_url, &length),
                   *at = memchr(host, '@', (size_t)length);

        /* A password before the @ stays out of messages. */
        if (at) {
                length -= (int)(at + 1 - host);
                host = at + 1;
        }
        if (endpoint->own_base)
                snprintf(endpoint->title, sizeof(endpoint->title), "%s", endpoint->provider->title);
        else if (endpoint->provider->dialect == &openai_dialect)
                snprintf(endpoint->title, sizeof(endpoint->title), "The model server at %.*s",
                         length, host);
        else
                snprintf(endpoint->title, sizeof(endpoint->title), "%s at %.*s",
                         endpoint->provider->title, length, host);
}

static const char *trimmed_key(const void *ctx, const char *key)
{
        static const char blank[] = " \t\r\n";
        char *copy;
        size_t length;

        if (!key)
                return NULL;
        copy = mem_strdup(ctx, key + strspn(key, blank));
        length = strlen(copy);
        while (length > 0 && strchr(blank, copy[length - 1]))
                copy[--length] = '\0';
        return length ? copy : NULL;
}

static const char *default_base_url(const struct llm *llm, const struct provider *provider)
{
        const char *url = NULL;

        if (provider->dialect == &gemini_dialect)
                url = llm->gemini_base_url;
        else if (provider->dialect == &openai_dialect)
                url = llm->openai_base_url;
        return url && *url ? url : provider->base_url;
}

static enum status fill_remote(struct llm *llm, const void *ctx, const struct llm_target *target,
                               struct endpoint *endpoint, struct error *err)
{
        const struct provider *provider = endpoint->provider;

        endpoint->api_key = trimmed_key(ctx, target->api_key);
        endpoint->base_url = target->base_url && *target->base_url
                                     ? target->base_url
                                     : default_base_url(llm, provider);
        if (check_base_url(endpoint, err) || provider->dialect->prepare(ctx, endpoint, err))
                return err->status;
        endpoint->own_base = strcmp(endpoint->base_url, provider->base_url) == 0;
        write_title(endpoint);
        if (endpoint->own_base && !endpoint->api_key)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "%s needs an API key: set one under Settings, Credentials",
                                 provider->title);
        endpoint->quirks = llm_quirks_get(llm->quirks, endpoint->base_url, endpoint->model);
        return STATUS_OK;
}

enum status llm_endpoint_fill(struct llm *llm, const void *ctx, const struct llm_target *target,
                              bool embedding, struct endpoint *ret, struct error *err)
{
        const struct provider *provider = llm_provider_find(target->provider);
        const char *model = target->model;

        *ret = (struct endpoint){.provider = provider};
        if (!provider)
                return error_set(
                        err, STATUS_UNPROCESSABLE,
                        "There is no model provider '%.40s'; there are local, gemini, openai",
                        target->provider ? target->provider : "");
        if (!model || !*model)
                model = embedding ? provider->embed_model : provider->chat_model;
        ret->model = mem_strdup(ctx, model);
        if (provider->dialect)
                return fill_remote(llm, ctx, target, ret, err);
        snprintf(ret->title, sizeof(ret->title), "%s", provider->title);
        return STATUS_OK;
}

void llm_endpoint_headers(const void *ctx, const struct endpoint *endpoint, bool stream,
                          struct http_header headers[ENDPOINT_HEADERS])
{
        size_t count = 0;

        headers[count++] = (struct http_header){"Content-Type", "application/json"};
        headers[count++] =
                (struct http_header){"Accept", stream ? "text/event-stream" : "application/json"};
        if (endpoint->api_key)
                headers[count++] = endpoint->provider->dialect->key_header(ctx, endpoint);
        headers[count] = (struct http_header){0};
}
