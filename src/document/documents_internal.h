/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the pipeline, for the files of this folder. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "document/document.h"
#include "document/extract.h"
#include "document/folder.h"
#include "observe/trace.h"

enum job_kind {
        JOB_PROCESS, /* from the file to ready */
        JOB_EMBED,   /* a ready document gets embeddings of another model */
        JOB_SWEEP,   /* removes files without a document */
};

struct job {
        struct job *next;
        struct documents *documents;
        enum job_kind kind;
        char id[UUID_TEXT_SIZE];
        struct trace trace;  /* of the request that queued it; empty after a start */
        atomic_bool stopped; /* the document is being deleted, or the pipeline freed */
        int stop;            /* eventfd: the same for poll() */
};

struct documents {
        struct documents_options options; /* strings owned */
        struct extract_limits limits;
        struct folder *folder;
        struct pool *pool;
        pthread_mutex_t lock; /* of what follows */
        pthread_cond_t idle;
        struct job *jobs; /* queued or running */
        atomic_bool stopping;
};

/* Queues; nothing happens if the same is queued already. */
void documents_queue(struct documents *documents, enum job_kind kind, const char *id);
/* Tells the jobs of this document to end soon. */
void documents_stop_jobs(struct documents *documents, const char *id);

/* All work on one document, on a worker. Logs how it ended. */
void process_document(struct job *job);

/* --- Stages of a document, in process*.c --------------------------------------------------------*/
struct process {
        struct documents *documents;
        struct job *job;
        void *ctx;
        struct document document;
        char *failure; /* why embedding did not work; the document is ready all the same */
        int64_t page_count, chunk_count, embedded;
        int64_t extracting_us, chunking_us, embedding_us;
        int64_t told_us; /* when the page count was last written */
};

/* NOT_FOUND when the document was deleted meanwhile, CANCELLED when the job is to stop. */
enum status process_tell(struct process *process, const char *status, const char *error,
                         double progress, struct error *err) MUST_USE;
enum status process_text(struct process *process, struct error *err) MUST_USE;
/* Embeds what has no embedding of the workflow's model yet. `status` (may be NULL) is told with the
 * progress while that goes on. */
enum status process_embeddings(struct process *process, const char *status,
                               struct error *err) MUST_USE;
