/* SPDX-License-Identifier: Apache-2.0 */
/* The port: which providers there are, and the object that holds their defaults. */
#include "websearch/websearch.h"

#include <string.h>

#include "websearch/websearch_internal.h"

static const struct provider *const providers[] = {&brave_provider, &serpapi_provider,
                                                   &searxng_provider};

const struct provider *provider_find(const char *name)
{
        for (size_t i = 0; name && i < ARRAY_LENGTH(providers); i++) {
                if (strcmp(providers[i]->name, name) == 0)
                        return providers[i];
        }
        return NULL;
}

bool websearch_provider_known(const char *provider, bool *ret_needs_key)
{
        const struct provider *found = provider_find(provider);

        if (found)
                *ret_needs_key = found->needs_key;
        return found != NULL;
}
