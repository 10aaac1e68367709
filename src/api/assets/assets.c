/* SPDX-License-Identifier: Apache-2.0 */
/* Looking assets up and unpacking them. A path is compared whole and never touches the file
 * system, so "..", NUL tricks and the like find nothing. */
#define ZLIB_CONST
#include "api/assets/assets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "api/assets/assets_internal.h"

/* Longer paths than any in the table are not looked up. */
enum { ASSET_PATH_MAX = 512, GZIP_WINDOW_BITS = MAX_WBITS + 16 };

static int compare_path(const void *path, const void *asset)
{
        return strcmp(path, ((const struct asset *)asset)->path);
}

static const struct asset *find_exactly(const char *path)
{
        return bsearch(path, assets_table, assets_count, sizeof(assets_table[0]), compare_path);
}

const struct asset *asset_find(const char *path)
{
        char index[ASSET_PATH_MAX];
        const struct asset *asset = find_exactly(path);
        size_t length = strlen(path);
        int written;

        if (asset)
                return asset;
        if (length > 0 && path[length - 1] == '/')
                length--;
        if (length >= sizeof(index))
                return NULL;
        written = snprintf(index, sizeof(index), "%.*s/index.html", (int)length, path);
        return written < (int)sizeof(index) ? find_exactly(index) : NULL;
}

static enum status inflate_into(const struct asset *asset, char *out, struct error *err)
{
        z_stream stream = {0};
        int result;

        if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK)
                return error_set(err, STATUS_INTERNAL, "zlib could not be set up");
        stream.next_in = asset->data;
        stream.avail_in = (uInt)asset->length;
        stream.next_out = (Bytef *)out;
        stream.avail_out = (uInt)asset->plain_length;
        result = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
        if (result != Z_STREAM_END || stream.total_out != asset->plain_length)
                return error_set(err, STATUS_INTERNAL, "the embedded file %s is damaged",
                                 asset->path);
        return STATUS_OK;
}

enum status asset_unpack(const void *ctx, const struct asset *asset, char **ret, struct error *err)
{
        char *plain = mem_array(ctx, char, asset->plain_length + 1);

        if (!asset->gzip) {
                memcpy(plain, asset->data, asset->length);
        } else if (inflate_into(asset, plain, err)) {
                mem_free(plain);
                return err->status;
        }
        *ret = plain;
        return STATUS_OK;
}
