/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of websearch: the providers and what each is asked to do. */
#pragma once

#include "websearch/websearch.h"

struct provider {
        const char *name, *title;
        bool needs_key;
};

extern const struct provider brave_provider, serpapi_provider, searxng_provider;

/* NULL if there is none of that name. */
const struct provider *provider_find(const char *name);
