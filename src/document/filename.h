/* SPDX-License-Identifier: Apache-2.0 */
/* The name that a document is shown by. Files are never stored under it. */
#pragma once

#include "base/error.h"

enum { FILENAME_BYTES_MAX = 255 };

/* The last component of what the client sent, without control and direction-changing characters,
 * invalid UTF-8 or white space around it, cut to FILENAME_BYTES_MAX with its ending kept; below
 * ctx. STATUS_INVALID if nothing is left. */
enum status filename_clean(const void *ctx, const char *name, char **ret,
                           struct error *err) MUST_USE;
