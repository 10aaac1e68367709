/* SPDX-License-Identifier: Apache-2.0 */
/* Embedding of a document's chunks, batch by batch; what is embedded stays so. When the model cannot
 * be reached or refuses, the document is ready all the same and says why it is found by words only:
 * a wrong key is no reason to hide a document. */
#include <string.h>

#include "base/clock.h"
#include "document/documents_internal.h"

enum { BATCH_CHUNKS = 64 };

struct embedding_run {
        struct process *process;
        const struct llm_target *target;
        const char *model;  /* "provider/model" */
        const char *status; /* told with the progress, or NULL */
};

static enum status find_target(struct process *process, struct llm_target *ret, struct error *err)
{
        const struct documents_options *options = &process->documents->options;

        *ret = (struct llm_target){0};
        if (!options->embedding_target)
                return STATUS_OK;
        return options->embedding_target(options->embedding_arg, process->ctx,
                                         process->document.workflow_id, ret, err);
}

/* The model sees the headings above a chunk as well as its words. */
static const char **texts_of(const void *ctx, const struct chunk *chunks, size_t count)
{
        const char **texts = mem_array(ctx, const char *, count);

        for (size_t i = 0; i < count; i++)
                texts[i] = *chunks[i].heading ? mem_printf(texts, "%s\n\n%s", chunks[i].heading,
                                                           chunks[i].content)
                                              : chunks[i].content;
        return texts;
}

static enum status add_vectors(struct embedding_run *run, const void *ctx,
                               const struct chunk *chunks, size_t count, const float *vectors,
                               size_t dims, struct error *err)
{
        struct vector_item *items = mem_array(ctx, struct vector_item, count);
        const struct document *document = &run->process->document;

        for (size_t i = 0; i < count; i++) {
                items[i].chunk_id = chunks[i].id;
                items[i].document_id = document->id;
                items[i].values = vectors + i * dims;
        }
        return vector_add(run->process->documents->options.vector, document->workflow_id,
                          run->model, dims, items, count, err);
}

/* One batch; *ret_more is false when there was none left. *ret_refused tells a failure of the model
 * from one of our own. */
static enum status embed_batch(struct embedding_run *run, bool *ret_more, bool *ret_refused,
                               struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct process *process = run->process;
        const struct documents_options *options = &process->documents->options;
        struct chunk *chunks = NULL;
        float *vectors = NULL;
        size_t count = 0, dims = 0;

        if (store_missing_embeddings(options->store, ctx, process->document.id, run->model,
                                     BATCH_CHUNKS, &chunks, &count, err))
                return err->status;
        *ret_more = count > 0;
        if (!count)
                return STATUS_OK;
        *ret_refused = true;
        if (llm_embed(options->llm, ctx, run->target, LLM_EMBED_DOCUMENT,
                      texts_of(ctx, chunks, count), count, &vectors, &dims, err))
                return err->status;
        *ret_refused = false;
        process->embedded += (int64_t)count;
        return add_vectors(run, ctx, chunks, count, vectors, dims, err);
}

static double progress_of(const struct process *process)
{
        double all = process->chunk_count > 0 ? (double)process->chunk_count : 1;
        double part = (double)process->embedded / all;

        return 0.7 + 0.3 * (part < 1 ? part : 1);
}

static enum status tell(const struct embedding_run *run, struct error *err)
{
        struct process *process = run->process;

        if (run->status)
                return process_tell(process, run->status, NULL, progress_of(process), err);
        if (atomic_load(&process->job->stopped))
                return error_set(err, STATUS_CANCELLED, "the work on the document was stopped");
        return STATUS_OK;
}

static enum status embed_all(struct embedding_run *run, bool *ret_refused, struct error *err)
{
        bool more = true;

        while (more) {
                if (tell(run, err) || embed_batch(run, &more, ret_refused, err))
                        return err->status;
        }
        return STATUS_OK;
}

enum status process_embeddings(struct process *process, const char *status, struct error *err)
{
        struct llm_target target;
        struct embedding_run run = {.process = process, .target = &target, .status = status};
        int64_t start = clock_monotonic_us();
        bool refused = true;
        enum status failed = find_target(process, &target, err);

        if (!failed && (!target.provider || !*target.provider))
                return STATUS_OK;
        if (!failed) {
                refused = false;
                run.model = mem_printf(process->ctx, "%s/%s", target.provider,
                                       target.model ? target.model : "");
                failed = embed_all(&run, &refused, err);
        }
        process->embedding_us = clock_monotonic_us() - start;
        if (!failed || !refused)
                return failed;
        process->failure =
                mem_printf(process->ctx, "found by words only, not by meaning: %s", err->message);
        *err = ERROR_INIT;
        return STATUS_OK;
}
