/* SPDX-License-Identifier: Apache-2.0 */
/* Framing of a request: do its headers say without doubt where the body ends (RFC 9112)?
 *
 * Two readers that disagree about that (a proxy and this server) let one client smuggle requests
 * into another's connection, so every doubt is an error and the connection is closed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { HTTP_FIELDS_MAX = 100 };

struct http_field {
        const char *name, *value; /* NUL-terminated at their lengths */
        size_t name_length, value_length;
};

struct http_framing {
        bool body; /* one is announced */
        bool chunked;
        uint64_t length; /* when not chunked */
};

/* Checks names and values, Host, Content-Length and Transfer-Encoding. STATUS_INVALID names the
 * cause, STATUS_HEADERS_TOO_LARGE for too many fields. */
enum status http_framing_check(const struct http_field *fields, size_t count, bool http_1_1,
                               struct http_framing *ret, struct error *err) MUST_USE;
/* First field with this name, in any case; NULL if there is none. */
const struct http_field *http_field_find(const struct http_field *fields, size_t count,
                                         const char *name);
/* True if a comma list such as Connection holds `token`, in any case. */
bool http_list_has(const char *list, const char *token);
