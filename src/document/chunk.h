/* SPDX-License-Identifier: Apache-2.0 */
/* Chunking: a stream of text in, pieces of about one to three paragraphs out.
 *
 * A piece is an exact byte range of the stream, without white space at its ends, and never ends
 * inside a character. Text is cut, best place first, at headings and page ends, blank lines,
 * sentence ends, line ends, spaces. Where running text is cut, the next piece repeats the last
 * sentence or two, so that a statement and what it refers to stay together. Memory is one window,
 * whatever the length of the stream. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* In characters (code points). */
struct chunk_options {
        size_t target;  /* where a cut is looked for */
        size_t max;     /* no piece is longer */
        size_t overlap; /* at most this much is repeated */
        size_t tiny;    /* pieces shorter than this join the next section or page */
};
#define CHUNK_OPTIONS_DEFAULT                                                                      \
        ((struct chunk_options){.target = 1200, .max = 2000, .overlap = 100, .tiny = 120})

enum { HEADING_LEVELS = 6, HEADING_TITLE_MAX = 160 };

/* Borrowed for the call. */
struct piece {
        const char *text;
        size_t length;
        int64_t start, end;  /* byte offsets in the stream */
        int64_t page;        /* 0: the stream has no pages */
        const char *heading; /* "Chapter > Section", "" if none */
};
typedef enum status piece_fn(const struct piece *piece, void *arg, struct error *err);

struct chunker;
/* `paged` streams begin with page 1. `target` is at least 8, `max` at
 * least 1.5 times and `overlap` less than half as much. */
struct chunker *chunker_new(const void *ctx, const struct chunk_options *options, bool paged,
                            piece_fn *each, void *arg) MUST_USE;
/* Valid UTF-8; may end anywhere between characters. Fails only with what `each` returns. */
enum status chunker_text(struct chunker *chunker, const char *text, size_t length,
                         struct error *err) MUST_USE;
/* A heading, level 1..6; its title is text of the stream, too. */
enum status chunker_heading(struct chunker *chunker, unsigned level, const char *title,
                            size_t length, struct error *err) MUST_USE;
/* The page ends; a form feed stands for that in the stream and counts as its one byte. */
enum status chunker_page_end(struct chunker *chunker, struct error *err) MUST_USE;
enum status chunker_finish(struct chunker *chunker, struct error *err) MUST_USE;
