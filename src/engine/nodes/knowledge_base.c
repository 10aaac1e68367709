/* SPDX-License-Identifier: Apache-2.0 */
/* knowledgeBase: the passages of the workflow's documents that belong to a question. Gives {text
 * (the passages, numbered), passages, count}; `notice` says why there are none when the documents,
 * not the question, are the reason. */
#include <string.h>

#include "document/retrieval.h"
#include "engine/nodes/nodes.h"
#include "llm/citations.h"

static const struct node_port inputs[] = {
        {.id = "query", .label = "Query", .type = PORT_TEXT, .required = true},
        {0},
};

static const struct node_port outputs[] = {
        {.id = "context", .label = "Passages", .type = PORT_PASSAGES},
        {.id = "error", .label = "Error", .type = PORT_TEXT},
        {0},
};

static const char *const modes[] = {"hybrid", "keyword", "semantic", NULL};
static const char *const embedding_providers[] = {"none", "gemini", "openai", NULL};

static const struct node_param params[] = {
        {.name = "document_ids",
         .label = "Documents",
         .type = PARAM_DOCUMENTS,
         .help = "Only these documents; none chosen means all of the workflow."},
        {.name = "top_k",
         .label = "Passages",
         .type = PARAM_INTEGER,
         .default_json = "5",
         .minimum = 1,
         .maximum = 50,
         .help = "How many passages to hand on."},
        {.name = "min_score",
         .label = "Minimum score",
         .type = PARAM_NUMBER,
         .default_json = "0",
         .minimum = 0,
         .maximum = 1,
         .help = "Passages below it are left out; 1 is the best in every list."},
        {.name = "mode",
         .label = "Search",
         .type = PARAM_SELECT,
         .default_json = "\"hybrid\"",
         .options = modes,
         .help = "keyword finds words, semantic finds meaning by an embedding model, hybrid fuses "
                 "both."},
        {.name = "query",
         .label = "Query",
         .type = PARAM_TEMPLATE,
         .help = "What to look for; without it, what comes in.",
         .advanced = true},
        {.name = "embedding_provider",
         .label = "Embedding provider",
         .type = PARAM_SELECT,
         .default_json = "\"none\"",
         .options = embedding_providers,
         .help = "Whose model turns passages and questions into vectors.",
         .advanced = true},
        {.name = "embedding_model",
         .label = "Embedding model",
         .type = PARAM_MODEL,
         .help = "Empty for the provider's default.",
         .advanced = true},
        {0},
};

static json_t *passage_json(const struct chunk *chunk)
{
        return json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:s, s:f}", "document_id",
                         chunk->document_id, "chunk_id", chunk->id, "filename", chunk->filename,
                         "page", chunk->page > 0 ? json_integer(chunk->page) : json_null(), "start",
                         (json_int_t)chunk->start, "end", (json_int_t)chunk->end, "text",
                         chunk->content, "score", chunk->score);
}

static enum status write_text(struct node_run *run, const struct chunk *chunks, size_t count,
                              struct buffer *out, struct error *err)
{
        struct llm_passage *passages = mem_array(run->ctx, struct llm_passage, count);

        for (size_t i = 0; i < count; i++) {
                passages[i] = (struct llm_passage){
                        .document_id = chunks[i].document_id,
                        .chunk_id = chunks[i].id,
                        .filename = chunks[i].filename,
                        .text = chunks[i].content,
                        .page = chunks[i].page,
                        .start = chunks[i].start,
                };
        }
        citations_write_passages(out, passages, count);
        return buffer_check(out, "The text of the passages", err);
}

/* Nothing found: perhaps there is nothing to find in yet. */
static void add_notice(struct node_run *run, const struct document_set *set, json_t *output)
{
        struct error err = ERROR_INIT;
        bool any = true, processing = false;

        if (store_set_state(run->services->store, set, &any, &processing, &err) ||
            (any && !processing))
                return;
        json_object_set_new(output, "notice",
                            json_string(processing ? "Documents are still being processed"
                                                   : "There are no documents to search"));
}

static enum status fill_embedding(struct node_run *run, struct retrieval_query *query,
                                  struct error *err)
{
        const char *provider = json_get_text(run->params, "embedding_provider", "none");
        char *key, *base_url;

        if (query->mode == RETRIEVAL_KEYWORD || strcmp(provider, "none") == 0)
                return STATUS_OK;
        if (node_credential(run, run->ctx, provider, true, &key, &base_url, err))
                return err->status;
        query->embedding = (struct llm_target){
                .provider = provider,
                .model = json_get_text(run->params, "embedding_model", ""),
                .api_key = key,
                .base_url = base_url,
        };
        return STATUS_OK;
}

static void fill_documents(struct node_run *run, struct document_set *set)
{
        const json_t *ids = json_object_get(run->params, "document_ids"), *id;
        const char **list = mem_array(run->ctx, const char *, json_array_size(ids));
        size_t i;

        json_array_foreach (ids, i, id)
                list[i] = json_string_value(id);
        set->workflow_id = run->workflow_id;
        set->document_ids = list;
        set->document_count = json_array_size(ids);
}

static enum status search(struct node_run *run, json_t **ret, struct error *err)
{
        const struct node_services *services = run->services;
        struct retrieval_query query = {
                .text = node_query(run),
                .limit = (size_t)json_get_int(run->params, "top_k", 5),
                .min_score = json_get_real(run->params, "min_score", 0),
        };
        struct buffer text = BUFFER_INIT(run->ctx, NODE_TEXT_MAX);
        struct chunk *chunks = NULL;
        size_t count = 0;

        retrieval_mode_parse(json_get_text(run->params, "mode", "hybrid"), &query.mode);
        fill_documents(run, &query.set);
        if (fill_embedding(run, &query, err) ||
            retrieval_search(services->store, services->vector, services->llm, run->ctx, &query,
                             &chunks, &count, err) ||
            write_text(run, chunks, count, &text, err))
                return err->status;
        json_t *passages = json_array();

        for (size_t i = 0; i < count; i++)
                json_array_append_new(passages, passage_json(&chunks[i]));
        *ret = json_pack("{s:s, s:o, s:I}", "text", buffer_string(&text), "passages", passages,
                         "count", (json_int_t)count);
        if (count == 0)
                add_notice(run, &query.set, *ret);
        return STATUS_OK;
}

static bool may_succeed_later(enum status status)
{
        return status == STATUS_UNAVAILABLE || status == STATUS_RATE_LIMITED ||
               status == STATUS_UPSTREAM || status == STATUS_UPSTREAM_TIMEOUT;
}

static void search_and_tell(struct node_run *run)
{
        struct error err = ERROR_INIT;
        json_t *output = NULL;

        if (search(run, &output, &err))
                node_fail(run, &err, may_succeed_later(err.status));
        else
                node_succeed(run, output, NULL);
}

static void run_node(struct node_run *run)
{
        const char *provider = json_get_text(run->params, "embedding_provider", "none");
        const char *mode = json_get_text(run->params, "mode", "hybrid");

        /* Embedding the question waits for the provider's answer. */
        if (strcmp(provider, "none") != 0 && strcmp(mode, "keyword") != 0)
                node_defer(run, search_and_tell);
        else
                search_and_tell(run);
}

const struct node_type node_knowledge_base = {
        .type = "knowledgeBase",
        .title = "Knowledge base",
        .description = "Finds the passages of your documents that belong to a question.",
        .category = "retrieval",
        .inputs = inputs,
        .outputs = outputs,
        .params = params,
        .run = run_node,
};
