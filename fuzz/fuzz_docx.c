/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of Word documents. Input that begins with "PK" is the whole file; otherwise it
 * is word/document.xml, word/styles.xml and _rels/.rels between lines of "----", and the archive is
 * built around them. */
#include <zip.h>

#include "fuzz_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_part(zip_t *zip, const char *name, const char *data, size_t length)
{
        zip_source_t *source = zip_source_buffer(zip, data, length, 0);
        zip_int64_t index = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);

        must(index >= 0);
        zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0);
}

static void add_parts(zip_t *zip, const char *data, size_t size)
{
        static const char *const names[] = {"word/document.xml", "word/styles.xml", "_rels/.rels"};
        static const char separator[] = "\n----\n";

        for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
                const char *end = memmem(data, size, separator, sizeof(separator) - 1);
                size_t length = end ? (size_t)(end - data) : size;

                add_part(zip, names[i], data, length);
                if (!end)
                        return;
                size -= length + sizeof(separator) - 1;
                data = end + sizeof(separator) - 1;
        }
}

static void read_archive(zip_source_t *source)
{
        SCOPED_MEM char *bytes = NULL;
        zip_stat_t stat;

        must(zip_source_stat(source, &stat) == 0 && zip_source_open(source) == 0);
        bytes = mem_array(NULL, char, stat.size);
        must(zip_source_read(source, bytes, stat.size) == (zip_int64_t)stat.size);
        zip_source_close(source);
        fuzz_reader(read_docx, (const uint8_t *)bytes, stat.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        zip_source_t *source;
        zip_t *zip;

        if (size >= 2 && memcmp(data, "PK", 2) == 0) {
                fuzz_reader(read_docx, data, size);
                return 0;
        }
        source = zip_source_buffer_create(NULL, 0, 0, NULL);
        zip = zip_open_from_source(source, ZIP_TRUNCATE, NULL);
        must(zip != NULL);
        add_parts(zip, (const char *)data, size);
        zip_source_keep(source);
        must(zip_close(zip) == 0);
        read_archive(source);
        zip_source_free(source);
        return 0;
}
