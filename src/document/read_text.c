/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text, and the character sets that text files of all kinds come in. */
#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "document/reader.h"

enum charset { CHARSET_UTF16LE, CHARSET_UTF16BE, CHARSET_WINDOWS_1252, CHARSET_COUNT };

static const char *const charset_names[CHARSET_COUNT] = {
        [CHARSET_UTF16LE] = "UTF-16LE",
        [CHARSET_UTF16BE] = "UTF-16BE",
        [CHARSET_WINDOWS_1252] = "WINDOWS-1252",
};

/* Kept open: a converter is a file to load, and the child cannot open files once it is locked in.
 * Used by one thread, the child's only one. */
static iconv_t converters[CHARSET_COUNT];
static bool prepared;

enum status reader_prepare(struct error *err)
{
        for (size_t i = 0; i < CHARSET_COUNT && !prepared; i++) {
                converters[i] = iconv_open("UTF-8", charset_names[i]);
                if (converters[i] == (iconv_t)-1)
                        return error_set(err, STATUS_INTERNAL, "iconv cannot convert from %s",
                                         charset_names[i]);
        }
        prepared = true;
        return STATUS_OK;
}

static enum status convert(const void *ctx, enum charset charset, const char *data, size_t length,
                           const char **ret, size_t *ret_length, struct error *err)
{
        enum { LONGEST = 3 }; /* bytes of UTF-8 for one byte of windows-1252 */
        size_t room = length * LONGEST;
        char *text, *to, *from = (char *)data;

        if (reader_prepare(err))
                return err->status;
        text = to = talloc_size(ctx, room + 1);
        if (!text)
                return error_set(err, STATUS_UNPROCESSABLE, "the text is too long to be converted");
        iconv(converters[charset], NULL, NULL, NULL, NULL);
        if (iconv(converters[charset], &from, &length, &to, &room) == (size_t)-1 && length > 1)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "the text is neither UTF-8, UTF-16 nor windows-1252");
        *ret = text;
        *ret_length = (size_t)(to - text);
        return STATUS_OK;
}

static bool begins_with(const char *data, size_t length, const char *mark, size_t size)
{
        return length >= size && memcmp(data, mark, size) == 0;
}

enum status reader_decode(const void *ctx, const char *data, size_t length, const char **ret,
                          size_t *ret_length, struct error *err)
{
        if (begins_with(data, length, "\xFF\xFE", 2))
                return convert(ctx, CHARSET_UTF16LE, data + 2, length - 2, ret, ret_length, err);
        if (begins_with(data, length, "\xFE\xFF", 2))
                return convert(ctx, CHARSET_UTF16BE, data + 2, length - 2, ret, ret_length, err);
        if (begins_with(data, length, "\xEF\xBB\xBF", 3)) {
                data += 3;
                length -= 3;
        }
        if (!utf8_valid(data, length))
                return convert(ctx, CHARSET_WINDOWS_1252, data, length, ret, ret_length, err);
        *ret = data;
        *ret_length = length;
        return STATUS_OK;
}

enum status read_plain_text(const void *ctx, const char *data, size_t length, struct text_out *out,
                            struct error *err)
{
        const char *text = NULL;
        size_t size = 0;

        if (reader_decode(ctx, data, length, &text, &size, err))
                return err->status;
        text_out_bytes(out, text, size);
        return STATUS_OK;
}
