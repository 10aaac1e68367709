/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: one row a variable fills one member of struct config. */
#include "main/config.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "api/app.h"

struct variable {
        const char *name;
        enum config_type type;
        const char *default_text;
        double minimum, maximum;
        const char *help;
        size_t offset;
};

static const struct variable variables[] = {
#define X(name, type, default_text, minimum, maximum, help)                                        \
        {#name, type, default_text, minimum, maximum, help, offsetof(struct config, name)},
#include "main/config.def"
#undef X
};

/* Cuts spaces at both ends, in place. */
static char *trim(char *text)
{
        while (isspace((unsigned char)*text))
                text++;
        for (char *end = text + strlen(text); end > text && isspace((unsigned char)end[-1]);)
                *--end = '\0';
        return text;
}

static void set_unless_set(char *line)
{
        char *name = trim(line), *equals = strchr(name, '=');

        if (*name == '#' || !equals)
                return;
        *equals = '\0';
        if (strncmp(name, "export ", 7) == 0)
                name += 7;
        char *value = trim(equals + 1);
        size_t length = strlen(value);

        if (length >= 2 && (*value == '"' || *value == '\'') && value[length - 1] == *value) {
                value[length - 1] = '\0';
                value++;
        }
        setenv(trim(name), value, /* overwrite= */ 0);
}

static enum status read_env_file(const char *path, struct error *err)
{
        SCOPED_FILE FILE *file = fopen(path, "re");
        char line[8192];

        if (!file && errno == ENOENT)
                return STATUS_OK;
        if (!file)
                return error_set(err, STATUS_INVALID, "%s: %s", path, strerror(errno));
        while (fgets(line, sizeof(line), file))
                set_unless_set(line);
        return STATUS_OK;
}

static enum status set_number(const struct variable *variable, const char *text, long long *slot,
                              struct error *err)
{
        char *end = NULL;

        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (errno || end == text || *end || (double)value < variable->minimum ||
            (double)value > variable->maximum)
                return error_set(err, STATUS_INVALID,
                                 "%s must be a number from %.0f to %.0f, not '%.40s'",
                                 variable->name, variable->minimum, variable->maximum, text);
        *slot = value;
        return STATUS_OK;
}

static enum status set_flag(const struct variable *variable, const char *text, bool *slot,
                            struct error *err)
{
        bool on = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;

        if (!on && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
                return error_set(err, STATUS_INVALID, "%s must be true or false, not '%.40s'",
                                 variable->name, text);
        *slot = on;
        return STATUS_OK;
}

static enum status set_variable(const void *ctx, const struct variable *variable,
                                struct config *config, struct error *err)
{
        const char *text = getenv(variable->name);
        void *slot = (char *)config + variable->offset;

        if (!text || !*text)
                text = variable->default_text;
        switch (variable->type) {
        case CONFIG_TEXT:
        case CONFIG_SECRET:
                *(const char **)slot = mem_strdup(ctx, text);
                return STATUS_OK;
        case CONFIG_NUMBER:
                return set_number(variable, text, slot, err);
        case CONFIG_FLAG:
                return set_flag(variable, text, slot, err);
        }
        return STATUS_OK;
}

static enum status check_environment(const struct config *config, struct error *err)
{
        static const char *const known_secrets[] = {"changeme", "change-me", "secret",
                                                    "your-secret-key"};

        if (strcmp(config->ENVIRONMENT, "development") != 0 &&
            strcmp(config->ENVIRONMENT, "staging") != 0 &&
            strcmp(config->ENVIRONMENT, "production") != 0)
                return error_set(
                        err, STATUS_INVALID,
                        "ENVIRONMENT must be development, staging or production, not '%.40s'",
                        config->ENVIRONMENT);
        for (size_t i = 0; config->SECRET_KEY && i < ARRAY_LENGTH(known_secrets); i++)
                if (strstr(config->SECRET_KEY, known_secrets[i]) &&
                    strcmp(config->ENVIRONMENT, "production") == 0)
                        return error_set(err, STATUS_INVALID,
                                         "SECRET_KEY is a well-known example; set one of your own");
        return STATUS_OK;
}

enum status config_read(const void *ctx, const char *env_file, struct config *ret,
                        struct error *err)
{
        if (env_file && read_env_file(env_file, err))
                return err->status;
        for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
                if (set_variable(ctx, &variables[i], ret, err))
                        return err->status;
        if (!ret->METRICS_PORT)
                ret->METRICS_PORT = ret->PORT;
        if (!ret->DATABASE_URL)
                ret->DATABASE_URL = mem_printf(ctx, "sqlite:%s/flowgenix.db", ret->DATA_DIR);
        return check_environment(ret, err);
}

void config_print(const struct config *config, FILE *out)
{
        for (size_t i = 0; i < ARRAY_LENGTH(variables); i++) {
                const struct variable *variable = &variables[i];
                const void *slot = (const char *)config + variable->offset;
                char text[512] = "";

                switch (variable->type) {
                case CONFIG_TEXT:
                        snprintf(text, sizeof(text), "%s",
                                 *(const char *const *)slot ? *(const char *const *)slot : "");
                        break;
                case CONFIG_SECRET:
                        snprintf(text, sizeof(text), "%s",
                                 *(const char *const *)slot ? "(set)" : "");
                        break;
                case CONFIG_NUMBER:
                        snprintf(text, sizeof(text), "%lld", *(const long long *)slot);
                        break;
                case CONFIG_FLAG:
                        snprintf(text, sizeof(text), "%s", *(const bool *)slot ? "true" : "false");
                        break;
                }
                fprintf(out, "%s=%s\n    %s\n", variable->name, text, variable->help);
        }
}

struct app_provider *config_providers(const void *ctx, const struct config *config)
{
        const struct app_provider all[] = {
                {"gemini", config->GEMINI_API_KEY, config->GEMINI_BASE_URL},
                {"openai", config->OPENAI_API_KEY, config->OPENAI_BASE_URL},
                {"brave", config->BRAVE_API_KEY, config->BRAVE_BASE_URL},
                {"serpapi", config->SERPAPI_KEY, config->SERPAPI_BASE_URL},
                {"searxng", NULL, config->SEARXNG_URL},
                {0},
        };

        return mem_dup(ctx, all, sizeof(all));
}
