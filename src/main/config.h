/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: environment variables (and a .env file for those not set), declared once in
 * config.def; `flowgenix check` prints what is in force. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

enum config_type { CONFIG_TEXT, CONFIG_SECRET, CONFIG_NUMBER, CONFIG_FLAG };

struct config {
#define X(name, type, default_text, minimum, maximum, help) CONFIG_FIELD_##type(name)
#define CONFIG_FIELD_CONFIG_TEXT(name)                      const char *name;
#define CONFIG_FIELD_CONFIG_SECRET(name)                    const char *name;
#define CONFIG_FIELD_CONFIG_NUMBER(name)                    long long name;
#define CONFIG_FIELD_CONFIG_FLAG(name)                      bool name;
#include "main/config.def"
#undef X
};

/* Reads `env_file` (NULL or missing: none) and the environment. Texts live below ctx and are NULL
 * when neither set nor defaulted. STATUS_INVALID names the variable. */
enum status config_read(const void *ctx, const char *env_file, struct config *ret,
                        struct error *err) MUST_USE;
/* One "NAME=value  # help" line each; secrets as "(set)". */
void config_print(const struct config *config, FILE *out);
/* "gemini", its key and base URL, and so on, ending with {0}; below ctx. */
struct app_provider *config_providers(const void *ctx, const struct config *config) MUST_USE;
