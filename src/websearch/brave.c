/* SPDX-License-Identifier: Apache-2.0 */
/* Brave. */
#include "websearch/websearch_internal.h"

const struct provider brave_provider = {.name = "brave", .title = "Brave", .needs_key = true};
