/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded byte buffer: grows by doubling up to its stated maximum. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static bool reserve(struct buffer *buffer, size_t extra)
{
        size_t wanted = buffer->length + extra;

        if (buffer->overflow || extra > buffer->max || wanted > buffer->max) {
                buffer->overflow = true;
                return false;
        }
        if (wanted < buffer->capacity)
                return true;
        size_t capacity = buffer->capacity ? buffer->capacity : 128;
        while (capacity <= wanted)
                capacity *= 2;
        buffer->data = mem_resize(buffer->ctx, buffer->data, char, capacity);
        buffer->capacity = capacity;
        return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
        if (!length || !reserve(buffer, length))
                return;
        memcpy(buffer->data + buffer->length, data, length);
        buffer->length += length;
        buffer->data[buffer->length] = '\0';
}

void buffer_text(struct buffer *buffer, const char *text)
{
        buffer_append(buffer, text, strlen(text));
}

void buffer_char(struct buffer *buffer, char c)
{
        buffer_append(buffer, &c, 1);
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
        va_list args, again;
        int length;

        va_start(args, format);
        va_copy(again, args);
        length = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (length > 0 && reserve(buffer, (size_t)length)) {
                vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, again);
                buffer->length += (size_t)length;
        }
        va_end(again);
}

static void json_escape(struct buffer *buffer, unsigned char c)
{
        switch (c) {
        case '"':
                buffer_append(buffer, "\\\"", 2);
                return;
        case '\\':
                buffer_append(buffer, "\\\\", 2);
                return;
        case '\n':
                buffer_append(buffer, "\\n", 2);
                return;
        case '\r':
                buffer_append(buffer, "\\r", 2);
                return;
        case '\t':
                buffer_append(buffer, "\\t", 2);
                return;
        default:
                buffer_printf(buffer, "\\u%04x", c);
        }
}

void buffer_json_n(struct buffer *buffer, const char *text, size_t length)
{
        size_t i = 0, plain = 0;

        buffer_char(buffer, '"');
        while (i < length) {
                unsigned char c = (unsigned char)text[i];
                size_t step = c < 0x80 ? 1 : utf8_sequence(text + i, length - i);

                if (step > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
                        i += step;
                        continue;
                }
                buffer_append(buffer, text + plain, i - plain);
                if (step == 0)
                        buffer_append(buffer, "\xEF\xBF\xBD", 3);
                else
                        json_escape(buffer, c);
                plain = ++i;
        }
        buffer_append(buffer, text + plain, length - plain);
        buffer_char(buffer, '"');
}

void buffer_json(struct buffer *buffer, const char *text)
{
        if (text)
                buffer_json_n(buffer, text, strlen(text));
        else
                buffer_append(buffer, "null", 4);
}

void buffer_clear(struct buffer *buffer)
{
        buffer->length = 0;
        buffer->overflow = false;
        if (buffer->data)
                buffer->data[0] = '\0';
}

void buffer_release(struct buffer *buffer)
{
        buffer->data = mem_free(buffer->data);
        buffer->length = buffer->capacity = 0;
        buffer->overflow = false;
}

const char *buffer_string(const struct buffer *buffer)
{
        return buffer->data ? buffer->data : "";
}

enum status buffer_check(const struct buffer *buffer, const char *what, struct error *err)
{
        if (!buffer->overflow)
                return STATUS_OK;
        return error_set(err, STATUS_TOO_LARGE, "%s is larger than the limit of %zu bytes", what,
                         buffer->max);
}
