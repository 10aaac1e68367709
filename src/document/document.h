/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: from an uploaded file to searchable chunks.
 *
 * A pipeline owns the files below DATA_DIR/documents and a bounded set of workers. Text is taken
 * out in a confined child process (rlimits, seccomp, time limit), so a hostile file costs bounded
 * time and memory and ends as `failed` with a reason. */
#pragma once

#include "base/pool.h"
#include "document/extract.h"
#include "llm/llm.h"
#include "store/documents.h"
#include "vector/vector.h"

struct documents;

/* Which model embeds a workflow's documents; asked when a document is processed. Leaves *ret zeroed
 * when none is set. Strings below ctx. */
typedef enum status embedding_target_fn(void *arg, const void *ctx, const char *workflow_id,
                                        struct llm_target *ret, struct error *err);

struct documents_options {
        const char *folder; /* DATA_DIR/documents, made if missing */
        struct store *store;
        struct vector *vector;
        struct llm *llm;
        embedding_target_fn *embedding_target; /* NULL: keyword search only */
        void *embedding_arg;
        /* The running program ("/proc/self/exe" will do): the child is `program extract-child TYPE`.
         * SIGCHLD must not be ignored. */
        const char *program;
        unsigned workers;    /* 0: 2 */
        unsigned queue_max;  /* documents that may wait before uploads are refused; 0: 1000 */
        uint64_t upload_max; /* bytes */
        const struct extract_limits *limits; /* of the child; NULL: EXTRACT_LIMITS_DEFAULT */
        /* Called on a worker whenever a document's status or progress changes; may be NULL. */
        void (*changed)(const char *document_id, const char *workflow_id, const char *status,
                        double progress, void *arg);
        void *changed_arg;
};

/* Takes up unfinished documents of an earlier run. */
enum status documents_new(const struct documents_options *options, struct documents **ret,
                          struct error *err) MUST_USE;
/* Stops after the current stage; the rest is taken up by the next start. Takes NULL. */
struct documents *documents_free(struct documents *documents);

/* An upload that is being written: streamed to a temporary file while hashed. */
struct upload;
enum status upload_begin(struct documents *documents, const void *ctx, const char *filename,
                         struct upload **ret, struct error *err) MUST_USE;
/* STATUS_TOO_LARGE past the limit. */
enum status upload_write(struct upload *upload, const void *data, size_t length,
                         struct error *err) MUST_USE;
/* Checks the type by content against the name (UNSUPPORTED_TYPE, INVALID when empty), creates the
 * row, moves the file into place and queues it. When the same bytes are there already, *ret is that
 * document and *ret_duplicate is true. Freeing `upload` before this removes the temporary file. */
enum status upload_finish(struct upload *upload, const char *owner_id, const char *workflow_id,
                          const void *ctx, struct document *ret, bool *ret_duplicate,
                          struct error *err) MUST_USE;

/* Removes row, chunks, vectors and file. */
enum status documents_delete(struct documents *documents, const char *owner_id, const char *id,
                             struct error *err) MUST_USE;
/* Removes all documents of a workflow that is being deleted. */
enum status documents_delete_workflow(struct documents *documents, const char *owner_id,
                                      const char *workflow_id, struct error *err) MUST_USE;
/* Opens the stored file; the caller closes. */
enum status documents_open(struct documents *documents, const struct document *document,
                           int *ret_fd, struct error *err) MUST_USE;
/* The extracted text, UTF-8; the offsets of chunks count its bytes, form feeds end pages. NOT_FOUND
 * before it has been read. The caller closes. */
enum status documents_open_text(struct documents *documents, const struct document *document,
                                int *ret_fd, struct error *err) MUST_USE;
/* Queues ready documents of the workflow for embeddings of its (new) model. They stay ready and
 * found by words meanwhile. A document that could not be embedded is ready with `error` saying so;
 * this tries again. */
enum status documents_reembed(struct documents *documents, const char *workflow_id,
                              struct error *err) MUST_USE;
/* Waits until nothing is queued or being processed; for the command line and tests. */
void documents_wait_idle(struct documents *documents);
size_t documents_waiting(struct documents *documents);

/* Entry of the child process: reads the file on fd 0, writes text records on fd 1. Exit status. */
int document_extract_child(const char *content_type);
