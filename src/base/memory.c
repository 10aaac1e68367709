/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: thin wrappers over talloc that abort instead of returning NULL. */
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *must(void *ptr)
{
        if (!ptr) {
                fputs("flowgenix: out of memory\n", stderr);
                abort();
        }
        return ptr;
}

void mem_free_at(void *pointer_to_context)
{
        mem_free(*(void **)pointer_to_context);
}

void mem_malloc_free_at(void *pointer_to_block)
{
        free(*(void **)pointer_to_block);
}

void mem_file_close_at(void *pointer_to_file)
{
        FILE *file = *(FILE **)pointer_to_file;

        if (file)
                fclose(file);
}

void mem_fd_close_at(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

void *mem_root(void)
{
        return must(talloc_new(NULL));
}

void *mem_zero_(const void *ctx, size_t size, size_t count, const char *name)
{
        void *ptr = must(_talloc_array(ctx, size, (unsigned)count, name));

        return memset(ptr, 0, size * count);
}

void *mem_resize_(const void *ctx, void *array, size_t size, size_t count, const char *name)
{
        return must(_talloc_realloc_array(ctx, array, size, (unsigned)count, name));
}

char *mem_strdup(const void *ctx, const char *text)
{
        return text ? must(talloc_strdup(ctx, text)) : NULL;
}

char *mem_strndup(const void *ctx, const char *text, size_t length)
{
        return must(talloc_strndup(ctx, text, length));
}

void *mem_dup(const void *ctx, const void *data, size_t length)
{
        void *copy = must(talloc_size(ctx, length ? length : 1));

        return length ? memcpy(copy, data, length) : copy;
}

char *mem_printf(const void *ctx, const char *format, ...)
{
        va_list args;
        char *text;

        va_start(args, format);
        text = talloc_vasprintf(ctx, format, args);
        va_end(args);
        return must(text);
}

void *mem_free(void *ptr)
{
        if (ptr)
                talloc_free(ptr);
        return NULL;
}
