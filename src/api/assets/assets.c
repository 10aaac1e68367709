/* SPDX-License-Identifier: Apache-2.0 */
/* Looking assets up. A path is compared whole and never touches the file system, so ".." and the
 * like find nothing. */
#include "api/assets/assets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/assets/assets_internal.h"

/* Longer paths are not looked up: embed.mjs makes none. */
enum { ASSET_PATH_MAX = 512 };

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

        if (asset || length >= sizeof(index))
                return asset;
        if (length > 0 && path[length - 1] == '/')
                length--;
        written = snprintf(index, sizeof(index), "%.*s/index.html", (int)length, path);
        return written < (int)sizeof(index) ? find_exactly(index) : NULL;
}
