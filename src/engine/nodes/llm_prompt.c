/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts: passages come first, numbered; the question comes last, where models weigh it most. A
 * prompt of the user's own that already holds the passages is left as it is. */
#include "engine/nodes/llm_prompt.h"

#include <string.h>

#include "engine/nodes/nodes.h"
#include "llm/citations.h"

enum { PROMPT_MAX = 4 * 1024 * 1024 };

static const char passages_rule[] = "Answer from the numbered passages only. Behind each statement "
                                    "put the number of its passage, "
                                    "like [1]. If the passages do not hold the answer, say so.";

static size_t count_passages(const json_t *sources)
{
        const json_t *source;
        size_t i, count = 0;

        json_array_foreach (sources, i, source)
                count += json_array_size(json_object_get(source, "passages")) +
                         json_array_size(json_object_get(source, "results"));
        return count;
}

static struct llm_passage document_passage(const json_t *passage)
{
        return (struct llm_passage){
                .document_id = json_get_text(passage, "document_id", ""),
                .chunk_id = json_get_text(passage, "chunk_id", ""),
                .filename = json_get_text(passage, "filename", ""),
                .text = json_get_text(passage, "text", ""),
                .page = json_get_int(passage, "page", 0),
                .start = json_get_int(passage, "start", 0),
        };
}

static struct llm_passage web_passage(const json_t *result)
{
        return (struct llm_passage){
                .url = json_get_text(result, "url", ""),
                .title = json_get_text(result, "title", ""),
                .text = json_get_text(result, "snippet", ""),
        };
}

static void gather_passages(const json_t *sources, const void *ctx, struct llm_request *request)
{
        struct llm_passage *passages = mem_array(ctx, struct llm_passage, count_passages(sources));
        const json_t *source, *item;
        size_t i, j, count = 0;

        json_array_foreach (sources, i, source) {
                json_array_foreach (json_object_get(source, "passages"), j, item)
                        passages[count++] = document_passage(item);
                json_array_foreach (json_object_get(source, "results"), j, item)
                        passages[count++] = web_passage(item);
        }
        request->passages = passages;
        request->passage_count = count;
}

/* True if the prompt holds the text of every source. */
static bool holds_sources(const char *prompt, const json_t *sources)
{
        const json_t *source;
        size_t i;

        json_array_foreach (sources, i, source)
                if (!strstr(prompt, json_get_text(source, "text", "")))
                        return false;
        return true;
}

/* Context that is text alone: a default output, or a type that has no passages. */
static void write_plain_context(struct buffer *out, const json_t *sources)
{
        const json_t *source;
        size_t i;

        json_array_foreach (sources, i, source) {
                const char *text = json_get_text(source, "text", "");

                if (*text && !json_object_get(source, "passages") &&
                    !json_object_get(source, "results"))
                        buffer_printf(out, "%s\n\n", text);
        }
}

static void write_context(struct buffer *out, const json_t *sources,
                          const struct llm_request *request)
{
        write_plain_context(out, sources);
        if (request->passage_count) {
                buffer_text(out, "Passages:\n\n");
                citations_write_passages(out, request->passages, request->passage_count);
                buffer_text(out, "\n");
        }
}

static enum status fill_messages(struct node_run *run, const void *ctx, const char *prompt,
                                 struct llm_request *request)
{
        size_t count = json_get_flag(run->params, "use_history", true) ? run->history_count : 0;
        struct llm_message *messages = mem_array(ctx, struct llm_message, count + 1);

        for (size_t i = 0; i < count; i++)
                messages[i] = run->history[i];
        messages[count] = (struct llm_message){.role = "user", .content = prompt};
        request->messages = messages;
        request->message_count = count + 1;
        return STATUS_OK;
}

enum status prompt_fill(struct node_run *run, const void *ctx, struct llm_request *request,
                        struct error *err)
{
        const json_t *sources = json_object_get(run->inputs, "context");
        const char *own = node_param_text(run, "prompt"), *system;
        struct buffer prompt = BUFFER_INIT(ctx, PROMPT_MAX);

        request->question = node_query(run);
        system = node_param_text(run, "system_prompt");
        gather_passages(sources, ctx, request);
        if (!own || !holds_sources(own, sources)) {
                write_context(&prompt, sources, request);
                if (request->passage_count)
                        system = system ? mem_printf(ctx, "%s\n\n%s", system, passages_rule)
                                        : passages_rule;
        }
        if (own)
                buffer_text(&prompt, own);
        else if (prompt.length)
                buffer_printf(&prompt, "Question: %s", request->question);
        else
                buffer_text(&prompt, request->question);
        request->system = system;
        if (buffer_check(&prompt, "The prompt", err))
                return err->status;
        return fill_messages(run, ctx, buffer_string(&prompt), request);
}
