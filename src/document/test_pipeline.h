/* SPDX-License-Identifier: Apache-2.0 */
/* A pipeline with the real store and the real child process, for the tests of this folder: the test
 * program is its own `extract-child`. */
#pragma once

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "document/document.h"
#include "document/test_embed.h"
#include "document/test_files.h"
#include "store/test_store.h"

/* --- The pipeline ------------------------------------------------------------------------------*/
struct told {
        char statuses[4096]; /* "extracting chunking ready " of all documents */
        double progress;
        bool fell; /* the progress of a document went back */
};

struct pipeline {
        struct fixture *fixture;
        struct documents *documents;
        struct vector *vector;
        char *folder;
        const char *model;    /* NULL: no embeddings */
        const char *crash_at; /* kill -9 when this status is told */
        unsigned queue_max;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct told told;
};

static inline void on_change(const char *document_id, const char *workflow_id, const char *status,
                             double progress, void *arg)
{
        struct pipeline *pipeline = arg;
        size_t length;

        assert_true(uuid_valid(document_id) && uuid_valid(workflow_id));
        if (pipeline->crash_at && strcmp(status, pipeline->crash_at) == 0)
                kill(getpid(), SIGKILL);
        pthread_mutex_lock(&pipeline->lock);
        length = strlen(pipeline->told.statuses);
        snprintf(pipeline->told.statuses + length, sizeof(pipeline->told.statuses) - length, "%s ",
                 status);
        pipeline->told.fell = pipeline->told.fell || progress < pipeline->told.progress;
        pipeline->told.progress = progress < 1 ? progress : 0;
        pthread_cond_broadcast(&pipeline->changed);
        pthread_mutex_unlock(&pipeline->lock);
}

static inline void wait_for(struct pipeline *pipeline, const char *status)
{
        pthread_mutex_lock(&pipeline->lock);
        while (!strstr(pipeline->told.statuses, status))
                pthread_cond_wait(&pipeline->changed, &pipeline->lock);
        pthread_mutex_unlock(&pipeline->lock);
}

static inline enum status target(void *arg, const void *ctx, const char *workflow_id,
                                 struct llm_target *ret, struct error *err)
{
        const struct pipeline *pipeline = arg;

        (void)workflow_id;
        (void)err;
        if (pipeline->model)
                *ret = (struct llm_target){.provider = "test",
                                           .model = mem_strdup(ctx, pipeline->model)};
        return STATUS_OK;
}

static inline void start_with(struct pipeline *pipeline, const struct extract_limits *limits)
{
        const struct documents_options options = {
                .folder = pipeline->folder,
                .store = pipeline->fixture->store,
                .vector = pipeline->vector,
                .embedding_target = target,
                .embedding_arg = pipeline,
                .program = "/proc/self/exe",
                .upload_max = 30 << 20,
                .limits = limits,
                .queue_max = pipeline->queue_max,
                .changed = on_change,
                .changed_arg = pipeline,
        };

        ok(pipeline->fixture,
           documents_new(&options, &pipeline->documents, &pipeline->fixture->err));
}

static inline struct pipeline *pipeline_new(struct fixture *fixture)
{
        struct pipeline *pipeline = mem_new(fixture, struct pipeline);

        pipeline->fixture = fixture;
        pipeline->folder = mem_printf(pipeline, "%s/data/documents", fixture->folder.path);
        pthread_mutex_init(&pipeline->lock, NULL);
        pthread_cond_init(&pipeline->changed, NULL);
        ok(fixture, vector_new(fixture->store, &pipeline->vector, &fixture->err));
        return pipeline;
}

static inline struct pipeline *start(struct fixture *fixture)
{
        struct pipeline *pipeline = pipeline_new(fixture);

        start_with(pipeline, NULL);
        return pipeline;
}

static inline void stop(struct pipeline *pipeline)
{
        pipeline->documents = documents_free(pipeline->documents);
        pipeline->vector = vector_free(pipeline->vector);
}

/* --- Uploads -----------------------------------------------------------------------------------*/
#define BYTES(literal) ((struct bytes){(char *)(uintptr_t)(literal), sizeof(literal) - 1})

static inline enum status try_upload(struct pipeline *pipeline, const struct workflow *workflow,
                                     const char *name, struct bytes bytes, struct document *ret,
                                     bool *ret_duplicate, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct upload *upload = NULL;

        if (upload_begin(pipeline->documents, ctx, name, &upload, err))
                return err->status;
        for (size_t at = 0; at < bytes.length; at += 70000) {
                size_t length = bytes.length - at < 70000 ? bytes.length - at : 70000;

                if (upload_write(upload, bytes.data + at, length, err))
                        return err->status;
        }
        return upload_finish(upload, workflow->owner_id, workflow->id, pipeline, ret, ret_duplicate,
                             err);
}

static inline struct document upload(struct pipeline *pipeline, const char *name,
                                     struct bytes bytes)
{
        struct fixture *fixture = pipeline->fixture;
        struct document document = {0};
        bool duplicate = true;

        ok(fixture, try_upload(pipeline, &fixture->alices, name, bytes, &document, &duplicate,
                               &fixture->err));
        assert_false(duplicate);
        assert_string_equal(document.status, "queued");
        return document;
}

static inline struct document look(struct pipeline *pipeline, const char *id)
{
        struct fixture *fixture = pipeline->fixture;
        struct document document = {0};

        ok(fixture,
           store_get_document(fixture->store, pipeline, NULL, id, &document, &fixture->err));
        return document;
}

static inline struct document process(struct pipeline *pipeline, const char *name,
                                      struct bytes bytes)
{
        struct document document = upload(pipeline, name, bytes);

        documents_wait_idle(pipeline->documents);
        return look(pipeline, document.id);
}

static inline size_t files_in(const struct pipeline *pipeline)
{
        DIR *dir = opendir(pipeline->folder);
        const struct dirent *entry;
        size_t count = 0;

        assert_non_null(dir);
        while ((entry = readdir(dir)))
                count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
        closedir(dir);
        return count;
}

/* All chunks, in order. */
static inline struct chunk *chunks_of(struct pipeline *pipeline, const char *id, size_t *ret_count)
{
        struct fixture *fixture = pipeline->fixture;
        struct page page = {.limit = 100};
        struct chunk *all = NULL, *some;
        size_t count;

        *ret_count = 0;
        do {
                ok(fixture, store_list_chunks(fixture->store, pipeline, id, &page, &some, &count,
                                              &fixture->err));
                all = mem_resize(pipeline, all, struct chunk, *ret_count + count);
                memcpy(all + *ret_count, some, count * sizeof(*some));
                *ret_count += count;
                page.cursor = page.next_cursor;
        } while (page.cursor);
        return all;
}

static inline char *text_of(struct pipeline *pipeline, const struct document *document)
{
        struct fixture *fixture = pipeline->fixture;
        SCOPED_FD int fd = -1;
        struct stat about;
        char *text;

        ok(fixture, documents_open_text(pipeline->documents, document, &fd, &fixture->err));
        assert_int_equal(fstat(fd, &about), 0);
        text = mem_array(pipeline, char, (size_t)about.st_size + 1);
        assert_int_equal(read(fd, text, (size_t)about.st_size), about.st_size);
        return text;
}

/* The chunks are what the text has at their offsets, numbered without gaps. */
static inline void check_chunks(struct pipeline *pipeline, const struct document *document)
{
        const char *text = text_of(pipeline, document);
        size_t count;
        const struct chunk *chunks = chunks_of(pipeline, document->id, &count);

        assert_true(count > 0);
        assert_int_equal(document->chunk_count, count);
        for (size_t i = 0; i < count; i++) {
                assert_int_equal(chunks[i].ordinal, i);
                assert_int_equal(strlen(chunks[i].content), chunks[i].end - chunks[i].start);
                assert_memory_equal(chunks[i].content, text + chunks[i].start,
                                    strlen(chunks[i].content));
        }
}

static inline struct bytes long_text(const void *ctx, unsigned paragraphs)
{
        struct buffer out = BUFFER_INIT(ctx, 64 << 20);

        for (unsigned i = 0; i < paragraphs; i++)
                buffer_printf(
                        &out,
                        "Paragraph %u speaks of topic number %u at some length. It has more "
                        "than one sentence, so that it can be cut. Naïve cafés are in it.\n\n",
                        i, i);
        return (struct bytes){out.data, out.length};
}
