/* SPDX-License-Identifier: Apache-2.0 */
/* The XML parts of a Word document (ECMA-376, WordprocessingML). Elements are known by their local
 * names: namespaces differ between the strict and the transitional form, names do not. */
#pragma once

#include "base/buffer.h"
#include "document/text_out.h"

enum { DOCX_STYLES_MAX = 4000, DOCX_DEPTH_MAX = 500 };

struct docx_style {
        char *id, *based_on;
        unsigned level; /* 1..6 for a heading, else 0 */
};

struct docx_styles {
        struct docx_style *items;
        size_t count;
};

/* One part being parsed: fed with its bytes, in pieces of any size. */
struct docx_part;

struct docx_part *docx_part_relations(const void *ctx, char **ret_main);
struct docx_part *docx_part_styles(const void *ctx, struct docx_styles *styles);
struct docx_part *docx_part_body(const void *ctx, const struct docx_styles *styles,
                                 struct text_out *out);
/* UNPROCESSABLE when the XML is not well-formed, too deep, or has a document type. */
enum status docx_part_feed(struct docx_part *part, const char *data, size_t length, bool last,
                           struct error *err) MUST_USE;
