/* SPDX-License-Identifier: Apache-2.0 */
#include "document/test_files.h"

#include <assert.h>
#include <string.h>
#include <zip.h>

#include "base/buffer.h"

enum { FILE_MAX = 256 * 1024 * 1024 };

static struct bytes bytes_of(const struct buffer *buffer)
{
        assert(!buffer->overflow);
        return (struct bytes){buffer->data, buffer->length};
}

/* --- PDF ---------------------------------------------------------------------------------------*/
struct pdf {
        struct buffer out;
        size_t *offsets;
        size_t objects;
};

static struct pdf pdf_begin(const void *ctx, size_t objects)
{
        struct pdf pdf = {.out = BUFFER_INIT(ctx, FILE_MAX)};

        pdf.offsets = mem_array(ctx, size_t, objects + 1);
        buffer_text(&pdf.out, "%PDF-1.4\n");
        return pdf;
}

static void pdf_object(struct pdf *pdf)
{
        pdf->offsets[++pdf->objects] = pdf->out.length;
        buffer_printf(&pdf->out, "%zu 0 obj\n", pdf->objects);
}

static struct bytes pdf_end(struct pdf *pdf, const char *trailer)
{
        size_t start = pdf->out.length;

        buffer_printf(&pdf->out, "xref\n0 %zu\n0000000000 65535 f \n", pdf->objects + 1);
        for (size_t i = 1; i <= pdf->objects; i++)
                buffer_printf(&pdf->out, "%010zu 00000 n \n", pdf->offsets[i]);
        buffer_printf(&pdf->out, "trailer <</Size %zu/Root 1 0 R%s>>\nstartxref\n%zu\n%%%%EOF\n",
                      pdf->objects + 1, trailer, start);
        return bytes_of(&pdf->out);
}

static void pdf_content(struct buffer *content, const char *text)
{
        buffer_text(content, "BT /F 11 Tf 14 TL 40 780 Td ");
        while (text && *text) {
                size_t line = strcspn(text, "\n");

                buffer_char(content, '(');
                for (size_t i = 0; i < line; i++) {
                        if (strchr("()\\", text[i]))
                                buffer_char(content, '\\');
                        buffer_char(content, text[i]);
                }
                buffer_text(content, ") Tj T*\n");
                text += line + (text[line] == '\n');
        }
        buffer_text(content, "ET");
}

static void pdf_stream(struct pdf *pdf, const struct buffer *content)
{
        pdf_object(pdf);
        buffer_printf(&pdf->out, "<</Length %zu>>\nstream\n", content->length);
        buffer_append(&pdf->out, content->data, content->length);
        buffer_text(&pdf->out, "\nendstream\nendobj\n");
}

static void pdf_page(struct pdf *pdf, const void *ctx, const char *text)
{
        struct buffer content = BUFFER_INIT(ctx, FILE_MAX);

        pdf_content(&content, text);
        pdf_object(pdf);
        buffer_printf(&pdf->out,
                      "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %zu 0 R"
                      "/Resources<</Font<</F 3 0 R>>>>>>\nendobj\n",
                      pdf->objects + 1);
        pdf_stream(pdf, &content);
        buffer_release(&content);
}

static void pdf_head(struct pdf *pdf, size_t pages)
{
        pdf_object(pdf);
        buffer_text(&pdf->out, "<</Type/Catalog/Pages 2 0 R>>\nendobj\n");
        pdf_object(pdf);
        buffer_printf(&pdf->out, "<</Type/Pages/Count %zu/Kids[", pages);
        for (size_t i = 0; i < pages; i++)
                buffer_printf(&pdf->out, "%zu 0 R ", 4 + 2 * i);
        buffer_text(&pdf->out, "]>>\nendobj\n");
        pdf_object(pdf);
        buffer_text(&pdf->out, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>\nendobj\n");
}

struct bytes pdf_new(const void *ctx, const char *const *pages, size_t count)
{
        struct pdf pdf = pdf_begin(ctx, 3 + 2 * count);

        pdf_head(&pdf, count);
        for (size_t i = 0; i < count; i++)
                pdf_page(&pdf, ctx, pages[i]);
        return pdf_end(&pdf, "");
}

struct bytes pdf_of_pages(const void *ctx, size_t count)
{
        struct pdf pdf = pdf_begin(ctx, 3 + 2 * count);
        char text[64];

        pdf_head(&pdf, count);
        for (size_t i = 0; i < count; i++) {
                snprintf(text, sizeof(text), "Page %zu of the test.", i + 1);
                pdf_page(&pdf, ctx, text);
        }
        return pdf_end(&pdf, "");
}

struct bytes pdf_encrypted(const void *ctx)
{
        struct pdf pdf = pdf_begin(ctx, 6);

        pdf_head(&pdf, 1);
        pdf_page(&pdf, ctx, "Nobody reads this.");
        return pdf_end(&pdf,
                       "/ID[<00112233445566778899AABBCCDDEEFF><00112233445566778899AABBCCDDEEFF>]"
                       "/Encrypt<</Filter/Standard/V 1/R 2/P -44"
                       "/O<0102030405060708091011121314151617181920212223242526272829303132>"
                       "/U<3231302928272625242322212019181716151413121110090807060504030201>>>");
}

struct bytes pdf_slow(const void *ctx, size_t operators)
{
        struct buffer content = BUFFER_INIT(ctx, FILE_MAX);
        struct pdf pdf = pdf_begin(ctx, 6);

        buffer_text(&content, "BT /F 11 Tf ");
        for (size_t i = 0; i < operators; i++)
                buffer_printf(&content, "1 0 0 1 %zu %zu Tm (word%zu) Tj\n", i % 500,
                              (i * 7919) % 800, i);
        buffer_text(&content, "ET");
        pdf_head(&pdf, 1);
        pdf_object(&pdf);
        buffer_text(&pdf.out, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 5 0 R"
                              "/Resources<</Font<</F 3 0 R>>>>>>\nendobj\n");
        pdf_stream(&pdf, &content);
        return pdf_end(&pdf, "");
}

/* --- ZIP and DOCX ------------------------------------------------------------------------------*/
static void add_member(zip_t *zip, const struct member *member)
{
        size_t length = member->length ? member->length : strlen(member->data);
        zip_source_t *source = zip_source_buffer(zip, member->data, length, 0);
        zip_int64_t index = zip_file_add(zip, member->name, source, ZIP_FL_ENC_UTF_8);

        assert(index >= 0);
        (void)index;
}

static struct bytes read_source(const void *ctx, zip_source_t *source)
{
        struct bytes bytes = {0};
        zip_stat_t stat;

        if (zip_source_stat(source, &stat) || zip_source_open(source))
                return bytes;
        bytes.data = mem_array(ctx, char, stat.size);
        bytes.length = (size_t)zip_source_read(source, bytes.data, stat.size);
        zip_source_close(source);
        return bytes;
}

struct bytes zip_new(const void *ctx, const struct member *members, size_t count)
{
        zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, NULL);
        zip_t *zip = zip_open_from_source(source, ZIP_TRUNCATE, NULL);
        struct bytes bytes;

        assert(zip);
        for (size_t i = 0; i < count; i++)
                add_member(zip, &members[i]);
        zip_source_keep(source);
        if (zip_close(zip))
                zip_discard(zip);
        bytes = read_source(ctx, source);
        zip_source_free(source);
        return bytes;
}

#define TYPES "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>"
#define RELATIONS                                                                                  \
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">"   \
        "<Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/"    \
        "relationships/officeDocument\" Target=\"word/document.xml\"/></Relationships>"
#define NAMESPACE "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\""

struct bytes docx_of(const void *ctx, const char *document_xml, size_t length)
{
        const struct member members[] = {
                {"[Content_Types].xml", TYPES, 0},
                {"_rels/.rels", RELATIONS, 0},
                {"word/document.xml", document_xml, length},
        };

        return zip_new(ctx, members, ARRAY_LENGTH(members));
}

struct bytes docx_new(const void *ctx, const char *body, const char *styles)
{
        const char *document = mem_printf(ctx,
                                          "<?xml version=\"1.0\"?><w:document " NAMESPACE
                                          "><w:body>%s</w:body></w:document>",
                                          body);
        const struct member members[] = {
                {"[Content_Types].xml", TYPES, 0},
                {"_rels/.rels", RELATIONS, 0},
                {"word/document.xml", document, 0},
                {"word/styles.xml",
                 mem_printf(ctx, "<w:styles " NAMESPACE ">%s</w:styles>", styles ? styles : ""), 0},
        };

        return zip_new(ctx, members, ARRAY_LENGTH(members));
}

char *repeated(const void *ctx, const char *text, size_t times, size_t *ret_length)
{
        size_t length = strlen(text);
        char *all = mem_array(ctx, char, length *times + 1);

        for (size_t i = 0; i < length * times; i++)
                all[i] = text[i % length];
        if (ret_length)
                *ret_length = length * times;
        return all;
}
