/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the HTTP server.
 *
 * Three kinds of thread meet here. A loop thread (libmicrohttpd's) owns a connection and its
 * exchange while it is not suspended; a worker (or whoever finishes a reply_later) owns the
 * exchange while it is; the watch thread only reads deadlines and shuts sockets down. What crosses
 * between them is said at the member. Nobody calls into libmicrohttpd while holding `server->lock`,
 * because a loop may hold the library's own lock when it completes an exchange. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/pool.h"
#include "net/http_framing.h"
#include "net/http_target.h"
#include "net/router.h"

enum {
        HEADERS_MAX = 16 * 1024,       /* request line and headers */
        CONNECTION_MEMORY = 24 * 1024, /* the library's pool: headers, their list, reply headers */
        DISCARD_MAX = 64 * 1024,       /* refused body read so that the connection survives */
        CONNECTIONS_DEFAULT = 10000,
        IDLE_SECONDS_DEFAULT = 60,
        QUEUE_DEFAULT = 1024,
        HEARTBEAT_SECONDS_DEFAULT = 15,
        BODY_RATE_MIN = 1024, /* bytes a second that keep a slow body alive */
        REPLY_HEAD_MAX = 2048,
        RAW_REPLY_MAX = 4096,
};

struct loop;
struct watch;
struct websockets;
struct exchange;

TAILQ_HEAD(exchange_list, exchange);

/* Talloc root, with its threads' memory below it; stays until the last exchange is released, which
 * may be after server_stop. */
struct server {
        atomic_int references;
        struct server_options options; /* with defaults filled in */
        struct router *router;
        struct pool *pool;
        struct loop **loops;
        unsigned loop_count;
        struct watch *watch;
        struct websockets *websockets; /* NULL if no route upgrades */
        unsigned port;

        atomic_size_t exchanges; /* with headers read and not yet completed */
        atomic_bool draining;    /* connections close after their answer */

        pthread_mutex_t lock;
        pthread_cond_t calm;          /* an exchange completed while draining */
        atomic_bool stopping;         /* set under lock: nothing is suspended any more */
        struct exchange_list waiting; /* guarded by lock: suspended exchanges */
};

/* One TCP connection. Made and freed on its loop; in the watch's list in between. */
struct peer {
        TAILQ_ENTRY(peer) list; /* guarded by the watch */
        struct server *server;
        struct loop *loop;
        int fd;
        char address[46];
        _Atomic int64_t deadline_us; /* past it the watch ends reading; 0: none */
        atomic_bool expired;         /* the watch did */
        bool linger;                 /* closing with bytes unread: let the client read the answer */
        struct exchange *exchange;   /* current, or NULL */
};

enum exchange_phase {
        PHASE_HEADERS,   /* request line read */
        PHASE_ADMISSION, /* authorize of a streamed body runs on a worker */
        PHASE_BODY,      /* body arrives or is discarded */
        PHASE_HANDLING,  /* a handler has it */
        PHASE_READY,     /* reply made, to be queued by the loop */
        PHASE_SENDING,   /* reply queued */
};

/* One request and its answer. `req.ctx` is the exchange itself. */
struct exchange {
        struct request req;
        struct server *server;
        struct peer *peer; /* loop thread only */
        struct loop *loop;
        struct MHD_Connection *mhd; /* loop thread; others only to resume it, under `lock` */
        enum exchange_phase phase;
        const char *raw_target;
        const char *target_end; /* in the library's buffer */

        const char *method; /* as sent, for the log */
        bool head, http_1_1, counted;
        struct http_field *fields;
        size_t field_count;
        size_t field_capacity;
        const char *line_end; /* raw end of the header line before, see exchange_headers.c */
        bool broken_lines;
        struct http_framing framing;
        struct http_pair *query;
        size_t query_count;
        struct route_match match;
        const struct route_entry *entry;
        const char *cors_origin; /* to answer with, NULL: none */

        struct buffer body;
        uint64_t received;
        int64_t body_start_us;
        bool upload_begun;
        struct error *failure; /* to answer with once the body is through */
        struct problems *problems;

        struct response *response; /* what the handler made */
        struct MHD_Response *built;
        unsigned status; /* 0: nothing answered yet */
        uint64_t bytes;

        atomic_int references;  /* the connection's, and the handler's until it has answered */
        atomic_int outstanding; /* handler to return, request_finish to be called */

        pthread_mutex_t lock; /* of what follows: suspended exchanges only */
        TAILQ_ENTRY(exchange) waiting;
        bool is_waiting; /* guarded by server->lock */
        bool abandoned;  /* the server stopped first */
};

enum response_kind {
        RESPONSE_BODY,
        RESPONSE_FILE,
        RESPONSE_STREAM,
        RESPONSE_UPGRADE,
        RESPONSE_LATER
};

struct response_header {
        struct response_header *next;
        const char *name, *value;
};

/* Talloc child of its request, except the one of reply_later. */
struct response {
        enum response_kind kind;
        unsigned status;
        const char *content_type;
        const char *cache_control; /* unless the handler adds its own */
        const void *data;          /* lives in the request or for ever */
        size_t length;
        int fd; /* -1: none */
        struct stream *stream;
        struct websocket *websocket; /* NULL once it has the socket */
        bool built;                  /* the library's response holds file and stream now */
        struct response_header *headers, **headers_end;
};

void server_unref(struct server *server);

/* exchange.c: life of a request */
struct exchange *exchange_new(struct peer *peer, struct MHD_Connection *mhd, const char *target);
/* The library's access handler, called again and again until a response is queued. */
enum MHD_Result exchange_proceed(struct exchange *exchange, const char *method, const char *version,
                                 const char *data, size_t *size);
/* Logs, counts and drops the connection's reference; the connection has done with it. */
void exchange_complete(struct exchange *exchange, enum MHD_RequestTerminationCode code);
void exchange_release(struct exchange *exchange);
/* Builds and queues a reply. Loop thread, when the library takes one. */
enum MHD_Result exchange_answer(struct exchange *exchange, struct reply reply);
enum MHD_Result exchange_refuse(struct exchange *exchange, const struct error *err);
/* Keeps an error to answer with once the body is through. */
void exchange_fail_later(struct exchange *exchange, const struct error *err);

/* exchange_handle.c */
/* The body is complete: runs the handler, or answers what went wrong before. */
enum MHD_Result exchange_handle(struct exchange *exchange);
bool exchange_needs_authorize(const struct exchange *exchange);
/* Runs the authorize hook on a worker before a streamed body. */
enum MHD_Result exchange_admit(struct exchange *exchange);
/* No longer suspended. */
void exchange_unlist(struct exchange *exchange);
/* Answers what a stopping server finds suspended. */
void exchange_abandon_all(struct server *server);

/* exchange_headers.c */
/* Copies and checks method and headers. After an error the connection must be closed. */
enum status exchange_read_head(struct exchange *exchange, const char *method, const char *version,
                               struct error *err) MUST_USE;
/* Reads the target and finds its route; NULL for OPTIONS. */
enum status exchange_find_route(struct exchange *exchange, struct error *err) MUST_USE;

/* exchange_log.c */
void exchange_record(struct exchange *exchange, bool whole);

/* reply.c, problem.c */
struct response *response_new(struct request *req, enum response_kind kind, unsigned status);
/* The library's response with every header; sets exchange->status and ->bytes. */
struct MHD_Response *response_build(struct exchange *exchange);
/* Problem document for `status`; `problems` may be NULL. */
void problem_write(struct buffer *out, unsigned status, const char *detail, const char *request_id,
                   const struct problems *problems);

/* The library's response with a problem document, sharing no memory with any exchange. */
struct MHD_Response *problem_build(unsigned status, const char *detail, const char *request_id);

/* refuse.c */
/* Queues this program's response, past the check of the library's own. Loop thread. */
enum MHD_Result refuse_queue(struct MHD_Connection *mhd, unsigned status,
                             struct MHD_Response *response);
/* Writes a whole problem response straight to the socket, for moments when the library takes none;
 * the connection must be closed next. */
void refuse_raw(struct exchange *exchange, unsigned status, const char *detail);
/* True if the library's own error replies pass through this program's. */
bool refuse_ready(void);

/* stream.c */
struct MHD_Response *stream_build(struct stream *stream);
/* Ends the connection's side: calls `closed`, drops its reference. */
void stream_detach(struct stream *stream);
/* The reply is on its way on this connection. Loop thread. */
void stream_attach(struct stream *stream, struct exchange *exchange);

/* loop.c */
/* Starts a loop thread; *ret is set, and to be stopped, also on failure. */
enum status loop_new(struct server *server, struct loop **ret, struct error *err) MUST_USE;
/* Closes what is open; nothing may be suspended. The memory stays with the server. */
void loop_stop(struct loop *loop);
/* Adopts an accepted, non-blocking socket. Any thread. */
void loop_give(struct loop *loop, int fd, const struct sockaddr *address, socklen_t size);
unsigned loop_connections(const struct loop *loop);
/* Something changed that the library gives no sign of. Any thread. */
void loop_wake(struct loop *loop);
/* Goes on with a suspended connection. Any thread. */
void loop_resume(struct loop *loop, struct MHD_Connection *mhd);

/* listen.c */
enum status listener_open(const struct server_options *options, int *ret, unsigned *ret_port,
                          struct error *err) MUST_USE;

/* watch.c */
enum status watch_new(struct server *server, struct watch **ret, struct error *err) MUST_USE;
/* Stops the thread; the memory stays with the server. The loops must be stopped. */
void watch_stop(struct watch *watch);
/* Accepts connections for the loops; adopts the listening socket. */
void watch_accept(struct watch *watch, int listener);
/* Closes it; no connection is given to a loop afterwards. */
void watch_accept_none(struct watch *watch);
/* A connection given to a loop did not begin. */
void watch_lost_connection(struct watch *watch);
void watch_add_peer(struct watch *watch, struct peer *peer);
/* No shutdown of its socket happens afterwards; there is room for another. */
void watch_remove_peer(struct watch *watch, struct peer *peer);
/* Takes over a duplicate of a closing connection's socket until the client has read the answer. */
void watch_linger(struct watch *watch, int fd);
void watch_add_stream(struct watch *watch, struct stream *stream);
void watch_remove_stream(struct watch *watch, struct stream *stream);
/* Tells when the client of an idle stream is gone. */
void watch_stream_socket(struct watch *watch, struct stream *stream, int fd);
/* Ends every stream, and those that begin later. */
void watch_end_streams(struct watch *watch);

/* A stream as the watch lists it; part of the stream, guarded by the watch. */
struct stream_watch {
        TAILQ_ENTRY(stream_watch) list;
        struct stream *stream;
        uint64_t id;
        int fd; /* 0: not watched */
        bool listed;
};
struct stream_watch *stream_watch_of(struct stream *stream);
/* Sends a comment if nothing was sent for `quiet_us`. */
void stream_heartbeat(struct stream *stream, int64_t now_us, int64_t quiet_us);
/* The client is gone. */
void stream_cut(struct stream *stream);

/* websocket.c, websocket_loop.c */
enum status websockets_new(struct server *server, struct websockets **ret,
                           struct error *err) MUST_USE;
/* Closes all with 1001, waits at most `grace_ms` for their handshakes, stops the thread; the memory
 * stays with the server. */
void websockets_stop(struct websockets *websockets, unsigned grace_ms);
struct MHD_Response *websocket_build(struct response *response);
/* Calls `closed` of a WebSocket that never opened and drops the server's reference. */
void websocket_discard(struct websocket *ws);
