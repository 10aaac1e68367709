/* SPDX-License-Identifier: Apache-2.0 */
/* DOCX: the parts that matter out of a ZIP archive, by libzip, from memory.
 *
 * Entries are read by name and never written to disk, so names with ".." or links mean nothing. A
 * bomb is stopped by what it unpacks to: bytes in all, and bytes for each packed one. */
#include <string.h>
#include <zip.h>

#include "document/docx.h"
#include "document/reader.h"

enum {
        ENTRIES_MAX = 10000,
        UNPACKED_MAX = 256 * 1024 * 1024,
        RATIO_MAX = 200,
        RATIO_FREE = 1024 * 1024, /* small parts may be packed as well as they like */
        NAME_MAX_BYTES = 256,
};

#define SCOPED_ZIP CLEANUP(zip_discard_at)
static void zip_discard_at(zip_t **zip)
{
        if (*zip)
                zip_discard(*zip);
}

#define SCOPED_ZIP_FILE CLEANUP(zip_fclose_at)
static void zip_fclose_at(zip_file_t **file)
{
        if (*file)
                zip_fclose(*file);
}

struct package {
        zip_t *zip;
        uint64_t unpacked;
};

static enum status damaged(struct error *err)
{
        return error_set(err, STATUS_UNPROCESSABLE,
                         "the Word document is damaged: its ZIP archive cannot be read");
}

static enum status open_archive(const char *data, size_t length, zip_t **ret, struct error *err)
{
        zip_source_t *source = zip_source_buffer_create(data, length, 0, NULL);
        zip_int64_t entries;

        if (!source)
                return damaged(err);
        *ret = zip_open_from_source(source, ZIP_RDONLY, NULL);
        if (!*ret) {
                zip_source_free(source);
                return damaged(err);
        }
        entries = zip_get_num_entries(*ret, 0);
        if (entries > ENTRIES_MAX)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "the Word document is refused: its archive has %lld entries",
                                 (long long)entries);
        return STATUS_OK;
}

static enum status check_unpacked(struct package *package, uint64_t part, uint64_t packed,
                                  struct error *err)
{
        if (package->unpacked <= UNPACKED_MAX && (part <= RATIO_FREE || part / RATIO_MAX <= packed))
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE,
                         "the Word document is refused: it unpacks to much more than its own size");
}

static enum status open_entry(zip_t *zip, zip_int64_t index, zip_file_t **ret, struct error *err)
{
        *ret = zip_fopen_index(zip, (zip_uint64_t)index, 0);
        if (*ret)
                return STATUS_OK;
        if (zip_error_code_zip(zip_get_error(zip)) == ZIP_ER_NOPASSWD)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "the Word document is protected by a password");
        return damaged(err);
}

static enum status feed_entry(struct package *package, zip_file_t *file, uint64_t packed,
                              struct docx_part *part, struct error *err)
{
        char block[32768];
        zip_int64_t length;
        uint64_t bytes = 0;

        while ((length = zip_fread(file, block, sizeof(block))) > 0) {
                bytes += (uint64_t)length;
                package->unpacked += (uint64_t)length;
                if (check_unpacked(package, bytes, packed, err) ||
                    docx_part_feed(part, block, (size_t)length, false, err))
                        return err->status;
        }
        return length < 0 ? damaged(err) : docx_part_feed(part, block, 0, true, err);
}

/* Feeds the entry `name` to `part`; *ret_found is false if there is none. */
static enum status read_part(struct package *package, const char *name, struct docx_part *part,
                             bool *ret_found, struct error *err)
{
        SCOPED_ZIP_FILE zip_file_t *file = NULL;
        zip_int64_t index = zip_name_locate(package->zip, name, 0);
        zip_stat_t stat;

        *ret_found = index >= 0;
        if (index < 0)
                return STATUS_OK;
        if (zip_stat_index(package->zip, (zip_uint64_t)index, 0, &stat) ||
            !(stat.valid & ZIP_STAT_COMP_SIZE))
                return damaged(err);
        if (open_entry(package->zip, index, &file, err))
                return err->status;
        return feed_entry(package, file, stat.comp_size, part, err);
}

/* "word/document.xml" and "styles.xml" give "word/styles.xml". */
static char *sibling(const void *ctx, const char *main, const char *name)
{
        const char *slash = strrchr(main, '/');
        int folder = slash ? (int)(slash - main) + 1 : 0;

        return mem_printf(ctx, "%.*s%s", folder, main, name);
}

static enum status read_body(const void *ctx, struct package *package, const char *name,
                             const struct docx_styles *styles, struct text_out *out,
                             bool *ret_found, struct error *err)
{
        struct docx_part *part = docx_part_body(ctx, styles, out);
        enum status status = read_part(package, name, part, ret_found, err);

        text_out_blank(out);
        return status;
}

static enum status read_parts(const void *ctx, struct package *package, const char *main,
                              struct text_out *out, struct error *err)
{
        static const char *const notes[] = {"footnotes.xml", "endnotes.xml"};
        struct docx_styles styles;
        bool found;

        if (read_part(package, sibling(ctx, main, "styles.xml"), docx_part_styles(ctx, &styles),
                      &found, err) ||
            read_body(ctx, package, main, &styles, out, &found, err))
                return err->status;
        if (!found)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "the file is a ZIP archive, but not a Word document");
        for (size_t i = 0; i < ARRAY_LENGTH(notes); i++) {
                if (read_body(ctx, package, sibling(ctx, main, notes[i]), &styles, out, &found,
                              err))
                        return err->status;
        }
        return STATUS_OK;
}

enum status read_docx(const void *ctx, const char *data, size_t length, struct text_out *out,
                      struct error *err)
{
        SCOPED_MEM void *memory = talloc_new(ctx);
        SCOPED_ZIP zip_t *zip = NULL;
        struct package package = {0};
        char *main;
        bool found;

        if (open_archive(data, length, &zip, err))
                return err->status;
        package.zip = zip;
        if (read_part(&package, "_rels/.rels", docx_part_relations(memory, &main), &found, err))
                return err->status;
        if (!main || strlen(main) > NAME_MAX_BYTES)
                main = "word/document.xml";
        return read_parts(memory, &package, main, out, err);
}
