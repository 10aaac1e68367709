/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics: the exposition. It runs on the event loop, so that it answers when workers are busy. */
#include "observe/metrics.h"

#include "api/routes.h"

enum { METRICS_MAX = 32 * 1024 * 1024 };

static struct reply get_metrics(struct request *req)
{
        struct buffer body = BUFFER_INIT(req->ctx, METRICS_MAX);
        struct error err = ERROR_INIT;
        const char *content_type;

        metrics_write(&body, metrics_negotiate(request_header(req, "Accept"), &content_type));
        if (buffer_check(&body, "The metrics", &err))
                return reply_error(req, &err);
        return reply_text(req, 200, content_type, body.data, body.length);
}

const struct route metrics_routes[] = {
        {METHOD_GET, "/metrics", ROUTE_PUBLIC | ROUTE_INLINE, 0, get_metrics, NULL},
        {0},
};
