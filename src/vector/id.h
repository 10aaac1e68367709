/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of chunks and documents in 16 bytes instead of 37, and sets of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/uuid.h"

struct vector_id {
        unsigned char bytes[16];
};

/* STATUS_INVALID if `text` is not a UUID. */
enum status vector_id_parse(const char *text, struct vector_id *ret, struct error *err) MUST_USE;
/* Lower-case text as ids are stored; returns `text`. */
char *vector_id_format(const struct vector_id *id, char text[UUID_TEXT_SIZE]);
int vector_id_compare(const struct vector_id *a, const struct vector_id *b);

/* Sorted ids. */
struct vector_ids {
        struct vector_id *items;
        size_t count;
};
/* What is not an id cannot match anything and is left out. */
struct vector_ids vector_ids_new(const void *ctx, const char *const *texts, size_t count);
bool vector_ids_have(const struct vector_ids *ids, const struct vector_id *id);
