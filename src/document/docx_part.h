/* SPDX-License-Identifier: Apache-2.0 */
/* What the parsers of the parts of a Word document share. */
#pragma once

#include <expat.h>

#include "document/docx.h"

struct docx_part {
        XML_Parser parser;
        const char *refused; /* why parsing was stopped, or NULL */
        unsigned depth;
        unsigned skip; /* depth of the element that is left out with all in it, or 0 */
        void (*start)(struct docx_part *part, const char *name, const char **attributes);
        void (*end)(struct docx_part *part, const char *name);
        void (*text)(struct docx_part *part, const char *text, size_t length); /* may be NULL */
        void *arg;
};

struct docx_part *docx_part_new(const void *ctx);
/* The value of the attribute with this local name, or NULL. */
const char *docx_attribute(const char **attributes, const char *name);
