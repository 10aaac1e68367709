/* SPDX-License-Identifier: Apache-2.0 */
#include "document/filename.h"

#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

enum { ENDING_BYTES_MAX = 16 };

/* Controls, line and paragraph separators, and marks that make "fdp.exe" look like "exe.pdf";
 * but not the joiners, which shape letters. */
static bool is_harmful(utf8proc_int32_t character)
{
        utf8proc_category_t category = utf8proc_category(character);

        if (category == UTF8PROC_CATEGORY_CF)
                return character != 0x200C && character != 0x200D;
        return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_ZL ||
               category == UTF8PROC_CATEGORY_ZP;
}

static const char *last_component(const char *name)
{
        const char *last = name;

        for (const char *at = name; *at; at++) {
                if (*at == '/' || *at == '\\')
                        last = at + 1;
        }
        return last;
}

static size_t copy_harmless(const char *from, char *to)
{
        size_t length = strlen(from), size = 0;

        for (size_t at = 0; at < length;) {
                size_t bytes = utf8_sequence(from + at, length - at);
                utf8proc_int32_t character = '_';

                if (bytes)
                        utf8proc_iterate((const utf8proc_uint8_t *)from + at,
                                         (utf8proc_ssize_t)bytes, &character);
                if (!bytes)
                        to[size++] = '_';
                else if (!is_harmful(character)) {
                        memcpy(to + size, from + at, bytes);
                        size += bytes;
                }
                at += bytes ? bytes : 1;
        }
        return size;
}

/* Windows drops dots and spaces at the end, so that "a.pdf." and "a.pdf" are one file there. */
static char *trim(char *name, size_t length)
{
        while (length && (name[length - 1] == ' ' || name[length - 1] == '.'))
                length--;
        name[length] = '\0';
        return name + strspn(name, " ");
}

static void shorten(char *name)
{
        size_t length = strlen(name);
        const char *dot = strrchr(name, '.');
        size_t ending = dot ? length - (size_t)(dot - name) : 0;

        if (length <= FILENAME_BYTES_MAX)
                return;
        if (ending > ENDING_BYTES_MAX)
                ending = 0;
        size_t kept = utf8_floor(name, length, FILENAME_BYTES_MAX - ending);
        memmove(name + kept, name + length - ending, ending + 1);
}

enum status filename_clean(const void *ctx, const char *name, char **ret, struct error *err)
{
        const char *last = last_component(name);
        char *copy = mem_array(ctx, char, strlen(last) + 1);
        char *clean = trim(copy, copy_harmless(last, copy));

        shorten(clean);
        if (!*clean)
                return error_set(err, STATUS_INVALID, "the file has no name");
        *ret = mem_strdup(ctx, clean);
        return STATUS_OK;
}
