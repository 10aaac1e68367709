/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of WebSocket connections: what the handshake (HTTP threads) and the loop share. */
#pragma once

#include "net/server_internal.h"
#include "net/websocket.h"
#include "net/websocket_frames.h"

struct message {
        struct message *next;
        size_t length;
        char text[];
};

/* One connection. The loop thread owns what is not under the lock; senders only fill the outbox. */
struct websocket {
        atomic_int references;
        struct websockets *sockets; /* valid until `closed` */
        struct websocket_handlers handlers;
        void *arg;
        struct websocket_options options;
        char *subprotocol; /* until the reply is built */
        char *accept;
        struct trace trace;
        char peer[46];

        /* Loop thread. */
        TAILQ_ENTRY(websocket) list;
        int fd; /* -1 until adopted */
        struct frames *frames;
        char *early; /* bytes that came with the handshake */
        size_t early_length, early_used;
        char *pending; /* taken from the frames, not yet by the socket */
        size_t pending_length, pending_sent;
        uint32_t events;     /* watched */
        unsigned budget;     /* reads left in this turn */
        unsigned unanswered; /* pings */
        int64_t opened_us, ping_us, deadline_us;
        bool discarding; /* closed by us after an error: the rest is read away */

        pthread_mutex_t lock; /* of the following */
        struct message *outbox, **outbox_end;
        size_t outbox_bytes, unsent_bytes;
        unsigned close_code; /* 0: not asked to close */
        char *close_reason;
        bool overflow; /* queue_max was passed: nothing more is sent */
        bool closed;
        bool dirty; /* in the loop's list */
        STAILQ_ENTRY(websocket) dirty_list;
};

enum { WEBSOCKET_GATHER_MAX = 64 * 1024, WEBSOCKET_GOING_AWAY = 1001 };

TAILQ_HEAD(websocket_list, websocket);
STAILQ_HEAD(websocket_queue, websocket);

/* The thread that serves them. */
struct websockets {
        struct server *server;
        int epoll, wake;
        pthread_t thread;
        atomic_uint count; /* adopted and not yet closed */

        /* Loop thread. */
        struct websocket_list all;
        int64_t scan_us; /* when the next walk is due; INT64_MAX: not */
        int64_t scanned_us;
        size_t gathered;

        pthread_mutex_t lock; /* of the following */
        struct websocket_queue incoming, dirty;
        bool stopping;
        int64_t stop_us; /* when what is still open is cut off */

        char gather[WEBSOCKET_GATHER_MAX];
};

/* websocket.c */
struct websocket *websocket_new(struct request *req, const struct websocket_options *options,
                                const struct websocket_handlers *handlers, void *arg);
/* websocket_loop.c */
/* Takes a duplicate of an upgraded socket and the bytes read beyond the handshake. Loop of the HTTP
 * server. */
void websockets_adopt(struct websockets *sockets, struct websocket *ws, int fd, const char *early,
                      size_t early_length);
/* False at connections_max or when stopping. */
bool websockets_room(struct websockets *sockets);
void websockets_wake(struct websockets *sockets);

/* websocket_socket.c: one connection, on the loop thread */
extern const struct frames_io websocket_io;
/* Reads if there is something to read, sends what is queued; closes when it is time to. */
void websocket_turn(struct websocket *ws, bool readable);
/* Sends what the socket takes; false if it is broken. */
bool websocket_flush(struct websocket *ws);
/* Ends the connection at once: counts, calls `closed`, drops the loop's reference. */
void websocket_end(struct websocket *ws, unsigned code);
