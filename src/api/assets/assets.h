/* SPDX-License-Identifier: Apache-2.0 */
/* Assets: the files that the program serves from within itself (the API's page, its viewer and
 * openapi.json), put into the binary at build by embed.mjs.
 *
 * The table is constant: pointers live as long as the program, any thread may read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The Content-Security-Policy under which the documentation page works. */
#define ASSETS_DOCS_CSP                                                                            \
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "             \
        "frame-ancestors 'none'"

struct asset {
        const char *path; /* "/docs/docs.js" */
        const char *content_type;
        const char *etag;          /* with its quotes; changes with the content */
        const unsigned char *data; /* `length` bytes, gzipped if `gzip` */
        size_t length;
        bool gzip;
};

/* The asset of a URL path, or NULL. A folder gives its index.html, with or without a slash at the
 * end: "/docs" is "/docs/index.html". */
const struct asset *asset_find(const char *path);
