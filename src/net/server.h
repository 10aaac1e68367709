/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP server on libmicrohttpd: routes as tables, handlers that must answer.
 *
 * Event-loop threads accept, parse and check framing. A handler of a ROUTE_INLINE route runs on the
 * loop and must not block; every other handler runs on the bounded worker pool while its
 * connection is suspended (503 with Retry-After when the queue is full). Everything a request
 * allocates belongs to `req->ctx`, freed when the response is done. */
#pragma once

#include <sys/types.h>

#include "base/buffer.h"
#include "base/json.h"
#include "observe/trace.h"

struct server;
struct request;

/* Made only by the reply_* functions below, so that a path which forgets to answer does not
 * compile. */
struct reply {
        struct response *response;
};
struct response; /* opaque to handlers */

typedef struct reply route_fn(struct request *req);

enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_MAX };

enum route_flags {
        ROUTE_INLINE = 1 << 0,  /* runs on the event loop: must not block */
        ROUTE_PUBLIC = 1 << 1,  /* no sign-in */
        ROUTE_ADMIN = 1 << 2,   /* admins only */
        ROUTE_UPGRADE = 1 << 3, /* WebSocket: handler answers with reply_upgrade or an error */
};

/* Takes a request body as it arrives, for bodies too large for memory. The authorize hook runs before
 * it, on a worker. Called on the event loop with bounded pieces; `begin` (may be NULL) once, also for
 * an empty body. On failure the client gets that error and the handler is not called. */
struct body_sink {
        enum status (*begin)(struct request *req, struct error *err);
        enum status (*piece)(struct request *req, const char *data, size_t length,
                             struct error *err);
};

/* One row of a resource's route table; a table ends with {0}. Path segments in braces are
 * parameters: "/api/v1/workflows/{id}"; a last one written {name...} takes the rest of the path,
 * which may be empty. `body_max` is in bytes (0: no body is accepted). */
struct route {
        enum method method;
        const char *path;
        unsigned flags;
        size_t body_max;
        route_fn *handler;
        const struct body_sink *sink; /* NULL: the body is gathered in req->body */
};

struct request {
        void *ctx; /* talloc context of the request */
        const struct route *route;
        enum method method;
        const char *path; /* decoded, without query */
        const char *body; /* NUL-terminated; "" if none */
        size_t body_length;
        struct trace trace;
        int64_t start_us;          /* clock_monotonic_us() */
        char peer[46];             /* address as text */
        void *app;                 /* server_options.app */
        void *user;                /* set by the authorize hook: who asks; NULL on public routes */
        void *upload;              /* for the sink and its handler */
        struct exchange *exchange; /* server-internal */
};

/* Decoded value of a {parameter} of the route; never NULL for a name in the pattern. */
const char *request_param(const struct request *req, const char *name);
/* First value of a query parameter, or NULL. */
const char *request_query(const struct request *req, const char *name);
/* A header's value, or NULL. Names are case-insensitive. */
const char *request_header(const struct request *req, const char *name);

/* The body as one JSON value, a new reference; 415 for another Content-Type. */
enum status request_json(struct request *req, json_t **ret, struct error *err) MUST_USE;
/* JSON body by a field table; on failure the problems are kept for reply_error to list. Checks
 * Content-Type (415). */
enum status request_fields(struct request *req, const struct field *fields, void *out,
                           struct error *err) MUST_USE;
/* Problems that the next reply_error of this request lists in `errors`. */
struct problems *request_problems(struct request *req);

/* --- Replies. Adopt nothing unless said; copy what they are given. ----------------------------- */
struct reply reply_json(struct request *req, unsigned http_status, const json_t *json) MUST_USE;
struct reply reply_text(struct request *req, unsigned http_status, const char *content_type,
                        const void *data, size_t length) MUST_USE;
/* `data` must live as long as the program. `encoding` ("gzip") and `etag` may be NULL; a matching
 * If-None-Match gives 304. */
struct reply reply_static(struct request *req, const char *content_type, const char *encoding,
                          const char *etag, const void *data, size_t length) MUST_USE;
struct reply reply_empty(struct request *req, unsigned http_status) MUST_USE;
/* application/problem+json of RFC 9457; 5xx details are kept from the client except for
 * UNAVAILABLE, UPSTREAM and UPSTREAM_TIMEOUT; logs a 5xx once. */
struct reply reply_error(struct request *req, const struct error *err) MUST_USE;
/* An open file (adopted) as download named `filename`, with nosniff. */
struct reply reply_file(struct request *req, int fd, size_t length, const char *content_type,
                        const char *filename) MUST_USE;
/* The answer comes later: any thread calls request_finish(req, reply_…(req, …)) exactly once. From
 * when the other thread may run, `req` and its ctx belong to it: the handler touches them no more
 * and returns. Should the server stop first, the client gets 503 and request_finish only frees. */
struct reply reply_later(struct request *req) MUST_USE;
void request_finish(struct request *req, struct reply reply);
/* Adds a response header to a reply not yet returned; returns it. */
struct reply reply_header(struct reply reply, const char *name, const char *value) MUST_USE;

/* --- Server-sent events -------------------------------------------------------------------------
 * `opened` is called once, within reply_stream, with the stream (which holds a reference for the
 * caller); from then on any thread may send. A client that lets more than `queue_max` bytes pile up
 * is cut off (it reconnects with Last-Event-ID). `closed` is called once, on the event loop, when the
 * client is gone or after stream_end; it must not block. No call of it runs or comes after
 * stream_release has returned, so do not hold a lock there that `closed` takes. */
struct stream;
struct stream_handlers {
        void (*opened)(struct stream *stream, void *arg);
        void (*closed)(void *arg);
};
struct reply reply_stream(struct request *req, const struct stream_handlers *handlers, void *arg,
                          size_t queue_max) MUST_USE;
/* One event; `id` <= 0 leaves the id out, `event` may be NULL; `data` has no raw newline (JSON). */
void stream_send(struct stream *stream, int64_t id, const char *event, const char *data,
                 size_t length);
/* Ends the stream after what is queued. */
void stream_end(struct stream *stream);
/* Ends the stream if it has not ended and drops the caller's reference; also within `closed`. */
void stream_release(struct stream *stream);

/* --- Server ------------------------------------------------------------------------------------*/
struct server_options {
        const char *host;
        unsigned port;    /* 0: any; see server_port */
        unsigned threads; /* event loops; 0: cores */
        unsigned workers; /* worker threads; 0: 4 x cores, at least 8 */
        size_t queue_max; /* waiting requests before 503; 0: 1024 */
        unsigned connections_max;
        unsigned idle_seconds;      /* slow or idle connections are closed; 0: 60 */
        unsigned heartbeat_seconds; /* comment on idle event streams; 0: 15 */
        const char *const
                *allowed_origins; /* CORS and WebSocket origins, NULL-terminated; "*" any */
        void *app;
        /* Runs before the handler, on the same thread, for every route without ROUTE_PUBLIC; fills
         * req->user. NULL: nobody is refused. */
        enum status (*authorize)(struct request *req, struct error *err);
};

/* `tables` is NULL-terminated and lives as long as the server. Answers 404, 405 (with Allow),
 * HEAD and OPTIONS by itself; counts and logs every request; every response carries X-Request-ID. */
enum status server_start(const struct server_options *options, const struct route *const *tables,
                         struct server **ret, struct error *err) MUST_USE;
unsigned server_port(const struct server *server);
/* Stops accepting, ends streams and WebSockets, waits at most `grace_ms` for what is under way, then
 * for handlers that still run, and frees. Takes NULL. */
struct server *server_stop(struct server *server, unsigned grace_ms);
/* Jobs waiting for a worker, for /health. */
size_t server_queue_depth(struct server *server);
