/* SPDX-License-Identifier: Apache-2.0 */
/* Personal API keys. */
#include "api/auth/api_key.h"

#include <string.h>

#include "base/secret.h"

static const char prefix[] = "fgx_";

bool api_key_looks_like(const char *token)
{
        return strncmp(token, prefix, sizeof(prefix) - 1) == 0;
}

char *api_key_generate(const void *ctx)
{
        SCOPED_MEM char *random = secret_random(NULL, 32);

        return mem_printf(ctx, "%s%s", prefix, random);
}
