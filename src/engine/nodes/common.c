/* SPDX-License-Identifier: Apache-2.0 */
/* What several node types do in the same way. */
#include <string.h>

#include "engine/nodes/nodes.h"

const char *node_param_text(const struct node_run *run, const char *name)
{
        const char *text = json_get_text(run->params, name, "");

        return *text ? text : NULL;
}

const char *node_query(const struct node_run *run)
{
        const char *query = node_param_text(run, "query");

        if (!query)
                query = json_get_text(json_object_get(run->inputs, "query"), "text", NULL);
        return query ? query : run->user_input;
}

static const char *key_variable(const char *provider)
{
        static const struct {
                const char *provider, *variable;
        } variables[] = {
                {"gemini", "GEMINI_API_KEY"},
                {"openai", "OPENAI_API_KEY"},
                {"brave", "BRAVE_API_KEY"},
                {"serpapi", "SERPAPI_KEY"},
        };

        for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
                if (strcmp(variables[i].provider, provider) == 0)
                        return variables[i].variable;
        return "its key";
}

enum status node_credential(struct node_run *run, const void *ctx, const char *provider,
                            bool needs_key, char **ret_key, char **ret_base_url, struct error *err)
{
        const struct node_services *services = run->services;

        *ret_key = *ret_base_url = NULL;
        if (services->credential &&
            services->credential(services->credential_arg, ctx, run->user_id, provider, ret_key,
                                 ret_base_url, err))
                return err->status;
        if (needs_key && !*ret_key && !(*ret_base_url && strcmp(provider, "openai") == 0))
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "There is no API key for %s: set one under Credentials, or %s in "
                                 "the server's environment",
                                 provider, key_variable(provider));
        return STATUS_OK;
}
