/* SPDX-License-Identifier: Apache-2.0 */
/* What embed.mjs makes: all bytes in one block, and the rows that point into it. */
#pragma once

#include "api/assets/assets.h"

extern const unsigned char assets_blob[];
extern const struct asset assets_table[]; /* sorted by path in byte order */
extern const size_t assets_count;
