/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket (RFC 6455) connections taken over from the HTTP server, framed by wslay, on one epoll
 * thread. Thousands of idle connections cost kilobytes each. */
#pragma once

#include "net/server.h"

struct websocket; /* reference-counted */

/* Called on the WebSocket thread; must not block. `closed` comes once whatever happens: also, then
 * on any thread and with `ws` NULL, when the handshake was refused or the client left before it was
 * over, so that `opened` never came. */
struct websocket_handlers {
        void (*opened)(struct websocket *ws, void *arg);
        void (*text)(struct websocket *ws, const char *data, size_t length,
                     void *arg); /* may be NULL */
        /* Once, last; `code` is the close code seen or sent (1006: lost). */
        void (*closed)(struct websocket *ws, unsigned code, void *arg);
};

struct websocket_options {
        size_t queue_max;      /* bytes waiting for a slow client before it is closed with 1013 */
        size_t message_max;    /* bytes of an incoming message before 1009 */
        unsigned ping_seconds; /* 20: pings; two unanswered ones close with 1001 */
};

/* 101, or 400/403/426 as problem+json: checks version, key and Origin (server_options; the server's
 * own origin is always allowed), 503 past connections_max. Answers with `subprotocol` if the client
 * offered it (NULL: none). Log lines of the connection carry the request's trace. */
struct reply reply_upgrade(struct request *req, const struct websocket_options *options,
                           const struct websocket_handlers *handlers, void *arg,
                           const char *subprotocol) MUST_USE;

struct websocket *websocket_ref(struct websocket *ws);
void websocket_unref(struct websocket *ws);
/* Queues one text message; any thread; ignored after close. */
void websocket_send(struct websocket *ws, const char *data, size_t length);
/* Starts the closing handshake. Any thread. */
void websocket_close(struct websocket *ws, unsigned code, const char *reason);
