/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of file that can be read: one table of names, signatures and readers. */
#pragma once

#include <stdbool.h>

#include "document/reader.h"

enum format_family { FORMAT_PDF, FORMAT_ZIP, FORMAT_TEXT };

struct format {
        const char *content_type;
        const char *title;         /* "a PDF" */
        const char *extensions;    /* "html htm" */
        enum format_family family; /* what its bytes look like */
        bool paged;
        reader_fn *read; /* NULL: pdftotext */
};

/* NULL if unknown. */
const struct format *format_by_type(const char *content_type);

/* Looking at the bytes of a file as they come, in order. */
struct format_probe {
        char head[1024];
        size_t held;
        uint64_t length, controls;
        bool nul;
};
void format_probe_feed(struct format_probe *probe, const void *data, size_t length);
/* The format by name and bytes, which have to agree: UNSUPPORTED_TYPE otherwise, INVALID for an
 * empty file. */
enum status format_decide(const struct format_probe *probe, const char *filename,
                          const struct format **ret, struct error *err) MUST_USE;
