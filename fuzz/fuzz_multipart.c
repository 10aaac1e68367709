/* SPDX-License-Identifier: Apache-2.0 */
/* A form means the same however it is cut. Input: a byte for the size of the pieces, the rest of the
 * line is the Content-Type, what follows the form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "net/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TRANSCRIPT_MAX = 1024 * 1024 };

static void must(bool holds)
{
        if (!holds)
                abort();
}

static enum status part_begin(const char *name, const char *filename, const char *content_type,
                              void *arg, struct error *err)
{
        (void)err;
        must(*name && strlen(name) <= MULTIPART_NAME_MAX && utf8_valid(name, strlen(name)));
        must(!filename ||
             (strlen(filename) <= MULTIPART_NAME_MAX && utf8_valid(filename, strlen(filename))));
        buffer_printf(arg, "[%s|%s|%s:", name, filename ? filename : "-",
                      content_type ? content_type : "-");
        return STATUS_OK;
}

static enum status part_data(const char *data, size_t length, void *arg, struct error *err)
{
        (void)err;
        must(length > 0);
        buffer_append(arg, data, length);
        return STATUS_OK;
}

static enum status part_end(void *arg, struct error *err)
{
        (void)err;
        buffer_char(arg, ']');
        return STATUS_OK;
}

static enum status parse(const void *ctx, const char *type, const char *body, size_t length,
                         size_t piece, struct buffer *transcript)
{
        static const struct multipart_handlers handlers = {part_begin, part_data, part_end};
        struct multipart *multipart;
        struct error err = ERROR_INIT;

        *transcript = BUFFER_INIT(ctx, TRANSCRIPT_MAX);
        if (multipart_new(ctx, type, &handlers, transcript, &multipart, &err))
                return err.status;
        for (size_t at = 0; at < length; at += piece) {
                if (multipart_feed(multipart, body + at, piece < length - at ? piece : length - at,
                                   &err)) {
                        must(err.message[0] != '\0');
                        return err.status;
                }
        }
        return multipart_end(multipart, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer whole, cut;
        const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
        const char *type;
        enum status status;

        if (!line || line == data)
                return 0;
        type = mem_strndup(ctx, (const char *)data + 1, (size_t)(line - data) - 1);
        const char *body = (const char *)line + 1;
        size_t length = size - (size_t)(line + 1 - data);

        status = parse(ctx, type, body, length, length + 1, &whole);
        must(parse(ctx, type, body, length, (size_t)data[0] % 32 + 1, &cut) == status);
        must(whole.length == cut.length);
        must(whole.length == 0 || memcmp(whole.data, cut.data, whole.length) == 0);
        return 0;
}
