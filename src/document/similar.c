/* SPDX-License-Identifier: Apache-2.0 */
#include "document/similar.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_WORDS = 4, SIMILAR_PERCENT = 80 };

static bool is_word(char c)
{
        return isalnum((unsigned char)c) || !isascii((unsigned char)c);
}

/* FNV-1a of the next word in lower case, or 0 at the end. */
static uint32_t next_word(const char **text)
{
        const char *at = *text;
        uint32_t hash = 2166136261U;

        while (*at && !is_word(*at))
                at++;
        if (!*at)
                return 0;
        for (; *at && is_word(*at); at++)
                hash = (hash ^ (uint32_t)(unsigned char)tolower((unsigned char)*at)) * 16777619U;
        *text = at;
        return hash ? hash : 1;
}

static int compare(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

static size_t drop_repeated(uint32_t *items, size_t count)
{
        size_t kept = 0;

        for (size_t i = 0; i < count; i++) {
                if (!kept || items[kept - 1] != items[i])
                        items[kept++] = items[i];
        }
        return kept;
}

struct shingles shingles_new(const void *ctx, const char *text)
{
        struct shingles shingles = {.items = mem_array(ctx, uint32_t, strlen(text) / 2 + 2)};
        uint32_t words[GROUP_WORDS] = {0}, word;

        while ((word = next_word(&text))) {
                uint32_t group = 0;

                memmove(words, words + 1, sizeof(words) - sizeof(*words));
                words[GROUP_WORDS - 1] = word;
                for (size_t i = 0; i < GROUP_WORDS; i++)
                        group = group * 31 + words[i];
                shingles.items[shingles.count++] = group;
        }
        qsort(shingles.items, shingles.count, sizeof(*shingles.items), compare);
        shingles.count = drop_repeated(shingles.items, shingles.count);
        return shingles;
}

bool shingles_similar(const struct shingles *a, const struct shingles *b)
{
        size_t i = 0, j = 0, common = 0, all;

        while (i < a->count && j < b->count) {
                uint32_t x = a->items[i], y = b->items[j];

                common += x == y;
                i += x <= y;
                j += y <= x;
        }
        all = a->count + b->count - common;
        return all && common * 100 >= all * SIMILAR_PERCENT;
}
