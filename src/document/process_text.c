/* SPDX-License-Identifier: Apache-2.0 */
/* From the file to chunks in the store, as one stream: while the child reads a page, the pages
 * before it are cut and stored. In memory are one window of text and one batch of chunks. */
#include <string.h>

#include "base/clock.h"
#include "document/chunk.h"
#include "document/documents_internal.h"

enum {
        BATCH_CHUNKS = 128,
        TEXT_BLOCK = 64 * 1024,
        TELL_US = 500 * 1000, /* how often progress is written */
};

struct stream {
        struct process *process;
        struct chunker *chunker;
        struct part_file text;
        size_t held;
        char block[TEXT_BLOCK]; /* text on its way to the file */
        void *batch_ctx;
        struct chunk batch[BATCH_CHUNKS];
        size_t count;
};

/* --- Chunks ------------------------------------------------------------------------------------*/
static enum status store_batch(struct stream *stream, struct error *err)
{
        struct process *process = stream->process;
        size_t count = stream->count;

        stream->count = 0;
        if (count && store_add_chunks(process->documents->options.store, process->document.id,
                                      process->document.workflow_id, stream->batch, count, err))
                return err->status;
        process->chunk_count += (int64_t)count;
        talloc_free_children(stream->batch_ctx);
        return STATUS_OK;
}

static enum status on_piece(const struct piece *piece, void *arg, struct error *err)
{
        struct stream *stream = arg;
        char id[UUID_TEXT_SIZE];

        stream->batch[stream->count] = (struct chunk){
                .id = mem_strdup(stream->batch_ctx, uuid_new(id)),
                .ordinal = stream->process->chunk_count + (int64_t)stream->count,
                .content = mem_strndup(stream->batch_ctx, piece->text, piece->length),
                .heading = mem_strdup(stream->batch_ctx, piece->heading),
                .page = piece->page,
                .start = piece->start,
                .end = piece->end,
        };
        return ++stream->count == BATCH_CHUNKS ? store_batch(stream, err) : STATUS_OK;
}

/* --- The text file -----------------------------------------------------------------------------*/
static enum status flush_text(struct stream *stream, struct error *err)
{
        size_t length = stream->held;

        stream->held = 0;
        return part_file_write(&stream->text, stream->block, length, err);
}

static enum status write_text(struct stream *stream, const char *text, size_t length,
                              struct error *err)
{
        if (stream->held + length > sizeof(stream->block) && flush_text(stream, err))
                return err->status;
        memcpy(stream->block + stream->held, text, length);
        stream->held += length;
        return STATUS_OK;
}

/* --- What the child sends ----------------------------------------------------------------------*/
static enum status on_text(void *arg, const char *text, size_t length, struct error *err)
{
        struct stream *stream = arg;
        int64_t start = clock_monotonic_us();
        enum status status = write_text(stream, text, length, err);

        if (!status)
                status = chunker_text(stream->chunker, text, length, err);
        stream->process->chunking_us += clock_monotonic_us() - start;
        return status;
}

static enum status on_heading(void *arg, unsigned level, const char *title, size_t length,
                              struct error *err)
{
        struct stream *stream = arg;

        if (write_text(stream, title, length, err))
                return err->status;
        return chunker_heading(stream->chunker, level, title, length, err);
}

static enum status on_page_end(void *arg, struct error *err)
{
        struct stream *stream = arg;
        struct process *process = stream->process;
        int64_t now = clock_monotonic_us();

        process->page_count++;
        if (now - process->told_us > TELL_US) {
                process->told_us = now;
                if (process_tell(process, "extracting", NULL, 0.1, err))
                        return err->status;
        }
        if (write_text(stream, "\f", 1, err))
                return err->status;
        return chunker_page_end(stream->chunker, err);
}

static enum status run_child(struct stream *stream, const struct format *format, struct error *err)
{
        struct process *process = stream->process;
        const struct frames_sink sink = {on_text, on_heading, on_page_end, stream};
        SCOPED_FD int file = -1;
        struct extract_job job = {
                .program = process->documents->options.program,
                .format = format,
                .cancel = process->job->stop,
                .limits = process->documents->limits,
                .sink = &sink,
        };
        uint64_t pages;
        int64_t start = clock_monotonic_us();
        enum status status;

        if (folder_read(process->documents->folder, process->document.id, &file, err))
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "the uploaded file is not there any more");
        job.file = file;
        process->told_us = start;
        status = extract_run(&job, &pages, err);
        process->extracting_us = clock_monotonic_us() - start - process->chunking_us;
        return status;
}

/* The rest of the text, and the file with its name. */
static enum status finish_text(struct stream *stream, struct error *err)
{
        struct process *process = stream->process;
        char name[UUID_TEXT_SIZE + 4];
        int64_t start = clock_monotonic_us();

        if (process_tell(process, "chunking", NULL, 0.6, err) || flush_text(stream, err) ||
            chunker_finish(stream->chunker, err) || store_batch(stream, err) ||
            folder_keep(process->documents->folder, &stream->text,
                        folder_text_name(process->document.id, name), err))
                return err->status;
        process->chunking_us += clock_monotonic_us() - start;
        return STATUS_OK;
}

static enum status stream_text(struct stream *stream, const struct format *format,
                               struct error *err)
{
        const struct chunk_options options = CHUNK_OPTIONS_DEFAULT;
        struct process *process = stream->process;
        enum status status;

        stream->batch_ctx = talloc_new(stream);
        stream->chunker = chunker_new(stream, &options, format->paged, on_piece, stream);
        if (folder_begin(process->documents->folder, &stream->text, err))
                return err->status;
        status = run_child(stream, format, err);
        if (!status)
                status = finish_text(stream, err);
        folder_drop(process->documents->folder, &stream->text);
        return status;
}

enum status process_text(struct process *process, struct error *err)
{
        SCOPED_MEM struct stream *stream = mem_new(NULL, struct stream);
        const struct format *format = format_by_type(process->document.content_type);

        if (!format)
                return error_set(err, STATUS_UNSUPPORTED_TYPE, "files of type %s cannot be read",
                                 process->document.content_type);
        stream->process = process;
        process->chunk_count = 0;
        return stream_text(stream, format, err);
}
