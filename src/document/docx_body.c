/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a document, footnotes or endnotes part: paragraphs, headings by style or outline
 * level, list items, tables a line a row. What Word shows as deleted or keeps for old versions of
 * itself is left out. */
#include <stdlib.h>
#include <string.h>

#include "document/docx_part.h"

enum { PARAGRAPH_BYTES_MAX = 64 * 1024, BASED_ON_MAX = 10 };

struct body {
        const struct docx_styles *styles;
        struct text_out *out;
        struct buffer paragraph;
        unsigned level; /* of the paragraph as a heading, or 0 */
        bool item, in_text;
        unsigned tables, cells; /* open ones */
        bool row_begun, cell_begun;
};

static const struct docx_style *find_style(const struct docx_styles *styles, const char *id)
{
        for (size_t i = 0; i < styles->count; i++) {
                if (strcmp(styles->items[i].id, id) == 0)
                        return &styles->items[i];
        }
        return NULL;
}

/* A style may take its level from the one that it is based on. */
static unsigned level_of_style(const struct docx_styles *styles, const char *id)
{
        const struct docx_style *style = NULL;

        for (int i = 0; id && i < BASED_ON_MAX; i++) {
                style = find_style(styles, id);
                if (!style || style->level)
                        break;
                id = style->based_on;
        }
        return style ? style->level : 0;
}

/* In a cell, paragraphs follow each other on the row's line. */
static void write_in_cell(struct body *body)
{
        if (!body->paragraph.length)
                return;
        if (body->cell_begun)
                text_out_string(body->out, " ");
        body->cell_begun = true;
        text_out_bytes(body->out, buffer_string(&body->paragraph), body->paragraph.length);
}

static void write_paragraph(struct body *body)
{
        const char *text = buffer_string(&body->paragraph);

        if (body->cells) {
                write_in_cell(body);
                return;
        }
        if (body->level) {
                text_out_heading(body->out, body->level, text, body->paragraph.length);
                return;
        }
        if (body->item && body->paragraph.length)
                text_out_string(body->out, "- ");
        text_out_bytes(body->out, text, body->paragraph.length);
        if (body->item)
                text_out_line(body->out);
        else
                text_out_blank(body->out);
}

static void end_paragraph(struct body *body)
{
        write_paragraph(body);
        buffer_clear(&body->paragraph);
        body->level = 0;
        body->item = false;
}

/* A paragraph too long to be held is no heading; its beginning goes out as it is. */
static void append(struct body *body, const char *text, size_t length)
{
        if (body->paragraph.length + length > PARAGRAPH_BYTES_MAX) {
                text_out_bytes(body->out, buffer_string(&body->paragraph), body->paragraph.length);
                buffer_clear(&body->paragraph);
                body->level = 0;
        }
        if (length > PARAGRAPH_BYTES_MAX)
                text_out_bytes(body->out, text, length);
        else
                buffer_append(&body->paragraph, text, length);
}

static void begin_row(struct body *body)
{
        if (body->tables > 1)
                return;
        text_out_line(body->out);
        body->row_begun = false;
}

static void begin_cell(struct body *body)
{
        if (body->cells++ > 0)
                return;
        if (body->row_begun)
                text_out_string(body->out, " | ");
        body->row_begun = true;
        body->cell_begun = false;
}

static void begin_table(struct body *body)
{
        if (body->tables++ == 0)
                text_out_blank(body->out);
}

static void set_level(struct body *body, const char *name, const char *value)
{
        if (strcmp(name, "pStyle") == 0)
                body->level = level_of_style(body->styles, value);
        else if (value[0] >= '0' && value[0] <= '5' && !value[1])
                body->level = (unsigned)(value[0] - '0') + 1;
}

static bool is_any(const char *name, const char *const *names)
{
        for (; *names; names++) {
                if (strcmp(name, *names) == 0)
                        return true;
        }
        return false;
}

/* Elements that stand for a character, or are left out. */
static bool start_inline(struct docx_part *part, const char *name)
{
        static const char *const breaks[] = {"br", "cr", NULL};
        static const char *const left_out[] = {"Fallback", "moveFrom",  "del", "rPrChange",
                                               "tabs",     "pPrChange", NULL};
        struct body *body = part->arg;

        if (strcmp(name, "t") == 0)
                body->in_text = true;
        else if (strcmp(name, "tab") == 0)
                append(body, "\t", 1);
        else if (strcmp(name, "noBreakHyphen") == 0)
                append(body, "-", 1);
        else if (is_any(name, breaks))
                append(body, body->cells ? " " : "\n", 1);
        else if (is_any(name, left_out))
                part->skip = part->depth;
        else
                return false;
        return true;
}

static void body_start(struct docx_part *part, const char *name, const char **attributes)
{
        struct body *body = part->arg;
        const char *value = docx_attribute(attributes, "val");

        if (start_inline(part, name))
                return;
        if (strcmp(name, "p") == 0 && body->paragraph.length)
                end_paragraph(body); /* a text box inside a paragraph */
        else if ((strcmp(name, "pStyle") == 0 || strcmp(name, "outlineLvl") == 0) && value)
                set_level(body, name, value);
        else if (strcmp(name, "numPr") == 0)
                body->item = true;
        else if (strcmp(name, "tbl") == 0)
                begin_table(body);
        else if (strcmp(name, "tr") == 0)
                begin_row(body);
        else if (strcmp(name, "tc") == 0)
                begin_cell(body);
}

static void body_end(struct docx_part *part, const char *name)
{
        struct body *body = part->arg;

        if (strcmp(name, "t") == 0)
                body->in_text = false;
        else if (strcmp(name, "p") == 0)
                end_paragraph(body);
        else if (strcmp(name, "tc") == 0 && body->cells)
                body->cells--;
        else if (strcmp(name, "tbl") == 0 && body->tables && --body->tables == 0)
                text_out_blank(body->out);
}

static void body_text(struct docx_part *part, const char *text, size_t length)
{
        struct body *body = part->arg;

        if (body->in_text)
                append(body, text, length);
}

struct docx_part *docx_part_body(const void *ctx, const struct docx_styles *styles,
                                 struct text_out *out)
{
        struct docx_part *part = docx_part_new(ctx);
        struct body *body = mem_new(part, struct body);

        body->styles = styles;
        body->out = out;
        body->paragraph = BUFFER_INIT(body, (size_t)2 * PARAGRAPH_BYTES_MAX);
        part->start = body_start;
        part->end = body_end;
        part->text = body_text;
        part->arg = body;
        return part;
}
