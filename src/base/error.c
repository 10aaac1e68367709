/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: the status table and the two ways to fill a struct error. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
        unsigned http;
        const char *title;
        const char *name;
} statuses[] = {
#define X(name, http, title) {http, title, #name},
        STATUS_MAP(X)
#undef X
};

unsigned status_http(enum status status)
{
        return statuses[status].http;
}

const char *status_title(enum status status)
{
        return statuses[status].title;
}

const char *status_name(enum status status)
{
        return statuses[status].name;
}

/* vsnprintf cuts bytes; a message must not end inside a UTF-8 sequence. */
static void trim_partial_utf8(char *text)
{
        size_t length = strlen(text), start = length;

        while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
                start--;
        if (start == 0)
                return;
        unsigned char lead = (unsigned char)text[start - 1];
        size_t need = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;

        if (length - (start - 1) < need)
                text[start - 1] = '\0';
}

enum status error_set_(struct error *err, enum status status, const char *file, int line,
                       const char *format, ...)
{
        va_list args;

        err->status = status;
        err->file = file;
        err->line = line;
        err->retry_after_ms = 0;
        va_start(args, format);
        vsnprintf(err->message, sizeof(err->message), format, args);
        va_end(args);
        trim_partial_utf8(err->message);
        return status;
}

enum status error_prefix(struct error *err, const char *format, ...)
{
        char old[ERROR_MESSAGE_MAX];
        va_list args;
        int used;

        memcpy(old, err->message, sizeof(old));
        va_start(args, format);
        used = vsnprintf(err->message, sizeof(err->message), format, args);
        va_end(args);
        int room = (int)sizeof(err->message) - used - (int)sizeof(": ");

        if (used >= 0 && room > 0)
                snprintf(err->message + used, sizeof(err->message) - (size_t)used, ": %.*s", room,
                         old);
        trim_partial_utf8(err->message);
        return err->status;
}

struct problems *problems_new(const void *ctx)
{
        return mem_new(ctx, struct problems);
}

void problems_add(struct problems *problems, const char *node_id, const char *path,
                  const char *format, ...)
{
        va_list args;
        char message[ERROR_MESSAGE_MAX];

        if (problems->count >= PROBLEMS_MAX)
                return;
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
        trim_partial_utf8(message);
        problems->items =
                mem_resize(problems, problems->items, struct problem, problems->count + 1);
        problems->items[problems->count++] = (struct problem){
                .node_id = mem_strdup(problems, node_id),
                .path = mem_strdup(problems, path ? path : ""),
                .message = mem_strdup(problems, message),
        };
}
