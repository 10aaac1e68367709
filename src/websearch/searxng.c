/* SPDX-License-Identifier: Apache-2.0 */
/* SearXNG. */
#include "websearch/websearch_internal.h"

const struct provider searxng_provider = {
        .name = "searxng", .title = "SearXNG", .needs_key = false};
