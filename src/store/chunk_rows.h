/* SPDX-License-Identifier: Apache-2.0 */
/* How a chunk is selected, for the files of this folder that read chunks. */
#pragma once

#include "store/documents.h"
#include "store/store_internal.h"

enum { CHUNK_COLUMN_COUNT = 10 };

/* The last one, the score, is there in searches only. */
extern const struct column chunk_columns[CHUNK_COLUMN_COUNT];

#define CHUNK_COLUMNS                                                                              \
        "c.ordinal, c.id, c.document_id, c.content, c.heading, c.page, c.start_offset,"            \
        " c.end_offset, d.filename"
#define CHUNK_TABLES " FROM chunks c JOIN documents d ON d.id = c.document_id"
