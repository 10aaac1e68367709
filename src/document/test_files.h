/* SPDX-License-Identifier: Apache-2.0 */
/* Files of every kind for tests, good and hostile, made in memory. Strings and bytes below ctx. */
#pragma once

#include <stdint.h>

#include "base/memory.h"

struct bytes {
        char *data;
        size_t length;
};

/* A PDF with `text` (ASCII, lines broken at \n) of each page; NULL: a page without text. */
struct bytes pdf_new(const void *ctx, const char *const *pages, size_t count);
/* `count` pages "Page N of the test." */
struct bytes pdf_of_pages(const void *ctx, size_t count);
/* Says that it is encrypted by a password that is not the empty one. */
struct bytes pdf_encrypted(const void *ctx);
/* One page whose text takes pdftotext very long: `operators` times the same words. */
struct bytes pdf_slow(const void *ctx, size_t operators);

struct member {
        const char *name;
        const char *data;
        size_t length; /* 0: of the string */
};
/* A ZIP archive with deflated members. */
struct bytes zip_new(const void *ctx, const struct member *members, size_t count);
/* A Word document around the XML of its body and (or NULL) its styles. */
struct bytes docx_new(const void *ctx, const char *body, const char *styles);
/* The same with a whole word/document.xml. */
struct bytes docx_of(const void *ctx, const char *document_xml, size_t length);

/* `text` repeated; *ret_length may be NULL. */
char *repeated(const void *ctx, const char *text, size_t times, size_t *ret_length);
