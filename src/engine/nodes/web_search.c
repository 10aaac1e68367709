/* SPDX-License-Identifier: Apache-2.0 */
/* webSearch: results of a search engine. Gives {text (the results, numbered), results}. */
#include "engine/nodes/nodes.h"
#include "llm/citations.h"
#include "websearch/websearch.h"

static const struct node_port inputs[] = {
        {.id = "query", .label = "Query", .type = PORT_TEXT, .required = true},
        {0},
};

static const struct node_port outputs[] = {
        {.id = "results", .label = "Results", .type = PORT_RESULTS},
        {.id = "error", .label = "Error", .type = PORT_TEXT},
        {0},
};

static const char *const providers[] = {"brave", "serpapi", "searxng", NULL};

static const struct node_param params[] = {
        {.name = "provider",
         .label = "Provider",
         .type = PARAM_SELECT,
         .default_json = "\"brave\"",
         .options = providers,
         .help = "Whose search is asked; Brave and SerpAPI need a key, SearXNG an address."},
        {.name = "num_results",
         .label = "Results",
         .type = PARAM_INTEGER,
         .default_json = "5",
         .minimum = 1,
         .maximum = 20,
         .help = "How many results to hand on."},
        {.name = "query",
         .label = "Query",
         .type = PARAM_TEMPLATE,
         .help = "What to look for; without it, what comes in.",
         .advanced = true},
        {0},
};

static json_t *output_json(const void *ctx, json_t *results, struct error *err)
{
        struct llm_passage *passages = mem_array(ctx, struct llm_passage, json_array_size(results));
        struct buffer text = BUFFER_INIT(ctx, NODE_TEXT_MAX);
        const json_t *result;
        size_t i;

        json_array_foreach (results, i, result)
                passages[i] = (struct llm_passage){
                        .url = json_get_text(result, "url", ""),
                        .title = json_get_text(result, "title", ""),
                        .text = json_get_text(result, "snippet", ""),
                };
        citations_write_passages(&text, passages, json_array_size(results));
        if (buffer_check(&text, "The text of the results", err))
                return NULL;
        return json_pack("{s:s, s:o}", "text", buffer_string(&text), "results",
                         json_deep_copy(results));
}

static void done(json_t *results, const struct error *failure, bool retryable, void *arg)
{
        struct node_run *run = arg;
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        json_t *output = failure ? NULL : output_json(ctx, results, &err);

        if (output)
                node_succeed(run, output, NULL);
        else
                node_fail(run, failure ? failure : &err, failure && retryable);
}

static void run_node(struct node_run *run)
{
        const char *provider = json_get_text(run->params, "provider", "brave");
        struct error err = ERROR_INIT;
        SCOPED_MEM void *ctx = mem_root();
        bool needs_key = true;
        char *key, *base_url;

        websearch_provider_known(provider, &needs_key);
        if (node_credential(run, ctx, provider, needs_key, &key, &base_url, &err)) {
                node_fail(run, &err, false);
                return;
        }
        const struct websearch_query query = {
                .provider = provider,
                .api_key = key,
                .base_url = base_url,
                .query = node_query(run),
                .results = json_get_int(run->params, "num_results", 5),
                .timeout_ms = run->timeout_ms,
                .trace = run->trace,
        };

        run->state = websearch_start(run->services->websearch, &query, done, run);
        node_release_inputs(run);
}

static void cancel(struct node_run *run)
{
        websearch_cancel(run->state);
}

const struct node_type node_web_search = {
        .type = "webSearch",
        .title = "Web search",
        .description = "Asks a search engine and hands on what it finds.",
        .category = "retrieval",
        .max_attempts = 3,
        .inputs = inputs,
        .outputs = outputs,
        .params = params,
        .run = run_node,
        .cancel = cancel,
};
