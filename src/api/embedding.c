/* SPDX-License-Identifier: Apache-2.0 */
/* Which model embeds a workflow's documents. */
#include "api/embedding.h"

#include <string.h>

#include "api/credentials.h"

enum status embedding_target(void *arg, const void *ctx, const char *workflow_id,
                             struct llm_target *ret, struct error *err)
{
        struct app *app = arg;
        struct workflow workflow = {0};
        SCOPED_JSON json_t *data = NULL;
        char *key, *url;

        *ret = (struct llm_target){0};
        if (store_get_workflow(app->store, ctx, NULL, workflow_id, &workflow, err))
                return err->status;
        data = json_loads(workflow.graph, 0, NULL);
        const json_t *params = graph_find_params(data, "knowledgeBase");
        const char *provider = json_get_text(params, "embedding_provider", "none");

        if (strcmp(provider, "none") == 0 || !*provider)
                return STATUS_OK;
        if (credential_resolve(app, ctx, workflow.owner_id, provider, &key, &url, err))
                return err->status;
        *ret = (struct llm_target){
                .provider = mem_strdup(ctx, provider),
                .model = mem_strdup(ctx, json_get_text(params, "embedding_model", "")),
                .api_key = key,
                .base_url = url,
        };
        return STATUS_OK;
}
