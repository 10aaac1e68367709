/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of event streams. The first byte says how the rest is split; the property: a
 * stream gives the same events however it is split, and all of them within their bound. */
#include <stdlib.h>
#include <string.h>

#include "net/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENT_MAX = 512 };

static bool record(const char *event, const char *data, size_t length, void *arg)
{
        struct buffer *log = arg;

        if (length > EVENT_MAX || data[length] != '\0')
                abort();
        buffer_text(log, event);
        buffer_char(log, '|');
        buffer_append(log, data, length);
        buffer_char(log, '\n');
        return true;
}

/* The events as text; false if the reader refused the stream. */
static bool read_all(const char *text, size_t length, size_t piece, struct buffer *log)
{
        SCOPED_MEM void *ctx = mem_root();
        struct sse_reader *reader = sse_reader_new(ctx, EVENT_MAX, record, log);
        struct error err = ERROR_INIT;

        for (size_t at = 0; at < length; at += piece) {
                size_t size = piece < length - at ? piece : length - at;

                if (sse_reader_feed(reader, text + at, size, &err))
                        return false;
        }
        return sse_reader_end(reader, &err) == STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer whole = BUFFER_INIT(ctx, 1 << 24), split = BUFFER_INIT(ctx, 1 << 24);
        bool whole_ok, split_ok;

        if (size < 2)
                return 0;
        whole_ok = read_all((const char *)data + 1, size - 1, size - 1, &whole);
        split_ok = read_all((const char *)data + 1, size - 1, 1 + data[0] % 16, &split);
        if (whole_ok != split_ok)
                abort();
        if (whole_ok && strcmp(buffer_string(&whole), buffer_string(&split)) != 0)
                abort();
        return 0;
}
