/* SPDX-License-Identifier: Apache-2.0 */
/* multipart/form-data (RFC 7578) as it arrives: bounded pieces in, parts out, nothing gathered but
 * part headers. Made for a body_sink. One thread at a time. */
#pragma once

#include "base/error.h"

enum {
        MULTIPART_PARTS_MAX = 100,
        MULTIPART_HEADERS_MAX = 8 * 1024, /* bytes of one part's headers */
        MULTIPART_NAME_MAX = 255,         /* bytes of a field or file name */
};

struct multipart;

/* `part_data` and `part_end` may be NULL. An error ends the parse and is what multipart_feed
 * returns. */
struct multipart_handlers {
        /* Names are decoded UTF-8; `filename` is NULL for a plain field, `content_type` NULL if not
         * given. Valid during the call. */
        enum status (*part_begin)(const char *name, const char *filename, const char *content_type,
                                  void *arg, struct error *err);
        enum status (*part_data)(const char *data, size_t length, void *arg, struct error *err);
        enum status (*part_end)(void *arg, struct error *err);
};

/* `content_type` is the request's header, NULL if absent: UNSUPPORTED_TYPE unless it is
 * multipart/form-data with a boundary. Freed with `ctx`. */
enum status multipart_new(const void *ctx, const char *content_type,
                          const struct multipart_handlers *handlers, void *arg,
                          struct multipart **ret, struct error *err) MUST_USE;
/* Takes bytes split anywhere. After an error, only the same error comes back. */
enum status multipart_feed(struct multipart *multipart, const char *data, size_t length,
                           struct error *err) MUST_USE;
/* The body is complete: INVALID if its end delimiter did not come. */
enum status multipart_end(struct multipart *multipart, struct error *err) MUST_USE;
