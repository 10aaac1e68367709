/* SPDX-License-Identifier: Apache-2.0 */
#include "document/text_out.h"

#include <string.h>

void text_out_init(struct text_out *out, text_out_fn *write, void *arg)
{
        *out = (struct text_out){.write = write, .arg = arg, .newlines = 2};
}

void text_out_flush(struct text_out *out)
{
        if (out->used && !out->closed)
                out->closed = !out->write(out->block, out->used, out->arg);
        out->used = 0;
}

static void put_raw(struct text_out *out, char c)
{
        if (out->used == sizeof(out->block))
                text_out_flush(out);
        out->block[out->used++] = c;
        out->bytes++;
}

static void put_newline(struct text_out *out)
{
        if (out->newlines >= 2)
                return;
        out->newlines++;
        put_raw(out, '\n');
}

static void put(struct text_out *out, char c)
{
        unsigned char byte = (unsigned char)c;

        /* CR LF and a lone CR both end one line. */
        if (out->pending_return && c != '\n')
                put_newline(out);
        out->pending_return = c == '\r';
        if (c == '\r')
                return;
        if (c == '\n') {
                put_newline(out);
                return;
        }
        out->newlines = 0;
        put_raw(out, (byte < 0x20 && c != '\t') || byte == 0x7F ? ' ' : c);
}

void text_out_bytes(struct text_out *out, const char *text, size_t length)
{
        for (size_t i = 0; i < length && !out->closed; i++)
                put(out, text[i]);
}

void text_out_string(struct text_out *out, const char *text)
{
        text_out_bytes(out, text, strlen(text));
}

void text_out_line(struct text_out *out)
{
        out->pending_return = false;
        if (!out->newlines)
                put_newline(out);
}

void text_out_blank(struct text_out *out)
{
        text_out_line(out);
        put_newline(out);
}

static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

void text_out_heading(struct text_out *out, unsigned level, const char *title, size_t length)
{
        bool gap = false;

        while (length && is_space(*title)) {
                title++;
                length--;
        }
        while (length && is_space(title[length - 1]))
                length--;
        if (!length)
                return;
        text_out_blank(out);
        put_raw(out, (char)level);
        for (size_t i = 0; i < length; i++) {
                gap = gap || is_space(title[i]);
                if (is_space(title[i]))
                        continue;
                if (gap)
                        put(out, ' ');
                gap = false;
                put(out, title[i]);
        }
        text_out_blank(out);
}
