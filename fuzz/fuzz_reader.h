/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every reader of documents, whatever it reads: it ends with text in its form, or
 * with words for people; and its text can be taken apart and cut. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "document/chunk.h"
#include "document/frames.h"
#include "document/reader.h"

enum { FUZZ_TEXT_MAX = 16 * 1024 * 1024 };

struct fuzz_pieces {
        struct chunker *chunker;
        struct buffer stream; /* what the offsets of pieces count */
        int64_t last_start, last_end;
        size_t max;
};

static inline void must(bool holds)
{
        if (!holds)
                abort();
}

static inline enum status fuzz_piece(const struct piece *piece, void *arg, struct error *err)
{
        struct fuzz_pieces *pieces = arg;

        (void)err;
        must(piece->start > pieces->last_start && piece->end > pieces->last_end);
        must(piece->length == (size_t)(piece->end - piece->start) && piece->length > 0);
        must((size_t)piece->end <= pieces->stream.length);
        must(memcmp(piece->text, pieces->stream.data + piece->start, piece->length) == 0);
        must(utf8_valid(piece->text, piece->length) && piece->length <= 4 * pieces->max);
        must(utf8_valid(piece->heading, strlen(piece->heading)));
        pieces->last_start = piece->start;
        pieces->last_end = piece->end;
        return STATUS_OK;
}

static inline enum status fuzz_on_text(void *arg, const char *text, size_t length,
                                       struct error *err)
{
        struct fuzz_pieces *pieces = arg;

        must(length > 0 && utf8_valid(text, length) && !memchr(text, '\f', length));
        buffer_append(&pieces->stream, text, length);
        return chunker_text(pieces->chunker, text, length, err);
}

static inline enum status fuzz_on_heading(void *arg, unsigned level, const char *title,
                                          size_t length, struct error *err)
{
        struct fuzz_pieces *pieces = arg;

        must(level >= 1 && level <= 6 && length > 0 && utf8_valid(title, length));
        buffer_append(&pieces->stream, title, length);
        return chunker_heading(pieces->chunker, level, title, length, err);
}

static inline enum status fuzz_on_page_end(void *arg, struct error *err)
{
        struct fuzz_pieces *pieces = arg;

        buffer_char(&pieces->stream, '\f');
        return chunker_page_end(pieces->chunker, err);
}

/* Takes `data` apart in blocks of `step` bytes and cuts it by `options`. */
static inline void fuzz_frames(const char *data, size_t length, size_t step, bool paged,
                               const struct chunk_options *options)
{
        SCOPED_MEM void *ctx = mem_root();
        struct fuzz_pieces pieces = {.stream = BUFFER_INIT(ctx, 4 * FUZZ_TEXT_MAX),
                                     .last_start = -1,
                                     .last_end = -1,
                                     .max = options->max};
        const struct frames_sink sink = {fuzz_on_text, fuzz_on_heading, fuzz_on_page_end, &pieces};
        const struct frames_limits limits = {.bytes = 3 * FUZZ_TEXT_MAX, .pages = FUZZ_TEXT_MAX};
        struct frames *frames = mem_new(ctx, struct frames);
        struct error err = ERROR_INIT;

        pieces.chunker = chunker_new(ctx, options, paged, fuzz_piece, &pieces);
        frames_init(frames, paged, limits, &sink);
        for (size_t at = 0; at < length; at += step)
                must(!frames_feed(frames, data + at, length - at < step ? length - at : step,
                                  &err));
        must(!frames_end(frames, &err) && !chunker_finish(pieces.chunker, &err));
}

static inline bool fuzz_collect(const char *data, size_t length, void *arg)
{
        struct buffer *out = arg;

        buffer_append(out, data, length);
        return !out->overflow;
}

/* No control characters but line ends and tabs, and marks only at the start of a line. Invalid bytes
 * may pass (Gumbo makes some of numbers past Unicode): the parent replaces them. */
static inline void fuzz_check_text(const struct buffer *out)
{
        for (size_t i = 0; i < out->length; i++) {
                unsigned char c = (unsigned char)out->data[i];
                bool at_start = i == 0 || out->data[i - 1] == '\n';

                must(c >= ' ' || c == '\n' || c == '\t' || (c >= 1 && c <= 6 && at_start));
        }
}

static inline void fuzz_reader(reader_fn *read, const uint8_t *data, size_t size)
{
        const struct chunk_options options = CHUNK_OPTIONS_DEFAULT;
        SCOPED_MEM void *ctx = mem_root();
        struct text_out *out = mem_new(ctx, struct text_out);
        struct buffer text = BUFFER_INIT(ctx, FUZZ_TEXT_MAX);
        struct error err = ERROR_INIT;

        text_out_init(out, fuzz_collect, &text);
        if (read(ctx, (const char *)data, size, out, &err))
                must(err.status == STATUS_UNPROCESSABLE && *err.message);
        text_out_flush(out);
        if (text.overflow)
                return;
        fuzz_check_text(&text);
        fuzz_frames(buffer_string(&text), text.length, 4096, false, &options);
}
