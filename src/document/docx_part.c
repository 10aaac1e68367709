/* SPDX-License-Identifier: Apache-2.0 */
/* Expat with what a hostile file could use switched off: a document type declaration ends the
 * parsing, so there are no entities to expand and nothing outside to fetch. */
#include "document/docx_part.h"

#include <string.h>

static const char *local_name(const char *name)
{
        const char *colon = strchr(name, ':');

        return colon ? colon + 1 : name;
}

const char *docx_attribute(const char **attributes, const char *name)
{
        for (; *attributes; attributes += 2) {
                if (strcmp(local_name(attributes[0]), name) == 0)
                        return attributes[1];
        }
        return NULL;
}

static void stop(struct docx_part *part, const char *why)
{
        part->refused = why;
        XML_StopParser(part->parser, XML_FALSE);
}

static void on_start(void *arg, const char *name, const char **attributes)
{
        struct docx_part *part = arg;

        if (++part->depth > DOCX_DEPTH_MAX)
                stop(part, "its XML is nested too deep");
        else if (!part->skip)
                part->start(part, local_name(name), attributes);
}

static void on_end(void *arg, const char *name)
{
        struct docx_part *part = arg;

        if (!part->skip)
                part->end(part, local_name(name));
        else if (part->skip == part->depth)
                part->skip = 0;
        part->depth--;
}

static void on_text(void *arg, const char *text, int length)
{
        struct docx_part *part = arg;

        if (!part->skip && part->text)
                part->text(part, text, (size_t)length);
}

static void on_doctype(void *arg, const char *name, const char *system, const char *public,
                       int internal)
{
        (void)name;
        (void)system;
        (void)public;
        (void)internal;
        stop(arg, "its XML has a document type declaration, which Word never writes");
}

static int part_destroy(struct docx_part *part)
{
        XML_ParserFree(part->parser);
        return 0;
}

struct docx_part *docx_part_new(const void *ctx)
{
        struct docx_part *part = mem_new(ctx, struct docx_part);

        part->parser = XML_ParserCreate(NULL);
        talloc_set_destructor(part, part_destroy);
        XML_SetUserData(part->parser, part);
        XML_SetElementHandler(part->parser, on_start, on_end);
        XML_SetCharacterDataHandler(part->parser, on_text);
        XML_SetStartDoctypeDeclHandler(part->parser, on_doctype);
        return part;
}

enum status docx_part_feed(struct docx_part *part, const char *data, size_t length, bool last,
                           struct error *err)
{
        if (XML_Parse(part->parser, data, (int)length, last) == XML_STATUS_OK)
                return STATUS_OK;
        if (part->refused)
                return error_set(err, STATUS_UNPROCESSABLE, "the Word document is refused: %s",
                                 part->refused);
        return error_set(
                err, STATUS_UNPROCESSABLE,
                "the Word document is damaged: its XML is not well-formed at line %lu (%s)",
                (unsigned long)XML_GetCurrentLineNumber(part->parser),
                XML_ErrorString(XML_GetErrorCode(part->parser)));
}
