/* SPDX-License-Identifier: Apache-2.0 */
/* llmEngine: asks a language model. Gives {text, citations, model, provider, finish_reason, json?}.
 * Passages of all connected knowledge bases and searches are numbered through, so that a marker [n]
 * of the answer means one passage. */
#include <string.h>

#include "engine/nodes/llm_prompt.h"
#include "engine/nodes/nodes.h"

static const struct node_port inputs[] = {
        {.id = "query", .label = "Query", .type = PORT_TEXT},
        {.id = "context", .label = "Context", .type = PORT_PASSAGES, .multiple = true},
        {0},
};

static const struct node_port outputs[] = {
        {.id = "answer", .label = "Answer", .type = PORT_ANSWER},
        {.id = "error", .label = "Error", .type = PORT_TEXT},
        {0},
};

static const char *const providers[] = {"local", "gemini", "openai", NULL};

static const struct node_param params[] = {
        {.name = "provider",
         .label = "Provider",
         .type = PARAM_SELECT,
         .default_json = "\"local\"",
         .options = providers,
         .help = "local picks the sentences that answer from the passages, without any model; "
                 "openai "
                 "is any server that speaks OpenAI's API."},
        {.name = "model",
         .label = "Model",
         .type = PARAM_MODEL,
         .help = "Empty for the provider's default."},
        {.name = "system_prompt",
         .label = "System prompt",
         .type = PARAM_TEMPLATE,
         .help = "Who the model is and how it answers."},
        {.name = "prompt",
         .label = "Prompt",
         .type = PARAM_TEMPLATE,
         .help = "What is asked; without it, the query. Passages that it does not hold are put in "
                 "front, numbered."},
        {.name = "temperature",
         .label = "Temperature",
         .type = PARAM_NUMBER,
         .minimum = 0,
         .maximum = 2,
         .help = "Sent only when set: some models refuse it.",
         .advanced = true},
        {.name = "max_tokens",
         .label = "Longest answer (tokens)",
         .type = PARAM_INTEGER,
         .minimum = 1,
         .maximum = 1000000,
         .help = "Sent only when set.",
         .advanced = true},
        {.name = "use_history",
         .label = "Chat history",
         .type = PARAM_BOOLEAN,
         .default_json = "true",
         .help = "Hand over the chat so far."},
        {.name = "json_output",
         .label = "JSON answer",
         .type = PARAM_BOOLEAN,
         .default_json = "false",
         .help = "Ask for JSON and refuse anything else.",
         .advanced = true},
        {0},
};

/* What outlives run: the call's arg is the run, whose state this is. */
struct asking {
        struct llm_call *call;
        bool json_output;
        char provider[16];
        size_t length; /* bytes streamed so far */
};

static void on_token(const char *text, size_t length, void *arg)
{
        struct node_run *run = arg;
        struct asking *asking = run->state;

        asking->length += length;
        if (asking->length <= NODE_TEXT_MAX)
                node_token(run, text, length);
}

/* Models put JSON into a Markdown fence even when asked not to. */
static const char *without_fence(const char *text, size_t *length)
{
        const char *from = text + strspn(text, " \t\r\n"), *line = strchr(from, '\n'), *end;

        if (strncmp(from, "```", 3) != 0 || !line)
                return text;
        end = strstr(line, "```");
        *length = end ? (size_t)(end - line) : strlen(line);
        return line;
}

static enum status read_json_answer(const char *text, json_t **ret, struct error *err)
{
        struct error cause = ERROR_INIT;
        size_t length = strlen(text);
        const char *json = without_fence(text, &length);

        if (!json_read(json, length, ret, &cause))
                return STATUS_OK;
        return error_set(err, STATUS_UPSTREAM, "The model was asked for JSON, but its answer is %s",
                         cause.message);
}

static void tell_usage(struct node_run *run, const struct llm_usage *usage)
{
        node_used(run, &(struct node_usage){
                               .input_tokens = usage->input_tokens,
                               .output_tokens = usage->output_tokens,
                               .cost_dollars = usage->cost_dollars,
                               .time_to_first_token_ms = usage->time_to_first_token_ms,
                               .has_tokens = usage->input_tokens > 0 || usage->output_tokens > 0,
                       });
}

/* Adopts `json`, the parsed answer (NULL: none was asked for). */
static void succeed(struct node_run *run, const struct llm_result *result, json_t *json)
{
        const struct asking *asking = run->state;
        json_t *output =
                json_pack("{s:s, s:o, s:s, s:s, s:s}", "text", result->text, "citations",
                          result->citations ? json_deep_copy(result->citations) : json_array(),
                          "model", result->model ? result->model : "", "provider", asking->provider,
                          "finish_reason", result->finish_reason ? result->finish_reason : "");

        if (json)
                json_object_set_new(output, "json", json);
        node_succeed(run, output, NULL);
}

static void on_done(const struct llm_result *result, const struct error *failure, bool retryable,
                    void *arg)
{
        struct node_run *run = arg;
        const struct asking *asking = run->state;
        struct error err = ERROR_INIT;
        json_t *json = NULL;

        tell_usage(run, &result->usage);
        if (failure) {
                node_fail(run, failure, retryable);
        } else if (strlen(result->text) > NODE_TEXT_MAX) {
                error_set(&err, STATUS_TOO_LARGE, "The model's answer is longer than %d bytes",
                          NODE_TEXT_MAX);
                node_fail(run, &err, false);
        } else if (asking->json_output && read_json_answer(result->text, &json, &err)) {
                node_fail(run, &err, true);
        } else {
                succeed(run, result, json);
        }
}

static enum status fill_target(struct node_run *run, const void *ctx, struct llm_target *target,
                               struct error *err)
{
        const char *provider = json_get_text(run->params, "provider", "local");
        bool needs_key = false;
        char *key = NULL, *base_url = NULL;

        llm_provider_known(provider, &needs_key);
        if (strcmp(provider, "local") != 0 &&
            node_credential(run, ctx, provider, needs_key, &key, &base_url, err))
                return err->status;
        *target = (struct llm_target){
                .provider = provider,
                .model = json_get_text(run->params, "model", ""),
                .api_key = key,
                .base_url = base_url,
        };
        return STATUS_OK;
}

static void run_node(struct node_run *run)
{
        static const struct llm_handlers handlers = {on_token, on_done};
        SCOPED_MEM void *ctx = mem_root();
        struct asking *asking = mem_new(run->ctx, struct asking);
        struct llm_request request = {
                .temperature = json_get_real(run->params, "temperature", -1),
                .max_tokens = json_get_int(run->params, "max_tokens", 0),
                .json_output = json_get_flag(run->params, "json_output", false),
                .timeout_ms = run->timeout_ms,
                .trace = run->trace,
        };
        struct error err = ERROR_INIT;

        if (fill_target(run, ctx, &request.target, &err) || prompt_fill(run, ctx, &request, &err)) {
                node_fail(run, &err, false);
                return;
        }
        asking->json_output = request.json_output;
        snprintf(asking->provider, sizeof(asking->provider), "%s", request.target.provider);
        run->state = asking;
        asking->call = llm_chat(run->services->llm, &request, &handlers, run);
        node_release_inputs(run);
}

static void cancel(struct node_run *run)
{
        const struct asking *asking = run->state;

        llm_cancel(asking->call);
}

const struct node_type node_llm_engine = {
        .type = "llmEngine",
        .title = "LLM engine",
        .description = "Asks a language model, with the passages found as its ground.",
        .category = "model",
        .timeout_seconds = 300,
        .max_attempts = 1, /* the llm layer tries again by itself where that is safe */
        .inputs = inputs,
        .outputs = outputs,
        .params = params,
        .run = run_node,
        .cancel = cancel,
};
