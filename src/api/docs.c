/* SPDX-License-Identifier: Apache-2.0 */
/* /docs and /openapi.json: the API's definition and the page that shows it, embedded at build. */
#include "api/assets/assets.h"
#include "api/routes.h"

static struct reply reply_asset(struct request *req, const char *path)
{
        const struct asset *asset = asset_find(path);
        struct error err = ERROR_INIT;

        if (!asset) {
                error_set(&err, STATUS_NOT_FOUND, "There is no such page");
                return reply_error(req, &err);
        }
        return reply_header(reply_static(req, asset->content_type, asset->gzip ? "gzip" : NULL,
                                         asset->etag, asset->data, asset->length),
                            "Content-Security-Policy", ASSETS_DOCS_CSP);
}

static struct reply get_page(struct request *req)
{
        return reply_asset(req, "/docs/index.html");
}

static struct reply get_file(struct request *req)
{
        return reply_asset(req, req->path);
}

const struct route docs_routes[] = {
        {METHOD_GET, "/docs", ROUTE_PUBLIC | ROUTE_INLINE, 0, get_page, NULL},
        {METHOD_GET, "/docs/{file}", ROUTE_PUBLIC | ROUTE_INLINE, 0, get_file, NULL},
        {METHOD_GET, "/openapi.json", ROUTE_PUBLIC | ROUTE_INLINE, 0, get_file, NULL},
        {0},
};
