/* SPDX-License-Identifier: Apache-2.0 */
/* Provider keys as the rest of the program asks for them. */
#pragma once

#include "api/app.h"

/* The user's own key and base URL, else the environment's; both NULL if neither is set. `user_id`
 * NULL asks the environment alone. Strings below ctx. Has the shape of node_services.credential. */
enum status credential_resolve(void *app, const void *ctx, const char *user_id,
                               const char *provider, char **ret_key, char **ret_base_url,
                               struct error *err) MUST_USE;
