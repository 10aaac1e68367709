/* SPDX-License-Identifier: Apache-2.0 */
/* HTML by libgumbo: what a person would read, with headings, list items and table rows kept apart.
 *
 * The tree is walked without recursion, as its depth is chosen by the file. Gumbo's memory comes
 * from the context and goes with it, because Gumbo's own destructor recurses. */
#include <gumbo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "document/html_depth.h"
#include "document/reader.h"

enum { HEADING_BYTES_MAX = 1024, LISTS_MAX = 32 };

enum role {
        ROLE_INLINE,
        ROLE_SKIP,
        ROLE_PARAGRAPH, /* blank lines around it */
        ROLE_LINE,      /* begins and ends a line */
        ROLE_HEADING,
        ROLE_BREAK,
        ROLE_PRE,
        ROLE_LIST,
        ROLE_ITEM,
        ROLE_ROW,
        ROLE_CELL,
};

static const unsigned char roles[GUMBO_TAG_LAST] = {
        [GUMBO_TAG_HEAD] = ROLE_SKIP,
        [GUMBO_TAG_SCRIPT] = ROLE_SKIP,
        [GUMBO_TAG_STYLE] = ROLE_SKIP,
        [GUMBO_TAG_NAV] = ROLE_SKIP,
        [GUMBO_TAG_TEMPLATE] = ROLE_SKIP,
        [GUMBO_TAG_NOSCRIPT] = ROLE_SKIP,
        [GUMBO_TAG_IFRAME] = ROLE_SKIP,
        [GUMBO_TAG_OBJECT] = ROLE_SKIP,
        [GUMBO_TAG_SVG] = ROLE_SKIP,
        [GUMBO_TAG_SELECT] = ROLE_SKIP,
        [GUMBO_TAG_BUTTON] = ROLE_SKIP,
        [GUMBO_TAG_P] = ROLE_PARAGRAPH,
        [GUMBO_TAG_DIV] = ROLE_PARAGRAPH,
        [GUMBO_TAG_SECTION] = ROLE_PARAGRAPH,
        [GUMBO_TAG_ARTICLE] = ROLE_PARAGRAPH,
        [GUMBO_TAG_ASIDE] = ROLE_PARAGRAPH,
        [GUMBO_TAG_HEADER] = ROLE_PARAGRAPH,
        [GUMBO_TAG_FOOTER] = ROLE_PARAGRAPH,
        [GUMBO_TAG_MAIN] = ROLE_PARAGRAPH,
        [GUMBO_TAG_ADDRESS] = ROLE_PARAGRAPH,
        [GUMBO_TAG_BLOCKQUOTE] = ROLE_PARAGRAPH,
        [GUMBO_TAG_FIGURE] = ROLE_PARAGRAPH,
        [GUMBO_TAG_FIELDSET] = ROLE_PARAGRAPH,
        [GUMBO_TAG_FORM] = ROLE_PARAGRAPH,
        [GUMBO_TAG_HR] = ROLE_PARAGRAPH,
        [GUMBO_TAG_TABLE] = ROLE_PARAGRAPH,
        [GUMBO_TAG_DL] = ROLE_PARAGRAPH,
        [GUMBO_TAG_DETAILS] = ROLE_PARAGRAPH,
        [GUMBO_TAG_CENTER] = ROLE_PARAGRAPH,
        [GUMBO_TAG_FIGCAPTION] = ROLE_LINE,
        [GUMBO_TAG_CAPTION] = ROLE_LINE,
        [GUMBO_TAG_SUMMARY] = ROLE_LINE,
        [GUMBO_TAG_DT] = ROLE_LINE,
        [GUMBO_TAG_DD] = ROLE_LINE,
        [GUMBO_TAG_H1] = ROLE_HEADING,
        [GUMBO_TAG_H2] = ROLE_HEADING,
        [GUMBO_TAG_H3] = ROLE_HEADING,
        [GUMBO_TAG_H4] = ROLE_HEADING,
        [GUMBO_TAG_H5] = ROLE_HEADING,
        [GUMBO_TAG_H6] = ROLE_HEADING,
        [GUMBO_TAG_BR] = ROLE_BREAK,
        [GUMBO_TAG_PRE] = ROLE_PRE,
        [GUMBO_TAG_UL] = ROLE_LIST,
        [GUMBO_TAG_OL] = ROLE_LIST,
        [GUMBO_TAG_LI] = ROLE_ITEM,
        [GUMBO_TAG_TR] = ROLE_ROW,
        [GUMBO_TAG_TD] = ROLE_CELL,
        [GUMBO_TAG_TH] = ROLE_CELL,
};

struct html {
        struct text_out *out;
        struct buffer title; /* of the heading being read */
        unsigned headings;   /* how deep in headings, <pre>s, cells */
        unsigned pres, cells;
        unsigned lists;
        unsigned items[LISTS_MAX]; /* of each open list so far; 0: a list without numbers */
        bool space;                /* due before the next word */
        char mark[16];             /* due at the start of the next line: "- ", "3. " */
};

/* --- Text --------------------------------------------------------------------------------------*/
static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static void write_bytes(struct html *html, const char *text, size_t length)
{
        if (html->headings)
                buffer_append(&html->title, text, length);
        else
                text_out_bytes(html->out, text, length);
}

/* Before anything is written outside headings. */
static void write_mark(struct html *html)
{
        if (!*html->mark || html->headings)
                return;
        text_out_string(html->out, html->mark);
        *html->mark = '\0';
        html->space = false;
}

static void write_words(struct html *html, const char *text)
{
        while (*text) {
                size_t word = 0;

                while (is_space(*text)) {
                        html->space = true;
                        text++;
                }
                while (text[word] && !is_space(text[word]))
                        word++;
                if (!word)
                        return;
                write_mark(html);
                if (html->space && (html->headings || !html->out->newlines))
                        write_bytes(html, " ", 1);
                html->space = false;
                write_bytes(html, text, word);
                text += word;
        }
}

static void write_text(struct html *html, const char *text)
{
        if (html->pres && !html->headings) {
                write_mark(html);
                text_out_string(html->out, text);
        } else {
                write_words(html, text);
        }
}

/* --- Elements ----------------------------------------------------------------------------------*/
static enum role role_of(const GumboNode *node)
{
        return (enum role)roles[node->v.element.tag];
}

/* Old pages are laid out by tables: a cell with blocks in it is no cell of a row. */
static bool holds_blocks(const GumboNode *cell)
{
        const GumboVector *children = &cell->v.element.children;

        for (unsigned i = 0; i < children->length; i++) {
                const GumboNode *child = children->data[i];

                if (child->type == GUMBO_NODE_ELEMENT && role_of(child) >= ROLE_PARAGRAPH &&
                    role_of(child) != ROLE_BREAK && child->v.element.tag != GUMBO_TAG_P)
                        return true;
        }
        return false;
}

/* Inside a heading or a cell, blocks only separate words. */
static void separate(struct html *html, bool blank)
{
        html->space = true;
        if (html->headings || html->cells)
                return;
        if (blank && !*html->mark)
                text_out_blank(html->out);
        else
                text_out_line(html->out);
}

static void begin_item(struct html *html)
{
        unsigned *number =
                html->lists && html->lists <= LISTS_MAX ? &html->items[html->lists - 1] : NULL;

        separate(html, false);
        if (number && *number)
                snprintf(html->mark, sizeof(html->mark), "%u. ", (*number)++);
        else
                memcpy(html->mark, "- ", sizeof("- "));
}

static void begin_list(struct html *html, const GumboNode *node)
{
        separate(html, html->lists == 0);
        if (html->lists < LISTS_MAX)
                html->items[html->lists] = node->v.element.tag == GUMBO_TAG_OL ? 1 : 0;
        html->lists++;
}

static void begin_cell(struct html *html, const GumboNode *node)
{
        if (holds_blocks(node)) {
                separate(html, true);
                return;
        }
        if (!html->cells && !html->out->newlines)
                text_out_string(html->out, " |");
        html->space = true;
        html->cells++;
}

static void begin_heading(struct html *html)
{
        if (html->headings++ == 0)
                buffer_clear(&html->title);
        html->space = false;
}

static void end_heading(struct html *html, const GumboNode *node)
{
        unsigned level = (unsigned)(node->v.element.tag - GUMBO_TAG_H1) + 1;

        if (--html->headings == 0)
                text_out_heading(html->out, level, buffer_string(&html->title), html->title.length);
        html->space = false;
}

static void begin_element(struct html *html, const GumboNode *node)
{
        switch (role_of(node)) {
        case ROLE_INLINE:
        case ROLE_SKIP:
                return;
        case ROLE_PARAGRAPH:
                separate(html, true);
                return;
        case ROLE_LINE:
        case ROLE_BREAK:
        case ROLE_ROW:
                separate(html, false);
                return;
        case ROLE_HEADING:
                begin_heading(html);
                return;
        case ROLE_PRE:
                separate(html, true);
                html->pres++;
                return;
        case ROLE_LIST:
                begin_list(html, node);
                return;
        case ROLE_ITEM:
                begin_item(html);
                return;
        case ROLE_CELL:
                begin_cell(html, node);
                return;
        }
}

static void end_element(struct html *html, const GumboNode *node)
{
        switch (role_of(node)) {
        case ROLE_INLINE:
        case ROLE_SKIP:
        case ROLE_BREAK:
                return;
        case ROLE_PARAGRAPH:
                separate(html, true);
                return;
        case ROLE_ITEM:
                *html->mark = '\0';
                separate(html, false);
                return;
        case ROLE_LINE:
        case ROLE_ROW:
                separate(html, false);
                return;
        case ROLE_HEADING:
                end_heading(html, node);
                return;
        case ROLE_PRE:
                html->pres--;
                separate(html, true);
                return;
        case ROLE_LIST:
                html->lists--;
                separate(html, html->lists == 0);
                return;
        case ROLE_CELL:
                if (holds_blocks(node))
                        separate(html, true);
                else
                        html->cells--;
                return;
        }
}

/* --- The walk ----------------------------------------------------------------------------------*/
static bool is_skipped(const GumboNode *node)
{
        return role_of(node) == ROLE_SKIP || node->type == GUMBO_NODE_TEMPLATE ||
               gumbo_get_attribute(&node->v.element.attributes, "hidden");
}

/* Reads a node; its first child if the walk is to go into it. */
static const GumboNode *enter(struct html *html, const GumboNode *node)
{
        switch (node->type) {
        case GUMBO_NODE_TEXT:
        case GUMBO_NODE_WHITESPACE:
        case GUMBO_NODE_CDATA:
                write_text(html, node->v.text.text);
                return NULL;
        case GUMBO_NODE_ELEMENT:
        case GUMBO_NODE_TEMPLATE:
                if (is_skipped(node))
                        return NULL;
                begin_element(html, node);
                if (node->v.element.children.length)
                        return node->v.element.children.data[0];
                end_element(html, node);
                return NULL;
        case GUMBO_NODE_DOCUMENT:
        case GUMBO_NODE_COMMENT:
                return NULL;
        }
        return NULL;
}

/* The node after `node` once its children are done: its sibling, or that of an ancestor. */
static const GumboNode *leave(struct html *html, const GumboNode *node, const GumboNode *root)
{
        while (node != root) {
                const GumboNode *parent = node->parent;
                size_t next = node->index_within_parent + 1;

                if (next < parent->v.element.children.length)
                        return parent->v.element.children.data[next];
                end_element(html, parent);
                node = parent;
        }
        return NULL;
}

static void walk(struct html *html, const GumboNode *root)
{
        const GumboNode *node = root;

        while (node && !html->out->closed) {
                const GumboNode *child = enter(html, node);

                node = child ? child : leave(html, node, root);
        }
}

static const GumboNode *find_child(const GumboNode *node, GumboTag tag)
{
        const GumboVector *children = &node->v.element.children;

        for (unsigned i = 0; i < children->length; i++) {
                const GumboNode *child = children->data[i];

                if (child->type == GUMBO_NODE_ELEMENT && child->v.element.tag == tag)
                        return child;
        }
        return NULL;
}

static void write_title(struct html *html, const GumboNode *root)
{
        const GumboNode *head = find_child(root, GUMBO_TAG_HEAD);
        const GumboNode *title = head ? find_child(head, GUMBO_TAG_TITLE) : NULL;
        const GumboNode *text;

        if (!title || !title->v.element.children.length)
                return;
        text = title->v.element.children.data[0];
        if (text->type == GUMBO_NODE_TEXT)
                text_out_heading(html->out, 1, text->v.text.text, strlen(text->v.text.text));
}

static void *allocate(void *ctx, size_t size)
{
        void *block = talloc_size(ctx, size);

        if (!block) { /* Gumbo would use it */
                fputs("flowgenix: out of memory\n", stderr);
                abort();
        }
        return block;
}

static void release(void *ctx, void *block)
{
        (void)ctx;
        mem_free(block);
}

enum status read_html(const void *ctx, const char *data, size_t length, struct text_out *out,
                      struct error *err)
{
        SCOPED_MEM void *memory = mem_root();
        GumboOptions options = kGumboDefaultOptions;
        struct html html = {.out = out, .title = BUFFER_INIT(ctx, HEADING_BYTES_MAX)};
        const GumboOutput *tree;
        const char *text;

        if (reader_decode(ctx, data, length, &text, &length, err))
                return err->status;
        if (html_is_too_deep(text, length))
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "the HTML is refused: its elements are nested too deep");
        options.max_errors = 0;
        options.allocator = allocate;
        options.deallocator = release;
        options.userdata = memory;
        tree = gumbo_parse_with_options(&options, text, length);
        if (!tree)
                return error_set(err, STATUS_UNPROCESSABLE, "the HTML could not be read");
        write_title(&html, tree->root);
        walk(&html, tree->root);
        return STATUS_OK;
}
