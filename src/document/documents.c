/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: which documents are to be worked on, by whom, and how it starts and ends. What is
 * to be done stands in the database; the queue here only says what this process has taken up. */
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "document/documents_internal.h"

enum { WORKERS_DEFAULT = 2, QUEUE_MAX_DEFAULT = 1000, SWEEP_SECONDS = 3600 };

/* --- Jobs --------------------------------------------------------------------------------------*/
static struct job *find_job(struct documents *documents, enum job_kind kind, const char *id)
{
        struct job *job = documents->jobs;

        while (job && (job->kind != kind || strcmp(job->id, id) != 0))
                job = job->next;
        return job;
}

static void remove_job(struct documents *documents, struct job *job)
{
        struct job **at = &documents->jobs;

        pthread_mutex_lock(&documents->lock);
        while (*at != job)
                at = &(*at)->next;
        *at = job->next;
        if (!documents->jobs)
                pthread_cond_broadcast(&documents->idle);
        pthread_mutex_unlock(&documents->lock);
        mem_fd_close_at(&job->stop);
        mem_free(job);
}

static void stop_job(struct job *job)
{
        atomic_store(&job->stopped, true);
        if (job->stop >= 0)
                eventfd_write(job->stop, 1);
}

void documents_stop_jobs(struct documents *documents, const char *id)
{
        pthread_mutex_lock(&documents->lock);
        for (struct job *job = documents->jobs; job; job = job->next) {
                if (!id || strcmp(job->id, id) == 0)
                        stop_job(job);
        }
        pthread_mutex_unlock(&documents->lock);
}

/* Left over by uploads that never got a row, or deletions that a crash cut short. */
static void sweep_file(const char *name, void *arg)
{
        SCOPED_MEM void *ctx = mem_root();
        struct documents *documents = arg;
        struct error err = ERROR_INIT;
        struct document document;
        char id[UUID_TEXT_SIZE];

        snprintf(id, sizeof(id), "%.36s", name);
        if (strncmp(name, ".part-", 6) == 0 ||
            (uuid_valid(id) && store_get_document(documents->options.store, ctx, NULL, id,
                                                  &document, &err) == STATUS_NOT_FOUND))
                folder_remove(documents->folder, name);
}

/* Only jobs that run have a descriptor: thousands may be waiting. */
static void begin_job(struct job *job)
{
        pthread_mutex_lock(&job->documents->lock);
        job->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        pthread_mutex_unlock(&job->documents->lock);
}

static void run_job(void *arg)
{
        struct job *job = arg;
        struct documents *documents = job->documents;

        begin_job(job);
        if (atomic_load(&job->stopped))
                ; /* taken up by the next start, or deleted */
        else if (job->kind == JOB_SWEEP)
                folder_each_old(documents->folder, SWEEP_SECONDS, sweep_file, documents);
        else
                process_document(job);
        remove_job(documents, job);
}

static struct job *job_new(struct documents *documents, enum job_kind kind, const char *id)
{
        struct job *job = mem_new(NULL, struct job);

        job->documents = documents;
        job->kind = kind;
        snprintf(job->id, sizeof(job->id), "%s", id);
        if (trace_current())
                job->trace = *trace_current();
        job->stop = -1;
        return job;
}

void documents_queue(struct documents *documents, enum job_kind kind, const char *id)
{
        struct job *job = NULL;

        pthread_mutex_lock(&documents->lock);
        if (!find_job(documents, kind, id)) {
                job = job_new(documents, kind, id);
                job->next = documents->jobs;
                documents->jobs = job;
                if (atomic_load(&documents->stopping))
                        stop_job(job);
        }
        pthread_mutex_unlock(&documents->lock);
        if (job)
                pool_continue(documents->pool, run_job, job);
}

void documents_wait_idle(struct documents *documents)
{
        pthread_mutex_lock(&documents->lock);
        while (documents->jobs)
                pthread_cond_wait(&documents->idle, &documents->lock);
        pthread_mutex_unlock(&documents->lock);
}

size_t documents_waiting(struct documents *documents)
{
        return pool_waiting(documents->pool);
}

/* --- Start and end -----------------------------------------------------------------------------*/
static enum status take_up(struct documents *documents, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct document *items = NULL;
        size_t count = 0;

        if (store_unfinished_documents(documents->options.store, ctx, &items, &count, err))
                return err->status;
        for (size_t i = 0; i < count; i++)
                documents_queue(documents, JOB_PROCESS, items[i].id);
        documents_queue(documents, JOB_SWEEP, "");
        return STATUS_OK;
}

static struct documents *documents_create(const struct documents_options *options)
{
        struct documents *documents = mem_new(NULL, struct documents);

        documents->options = *options;
        documents->options.folder = mem_strdup(documents, options->folder);
        documents->options.program = mem_strdup(documents, options->program);
        if (!options->workers)
                documents->options.workers = WORKERS_DEFAULT;
        if (!options->queue_max)
                documents->options.queue_max = QUEUE_MAX_DEFAULT;
        documents->limits = options->limits ? *options->limits : EXTRACT_LIMITS_DEFAULT;
        pthread_mutex_init(&documents->lock, NULL);
        pthread_cond_init(&documents->idle, NULL);
        return documents;
}

enum status documents_new(const struct documents_options *options, struct documents **ret,
                          struct error *err)
{
        struct documents *documents = documents_create(options);

        if (folder_open(documents, options->folder, &documents->folder, err) ||
            pool_new("document", documents->options.workers, documents->options.queue_max,
                     &documents->pool, err) ||
            take_up(documents, err)) {
                documents_free(documents);
                return err->status;
        }
        *ret = documents;
        return STATUS_OK;
}

struct documents *documents_free(struct documents *documents)
{
        if (!documents)
                return NULL;
        atomic_store(&documents->stopping, true);
        documents_stop_jobs(documents, NULL);
        pool_free(documents->pool);
        pthread_mutex_destroy(&documents->lock);
        pthread_cond_destroy(&documents->idle);
        return mem_free(documents);
}

/* --- Deleting, opening -------------------------------------------------------------------------*/
/* The row goes first: from then on nothing is found, and the worker's next write fails. */
static enum status delete_document(struct documents *documents, const struct document *document,
                                   struct error *err)
{
        if (store_delete_document(documents->options.store, document->owner_id, document->id, err))
                return err->status;
        documents_stop_jobs(documents, document->id);
        vector_forget_document(documents->options.vector, document->workflow_id, document->id);
        folder_remove_document(documents->folder, document->id);
        return STATUS_OK;
}

enum status documents_delete(struct documents *documents, const char *owner_id, const char *id,
                             struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct document document;

        if (store_get_document(documents->options.store, ctx, owner_id, id, &document, err))
                return err->status;
        return delete_document(documents, &document, err);
}

enum status documents_delete_workflow(struct documents *documents, const char *owner_id,
                                      const char *workflow_id, struct error *err)
{
        struct page page = {.limit = 100};
        size_t count;

        do {
                SCOPED_MEM void *ctx = mem_root();
                struct document *items = NULL;

                count = 0;
                if (store_list_documents(documents->options.store, ctx, owner_id, workflow_id,
                                         &page, &items, &count, err))
                        return err->status;
                for (size_t i = 0; i < count; i++) {
                        if (delete_document(documents, &items[i], err) &&
                            err->status != STATUS_NOT_FOUND)
                                return err->status;
                        *err = ERROR_INIT;
                }
        } while (count);
        vector_forget_workflow(documents->options.vector, workflow_id);
        return STATUS_OK;
}

enum status documents_open(struct documents *documents, const struct document *document,
                           int *ret_fd, struct error *err)
{
        return folder_read(documents->folder, document->id, ret_fd, err);
}

enum status documents_open_text(struct documents *documents, const struct document *document,
                                int *ret_fd, struct error *err)
{
        char name[UUID_TEXT_SIZE + 4];

        return folder_read(documents->folder, folder_text_name(document->id, name), ret_fd, err);
}

enum status documents_reembed(struct documents *documents, const char *workflow_id,
                              struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct page page = {.limit = 100};
        struct document *items = NULL;
        size_t count = 0;

        do {
                if (store_list_documents(documents->options.store, ctx, NULL, workflow_id, &page,
                                         &items, &count, err))
                        return err->status;
                for (size_t i = 0; i < count; i++) {
                        if (strcmp(items[i].status, "ready") == 0)
                                documents_queue(documents, JOB_EMBED, items[i].id);
                }
                page.cursor = page.next_cursor;
        } while (page.cursor);
        return STATUS_OK;
}
