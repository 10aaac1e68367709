/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one document on a worker, from its file to `ready` or `failed`.
 *
 * Each step is in the database before the next begins. What a crash cut short starts over; only a
 * document that had all its chunks goes on with embedding. A deletion shows as NOT_FOUND on the
 * next write, and everything that was made since goes away again. */
#include <string.h>

#include "base/clock.h"
#include "document/documents_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum status process_tell(struct process *process, const char *status, const char *error,
                         double progress, struct error *err)
{
        const struct documents_options *options = &process->documents->options;

        if (atomic_load(&process->job->stopped))
                return error_set(err, STATUS_CANCELLED, "the work on the document was stopped");
        if (store_set_document_status(options->store, process->document.id, status, error, progress,
                                      process->page_count, err))
                return err->status;
        if (options->changed)
                options->changed(process->document.id, process->document.workflow_id, status,
                                 progress, options->changed_arg);
        return STATUS_OK;
}

/* --- How it ended ------------------------------------------------------------------------------*/
static void observe_stage(const char *stage, int64_t us)
{
        if (us > 0)
                metric_observe(METRIC_document_processing_duration_seconds, (double)us / 1e6,
                               stage);
}

#define STAGE_FIELDS(process)                                                                      \
        LOG_STR("document_id", (process)->document.id),                                            \
                LOG_STR("content_type", (process)->document.content_type),                         \
                LOG_INT("file_size", (process)->document.file_size),                               \
                LOG_INT("pages", (process)->page_count),                                           \
                LOG_INT("chunks", (process)->chunk_count),                                         \
                LOG_INT("embeddings", (process)->embedded),                                        \
                LOG_REAL("extracting_ms", (double)(process)->extracting_us / 1e3),                 \
                LOG_REAL("chunking_ms", (double)(process)->chunking_us / 1e3),                     \
                LOG_REAL("embedding_ms", (double)(process)->embedding_us / 1e3)

static void report_ready(const struct process *process)
{
        observe_stage("extracting", process->extracting_us);
        observe_stage("chunking", process->chunking_us);
        observe_stage("embedding", process->embedding_us);
        if (process->job->kind == JOB_PROCESS)
                metric_add(METRIC_documents_processed_total, 1, "ready");
        log_info(LOG_document_processing, "document is ready", STAGE_FIELDS(process),
                 LOG_STR("not_embedded_because", process->failure));
}

static void report_failed(const struct process *process, const struct error *err)
{
        metric_add(METRIC_documents_processed_total, 1, "failed");
        log_failure(LOG_LEVEL_WARN, LOG_document_processing, "document could not be read", err,
                    STAGE_FIELDS(process));
}

/* Nothing of the document is to be found, but its file stays. */
static void remove_results(struct process *process)
{
        const struct documents_options *options = &process->documents->options;
        char name[UUID_TEXT_SIZE + 4];
        struct error err = ERROR_INIT;

        vector_forget_document(options->vector, process->document.workflow_id,
                               process->document.id);
        if (store_clear_chunks(options->store, process->document.id, &err))
                log_failure(LOG_LEVEL_WARN, LOG_document_processing, "chunks could not be removed",
                            &err, LOG_STR("document_id", process->document.id));
        folder_remove(process->documents->folder, folder_text_name(process->document.id, name));
}

static void fail(struct process *process, const struct error *cause)
{
        struct error err = ERROR_INIT;

        remove_results(process);
        report_failed(process, cause);
        if (process_tell(process, "failed", cause->message, 1, &err) &&
            err.status != STATUS_NOT_FOUND)
                log_failure(LOG_LEVEL_WARN, LOG_document_processing,
                            "the failure could not be saved", &err,
                            LOG_STR("document_id", process->document.id));
}

static bool is_deleted(struct process *process)
{
        SCOPED_MEM void *ctx = mem_root();
        struct document document;
        struct error err = ERROR_INIT;

        return store_get_document(process->documents->options.store, ctx, NULL,
                                  process->document.id, &document, &err) == STATUS_NOT_FOUND;
}

static void end_badly(struct process *process, const struct error *err)
{
        if (is_deleted(process)) {
                remove_results(process);
                folder_remove_document(process->documents->folder, process->document.id);
        } else if (!atomic_load(&process->job->stopped)) {
                fail(process, err);
        }
}

/* --- The stages --------------------------------------------------------------------------------*/
static enum status start_over(struct process *process, struct error *err)
{
        const struct documents_options *options = &process->documents->options;

        process->page_count = 0;
        if (strcmp(process->document.status, "queued") != 0) {
                vector_forget_document(options->vector, process->document.workflow_id,
                                       process->document.id);
                if (store_clear_chunks(options->store, process->document.id, err))
                        return err->status;
        }
        return process_tell(process, "extracting", NULL, 0.1, err);
}

static enum status finish(struct process *process, struct error *err)
{
        return process_tell(process, "ready", process->failure, 1, err);
}

static enum status process_new_document(struct process *process, struct error *err)
{
        bool has_chunks = strcmp(process->document.status, "embedding") == 0;

        if (!has_chunks && (start_over(process, err) || process_text(process, err)))
                return err->status;
        if (process_embeddings(process, "embedding", err))
                return err->status;
        return finish(process, err);
}

/* A ready document stays ready and can be found while it is embedded again. */
static enum status process_ready_document(struct process *process, struct error *err)
{
        if (strcmp(process->document.status, "ready") != 0)
                return STATUS_OK;
        if (process_embeddings(process, NULL, err))
                return err->status;
        return finish(process, err);
}

void process_document(struct job *job)
{
        SCOPED_MEM void *ctx = mem_root();
        struct process process = {.documents = job->documents, .job = job, .ctx = ctx};
        struct error err = ERROR_INIT;
        struct trace trace = job->trace;
        enum status status;

        if (store_get_document(job->documents->options.store, ctx, NULL, job->id, &process.document,
                               &err))
                return; /* deleted while it waited; or the database is gone, and the next start asks */
        if (!*trace.request_id)
                trace_begin(&trace, NULL);
        trace_set(trace.workflow_id, process.document.workflow_id);
        trace_set(trace.user_id, process.document.owner_id);
        TRACE_SCOPE(&trace);
        process.page_count = process.document.page_count;
        process.chunk_count = process.document.chunk_count;
        if (job->kind == JOB_PROCESS)
                status = process_new_document(&process, &err);
        else
                status = process_ready_document(&process, &err);
        if (!status)
                report_ready(&process);
        else if (job->kind == JOB_PROCESS || status == STATUS_NOT_FOUND)
                end_badly(&process, &err);
        else if (status != STATUS_CANCELLED)
                log_failure(LOG_LEVEL_WARN, LOG_document_processing,
                            "document could not be embedded again", &err, STAGE_FIELDS(&process));
}
