/* SPDX-License-Identifier: Apache-2.0 */
/* Markdown: headings of both kinds become headings (CommonMark 0.31, sections 4.2 and 4.3), the
 * rest stays as it was typed. Nothing inside a code fence is a heading. */
#include <string.h>

#include "document/reader.h"

struct line {
        const char *text;
        size_t length; /* without the line end */
};

struct markdown {
        struct text_out *out;
        char fence; /* '`' or '~' while inside one */
        size_t fence_length;
        struct line held; /* may turn out to be a heading by the line below it */
        bool holding;
};

static size_t indent_of(struct line line)
{
        size_t indent = 0;

        while (indent < line.length && line.text[indent] == ' ')
                indent++;
        return indent;
}

static size_t run_of(struct line line, size_t from, char c)
{
        size_t run = 0;

        while (from + run < line.length && line.text[from + run] == c)
                run++;
        return run;
}

static bool is_blank(struct line line)
{
        for (size_t i = 0; i < line.length; i++) {
                if (line.text[i] != ' ' && line.text[i] != '\t')
                        return false;
        }
        return true;
}

static void write_line(struct markdown *md, struct line line)
{
        text_out_bytes(md->out, line.text, line.length);
        text_out_bytes(md->out, "\n", 1);
}

static void release(struct markdown *md)
{
        if (md->holding)
                write_line(md, md->held);
        md->holding = false;
}

/* "## Title ##" */
static bool atx_heading(struct markdown *md, struct line line)
{
        size_t from = indent_of(line), level = run_of(line, from, '#'), end = line.length;

        if (from > 3 || !level || level > 6)
                return false;
        if (from + level < line.length && line.text[from + level] != ' ' &&
            line.text[from + level] != '\t')
                return false;
        while (end > from + level && (line.text[end - 1] == ' ' || line.text[end - 1] == '\t'))
                end--;
        while (end > from + level && line.text[end - 1] == '#')
                end--;
        release(md);
        text_out_heading(md->out, (unsigned)level, line.text + from + level, end - from - level);
        return true;
}

/* "=====" or "-----" below a line of text. */
static bool underline(struct markdown *md, struct line line)
{
        size_t from = indent_of(line);
        char c = from < line.length ? line.text[from] : '\0';
        size_t run = c == '=' || c == '-' ? run_of(line, from, c) : 0;
        struct line rest = {line.text + from + run, line.length - from - run};

        if (!md->holding || from > 3 || !run || !is_blank(rest))
                return false;
        md->holding = false;
        text_out_heading(md->out, c == '=' ? 1 : 2, md->held.text, md->held.length);
        return true;
}

static bool fence_line(struct markdown *md, struct line line)
{
        size_t from = indent_of(line);
        char c = from < line.length ? line.text[from] : '\0';
        size_t run = c == '`' || c == '~' ? run_of(line, from, c) : 0;
        struct line rest = {line.text + from + run, line.length - from - run};

        if (from > 3 || run < 3)
                return false;
        if (!md->fence) {
                if (c == '`' && memchr(rest.text, '`', rest.length))
                        return false; /* code within a line */
                md->fence = c;
                md->fence_length = run;
        } else if (c == md->fence && run >= md->fence_length && is_blank(rest)) {
                md->fence = '\0';
        } else {
                return false;
        }
        release(md);
        write_line(md, line);
        return true;
}

/* A line that a row of dashes below would turn into a heading: a paragraph of its own line, no
 * list item, quotation or table row. */
static bool may_be_heading(const struct markdown *md, struct line line)
{
        size_t from = indent_of(line);

        return !md->holding && from <= 3 && md->out->newlines >= 2 && !is_blank(line) &&
               !strchr("-*+>|#", line.text[from]);
}

static void read_line(struct markdown *md, struct line line)
{
        if (fence_line(md, line))
                return;
        if (md->fence) {
                write_line(md, line);
                return;
        }
        if (atx_heading(md, line) || underline(md, line))
                return;
        if (may_be_heading(md, line)) {
                md->held = line;
                md->holding = true;
                return;
        }
        release(md);
        write_line(md, line);
}

enum status read_markdown(const void *ctx, const char *data, size_t length, struct text_out *out,
                          struct error *err)
{
        struct markdown md = {.out = out};
        const char *text, *end;

        if (reader_decode(ctx, data, length, &text, &length, err))
                return err->status;
        for (end = text + length; text < end && !out->closed;) {
                const char *newline = memchr(text, '\n', (size_t)(end - text));
                const char *stop = newline ? newline : end;
                struct line line = {text, (size_t)(stop - text)};

                if (line.length && line.text[line.length - 1] == '\r')
                        line.length--;
                read_line(&md, line);
                text = newline ? newline + 1 : end;
        }
        release(&md);
        return STATUS_OK;
}
