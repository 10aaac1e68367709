/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of the package is the document, and which paragraph styles are headings. */
#include <stdlib.h>
#include <string.h>

#include "document/docx_part.h"

/* --- Relations ---------------------------------------------------------------------------------*/
static bool ends_with(const char *text, const char *ending)
{
        size_t length = strlen(text), size = strlen(ending);

        return length >= size && strcmp(text + length - size, ending) == 0;
}

static void relation_start(struct docx_part *part, const char *name, const char **attributes)
{
        char **main = part->arg;
        const char *type = docx_attribute(attributes, "Type");
        const char *target = docx_attribute(attributes, "Target");

        if (*main || strcmp(name, "Relationship") != 0 || !type || !target ||
            !ends_with(type, "/officeDocument"))
                return;
        *main = mem_strdup(part, *target == '/' ? target + 1 : target);
}

static void ignore_end(struct docx_part *part, const char *name)
{
        (void)part;
        (void)name;
}

struct docx_part *docx_part_relations(const void *ctx, char **ret_main)
{
        struct docx_part *part = docx_part_new(ctx);

        *ret_main = NULL;
        part->start = relation_start;
        part->end = ignore_end;
        part->arg = ret_main;
        return part;
}

/* --- Styles ------------------------------------------------------------------------------------*/
/* Built-in styles keep their English names in every language of Word. */
static unsigned level_of_name(const char *name)
{
        if (strcasecmp(name, "title") == 0)
                return 1;
        if (strncasecmp(name, "heading ", 8) == 0 && name[8] >= '1' && name[8] <= '6' && !name[9])
                return (unsigned)(name[8] - '0');
        return 0;
}

static unsigned level_of_outline(const char *value)
{
        return value[0] >= '0' && value[0] <= '5' && !value[1] ? (unsigned)(value[0] - '0') + 1 : 0;
}

static void style_start(struct docx_part *part, const char *name, const char **attributes)
{
        struct docx_styles *styles = part->arg;
        struct docx_style *style = styles->count ? &styles->items[styles->count - 1] : NULL;
        const char *value = docx_attribute(attributes, "val");
        const char *id = docx_attribute(attributes, "styleId");

        if (strcmp(name, "style") == 0 && id && styles->count < DOCX_STYLES_MAX)
                styles->items[styles->count++].id = mem_strdup(part, id);
        if (!style || !value)
                return;
        if (strcmp(name, "name") == 0 && !style->level)
                style->level = level_of_name(value);
        else if (strcmp(name, "outlineLvl") == 0)
                style->level = level_of_outline(value);
        else if (strcmp(name, "basedOn") == 0)
                style->based_on = mem_strdup(part, value);
}

struct docx_part *docx_part_styles(const void *ctx, struct docx_styles *styles)
{
        struct docx_part *part = docx_part_new(ctx);

        styles->count = 0;
        styles->items = mem_array(part, struct docx_style, DOCX_STYLES_MAX);
        part->start = style_start;
        part->end = ignore_end;
        part->arg = styles;
        return part;
}
