/* SPDX-License-Identifier: Apache-2.0 */
/* SerpAPI. */
#include "websearch/websearch_internal.h"

const struct provider serpapi_provider = {.name = "serpapi", .title = "SerpAPI", .needs_key = true};
