/* SPDX-License-Identifier: Apache-2.0 */
#include "vector/id.h"

#include <stdlib.h>
#include <string.h>

static unsigned nibble(char c)
{
        if (c >= '0' && c <= '9')
                return (unsigned)(c - '0');
        return (unsigned)((c | 0x20) - 'a' + 10);
}

enum status vector_id_parse(const char *text, struct vector_id *ret, struct error *err)
{
        size_t at = 0;

        if (!text || !uuid_valid(text))
                return error_set(err, STATUS_INVALID, "the id of a vector is not a UUID");
        for (const char *p = text; *p; p += 2) {
                if (*p == '-')
                        p++;
                ret->bytes[at++] = (unsigned char)(nibble(p[0]) << 4 | nibble(p[1]));
        }
        return STATUS_OK;
}

char *vector_id_format(const struct vector_id *id, char text[UUID_TEXT_SIZE])
{
        static const char digits[] = "0123456789abcdef";
        char *out = text;

        for (size_t i = 0; i < sizeof(id->bytes); i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *out++ = '-';
                *out++ = digits[id->bytes[i] >> 4];
                *out++ = digits[id->bytes[i] & 15];
        }
        *out = '\0';
        return text;
}

int vector_id_compare(const struct vector_id *a, const struct vector_id *b)
{
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare(const void *a, const void *b)
{
        return vector_id_compare(a, b);
}

struct vector_ids vector_ids_new(const void *ctx, const char *const *texts, size_t count)
{
        struct vector_ids ids = {.items = mem_array(ctx, struct vector_id, count)};
        struct error ignored = ERROR_INIT;

        for (size_t i = 0; i < count; i++) {
                if (!vector_id_parse(texts[i], &ids.items[ids.count], &ignored))
                        ids.count++;
        }
        qsort(ids.items, ids.count, sizeof(*ids.items), compare);
        return ids;
}

bool vector_ids_have(const struct vector_ids *ids, const struct vector_id *id)
{
        return ids->count && bsearch(id, ids->items, ids->count, sizeof(*ids->items), compare);
}
