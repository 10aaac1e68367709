/* SPDX-License-Identifier: Apache-2.0 */
/* What readers write: text with the marks that frames.h understands.
 *
 * Readers give text as they find it; the writer keeps the marks unforgeable (control characters
 * become spaces), joins line ends, and never writes more than one blank line in a row. Errors are
 * kept: a reader may write on and check once at the end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Returns false when nothing more can be taken. */
typedef bool text_out_fn(const char *data, size_t length, void *arg);

struct text_out {
        text_out_fn *write;
        void *arg;
        uint64_t bytes;
        bool closed; /* write said so; everything further is dropped */
        bool pending_return;
        unsigned newlines; /* at the end of what was written; 2 at the very start */
        size_t used;
        char block[8192];
};

void text_out_init(struct text_out *out, text_out_fn *write, void *arg);
void text_out_bytes(struct text_out *out, const char *text, size_t length);
void text_out_string(struct text_out *out, const char *text);
void text_out_line(struct text_out *out);  /* ends the line, unless at the start of one */
void text_out_blank(struct text_out *out); /* ends the paragraph, unless at the start of one */
/* A paragraph of its own; white space inside `title` becomes single spaces. Level 1..6. */
void text_out_heading(struct text_out *out, unsigned level, const char *title, size_t length);
void text_out_flush(struct text_out *out);
