/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text out of what a search engine calls a title or a snippet: HTML with highlighting from
 * one, plain text from another, and nothing that says which.
 *
 * libgumbo reads it as a browser would. A tag that HTML does not know and that has no attributes
 * is most likely not meant as one ("vector<int>") and stays. What goes in is short, which bounds
 * depth and work. */
#include <gumbo.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "websearch/websearch_internal.h"

enum { HTML_MAX = 2048 };

/* Tags that run on within a line; all others part words. */
static const unsigned char runs_on[GUMBO_TAG_LAST] = {
        [GUMBO_TAG_A] = 1,       [GUMBO_TAG_ABBR] = 1,   [GUMBO_TAG_B] = 1,
        [GUMBO_TAG_BDI] = 1,     [GUMBO_TAG_BDO] = 1,    [GUMBO_TAG_BIG] = 1,
        [GUMBO_TAG_CITE] = 1,    [GUMBO_TAG_CODE] = 1,   [GUMBO_TAG_DFN] = 1,
        [GUMBO_TAG_EM] = 1,      [GUMBO_TAG_FONT] = 1,   [GUMBO_TAG_I] = 1,
        [GUMBO_TAG_KBD] = 1,     [GUMBO_TAG_MARK] = 1,   [GUMBO_TAG_Q] = 1,
        [GUMBO_TAG_S] = 1,       [GUMBO_TAG_SAMP] = 1,   [GUMBO_TAG_SMALL] = 1,
        [GUMBO_TAG_SPAN] = 1,    [GUMBO_TAG_STRIKE] = 1, [GUMBO_TAG_SUB] = 1,
        [GUMBO_TAG_SUP] = 1,     [GUMBO_TAG_STRONG] = 1, [GUMBO_TAG_TIME] = 1,
        [GUMBO_TAG_TT] = 1,      [GUMBO_TAG_U] = 1,      [GUMBO_TAG_VAR] = 1,
        [GUMBO_TAG_WBR] = 1,     [GUMBO_TAG_INS] = 1,    [GUMBO_TAG_DEL] = 1,
        [GUMBO_TAG_UNKNOWN] = 1,
};

static bool parts_words(utf8proc_int32_t c)
{
        utf8proc_category_t category = utf8proc_category(c);

        return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
               category == UTF8PROC_CATEGORY_ZP || category == UTF8PROC_CATEGORY_CC;
}

void websearch_squeeze(struct buffer *out, const char *text, size_t length)
{
        bool space = false;

        for (size_t i = 0; i < length;) {
                size_t step = utf8_sequence(text + i, length - i);
                utf8proc_int32_t c = ' ';

                if (step > 0)
                        utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)step,
                                         &c);
                if (step == 0 || parts_words(c)) {
                        space = true;
                } else {
                        if (space && out->length > 0)
                                buffer_char(out, ' ');
                        space = false;
                        buffer_append(out, text + i, step);
                }
                i += step ? step : 1;
        }
}

/* What is in there is not for reading. */
static const unsigned char hides[GUMBO_TAG_LAST] = {
        [GUMBO_TAG_SCRIPT] = 1, [GUMBO_TAG_STYLE] = 1,   [GUMBO_TAG_TEMPLATE] = 1,
        [GUMBO_TAG_IFRAME] = 1, [GUMBO_TAG_NOEMBED] = 1, [GUMBO_TAG_NOFRAMES] = 1,
};

static void write_tag(struct buffer *out, const GumboElement *element)
{
        if (element->tag != GUMBO_TAG_UNKNOWN)
                buffer_text(out, runs_on[element->tag] ? "" : " ");
        else if (element->attributes.length == 0)
                buffer_append(out, element->original_tag.data, element->original_tag.length);
}

/* The node after `node` in reading order, without what is below it; NULL at the end. */
static const GumboNode *skip(const GumboNode *node, const GumboNode *root, struct buffer *out)
{
        while (node != root) {
                const GumboVector *siblings = &node->parent->v.element.children;

                if (node->type == GUMBO_NODE_ELEMENT && !runs_on[node->v.element.tag])
                        buffer_char(out, ' ');
                if (node->index_within_parent + 1 < siblings->length)
                        return siblings->data[node->index_within_parent + 1];
                node = node->parent;
        }
        return NULL;
}

static void write_node(struct buffer *out, const GumboNode *node)
{
        switch (node->type) {
        case GUMBO_NODE_TEXT:
        case GUMBO_NODE_CDATA:
        case GUMBO_NODE_WHITESPACE:
                buffer_text(out, node->v.text.text);
                break;
        case GUMBO_NODE_ELEMENT:
                write_tag(out, &node->v.element);
                break;
        case GUMBO_NODE_COMMENT:
        case GUMBO_NODE_DOCUMENT:
        case GUMBO_NODE_TEMPLATE:
                break;
        }
}

static void write_tree(struct buffer *out, const GumboNode *root)
{
        const GumboNode *node = root;

        while (node) {
                bool is_element = node->type == GUMBO_NODE_ELEMENT;

                if (node != root)
                        write_node(out, node);
                if (is_element && !hides[node->v.element.tag] &&
                    node->v.element.children.length > 0)
                        node = node->v.element.children.data[0];
                else
                        node = skip(node, root, out);
        }
}

static void read_html(struct buffer *out, const char *html, size_t length)
{
        GumboOptions options = kGumboDefaultOptions;

        options.max_errors = 0;
        options.fragment_context = GUMBO_TAG_DIV;
        GumboOutput *tree = gumbo_parse_with_options(&options, html, length);

        write_tree(out, tree->root);
        gumbo_destroy_output(&options, tree);
}

size_t websearch_cut(const struct buffer *line, size_t max)
{
        size_t length = utf8_floor(buffer_string(line), line->length, max);

        return length > 0 && line->data[length - 1] == ' ' ? length - 1 : length;
}

char *websearch_plain_text(const void *ctx, const char *html, size_t max)
{
        size_t length = strlen(html);
        size_t taken = max < HTML_MAX / 4 ? max * 4 : HTML_MAX;
        SCOPED_MEM void *scratch = mem_root();
        struct buffer text = BUFFER_INIT(scratch, (size_t)4 * HTML_MAX);
        struct buffer line = BUFFER_INIT(scratch, (size_t)4 * HTML_MAX);

        if (length > taken)
                length = utf8_floor(html, length, taken);
        if (memchr(html, '<', length) || memchr(html, '&', length))
                read_html(&text, html, length);
        else
                buffer_append(&text, html, length);
        websearch_squeeze(&line, buffer_string(&text), text.length);
        return mem_strndup(ctx, buffer_string(&line), websearch_cut(&line, max));
}
