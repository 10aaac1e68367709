/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: percent-decoding and splitting, before anything is looked up.
 *
 * The rule: a path or query that can be read in two ways is refused, never repaired. Broken
 * escapes, NUL, control characters, invalid UTF-8, "." and ".." segments and escaped slashes are
 * errors. */
#pragma once

#include "base/error.h"

enum { TARGET_SEGMENTS_MAX = 32, TARGET_QUERY_MAX = 100 };

struct http_pair {
        const char *name, *value;
};

/* Strings belong to the ctx given. */
struct http_target {
        const char *path; /* decoded: "/a/b", or "*" */
        const char *segments[TARGET_SEGMENTS_MAX];
        size_t segment_count; /* 0 for "/" and "*" */
        struct http_pair *query;
        size_t query_count;
};

/* Reads the target of a request line in origin, absolute or asterisk form. STATUS_INVALID says what
 * is wrong; STATUS_NOT_FOUND for more segments than any route has. */
enum status http_target_parse(const void *ctx, const char *raw, struct http_target *ret,
                              struct error *err) MUST_USE;
