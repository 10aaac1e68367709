/* SPDX-License-Identifier: Apache-2.0 */
#include "document/format.h"

#include <string.h>

static const struct format formats[] = {
        {"application/pdf", "a PDF", "pdf", FORMAT_PDF, true, NULL},
        {"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
         "a Word document", "docx", FORMAT_ZIP, false, read_docx},
        {"text/plain", "plain text", "txt text log", FORMAT_TEXT, false, read_plain_text},
        {"text/markdown", "Markdown", "md markdown", FORMAT_TEXT, false, read_markdown},
        {"text/html", "HTML", "html htm xhtml", FORMAT_TEXT, false, read_html},
        {"text/csv", "CSV", "csv tsv", FORMAT_TEXT, false, read_csv},
};

const struct format *format_by_type(const char *content_type)
{
        for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
                if (strcmp(formats[i].content_type, content_type) == 0)
                        return &formats[i];
        }
        return NULL;
}

void format_probe_feed(struct format_probe *probe, const void *data, size_t length)
{
        const unsigned char *bytes = data;
        size_t room = sizeof(probe->head) - probe->held;
        size_t kept = length < room ? length : room;

        memcpy(probe->head + probe->held, data, kept);
        probe->held += kept;
        probe->length += length;
        for (size_t i = 0; i < length; i++) {
                probe->nul = probe->nul || bytes[i] == 0;
                probe->controls += bytes[i] < 0x20 && !strchr("\t\n\v\f\r\x1B", bytes[i]);
        }
}

/* --- Signatures --------------------------------------------------------------------------------*/
struct signature {
        const char *bytes;
        size_t length;
        const char *title;
};
#define SIGNATURE(bytes, title)                                                                    \
        {                                                                                          \
                (bytes), sizeof(bytes) - 1, (title)                                                \
        }

/* Files that people upload by mistake, so that the answer can name them. */
static const struct signature others[] = {
        SIGNATURE("PK\x03\x04", "a ZIP archive"),
        SIGNATURE("PK\x05\x06", "an empty ZIP archive"),
        SIGNATURE("\x1F\x8B", "a gzip archive"),
        SIGNATURE("7z\xBC\xAF\x27\x1C", "a 7-Zip archive"),
        SIGNATURE("Rar!", "a RAR archive"),
        SIGNATURE("\xD0\xCF\x11\xE0", "an old or password-protected Office file"),
        SIGNATURE("\x89PNG", "a PNG image"),
        SIGNATURE("\xFF\xD8\xFF", "a JPEG image"),
        SIGNATURE("GIF8", "a GIF image"),
        SIGNATURE("\x7F"
                  "ELF",
                  "a program"),
        SIGNATURE("MZ", "a program"),
        SIGNATURE("{\\rtf", "an RTF document"),
        SIGNATURE("%!PS", "a PostScript file"),
};

static bool is_pdf(const struct format_probe *probe)
{
        return memmem(probe->head, probe->held, "%PDF-", 5);
}

static const char *other_title(const struct format_probe *probe)
{
        for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
                if (probe->held >= others[i].length &&
                    memcmp(probe->head, others[i].bytes, others[i].length) == 0)
                        return others[i].title;
        }
        return NULL;
}

static bool is_utf16(const struct format_probe *probe)
{
        return probe->held >= 2 &&
               (memcmp(probe->head, "\xFF\xFE", 2) == 0 || memcmp(probe->head, "\xFE\xFF", 2) == 0);
}

/* Text has no NUL and next to no other control characters; UTF-16 is told by its mark. */
static bool is_text(const struct format_probe *probe)
{
        return is_utf16(probe) || (!probe->nul && probe->controls <= probe->length / 1000);
}

static const char *title_of_bytes(const struct format_probe *probe)
{
        const char *title = other_title(probe);

        /* A text about PDF files may well quote their first line. */
        if (probe->held >= 5 && memcmp(probe->head, "%PDF-", 5) == 0)
                return "a PDF";
        if (title)
                return title;
        return is_text(probe) ? "text" : "not text";
}

static bool bytes_agree(const struct format_probe *probe, const struct format *format)
{
        switch (format->family) {
        case FORMAT_PDF:
                return is_pdf(probe);
        case FORMAT_ZIP:
                return probe->held >= 4 && memcmp(probe->head, "PK\x03\x04", 4) == 0;
        case FORMAT_TEXT:
                return is_text(probe) && strncmp(probe->head, "%PDF-", 5) != 0;
        }
        return false;
}

/* --- Names -------------------------------------------------------------------------------------*/
static bool list_has(const char *list, const char *word)
{
        size_t length = strlen(word);

        for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ') {
                if (strncasecmp(at, word, length) == 0 && (at[length] == ' ' || !at[length]))
                        return true;
        }
        return false;
}

static const struct format *by_extension(const char *filename)
{
        const char *dot = strrchr(filename, '.');

        for (size_t i = 0; dot && dot[1] && i < ARRAY_LENGTH(formats); i++) {
                if (list_has(formats[i].extensions, dot + 1))
                        return &formats[i];
        }
        return NULL;
}

enum status format_decide(const struct format_probe *probe, const char *filename,
                          const struct format **ret, struct error *err)
{
        const struct format *format = by_extension(filename);

        if (!probe->length)
                return error_set(err, STATUS_INVALID, "the file is empty");
        if (!format)
                return error_set(err, STATUS_UNSUPPORTED_TYPE,
                                 "documents are PDF, DOCX, TXT, Markdown, HTML or CSV files, with "
                                 "the ending that says so (.pdf, .docx, .txt, .md, .html, .csv)");
        if (!bytes_agree(probe, format))
                return error_set(err, STATUS_UNSUPPORTED_TYPE,
                                 "the name says that the file is %s, but its content is %s",
                                 format->title, title_of_bytes(probe));
        *ret = format;
        return STATUS_OK;
}
