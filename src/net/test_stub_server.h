/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted HTTP server inside a test: says exactly the bytes it is told, when it is told, on
 * 127.0.0.1. One thread, any number of connections. For tests of this layer and those above. */
#pragma once

#include "base/buffer.h"

struct stub;

enum stub_framing {
        STUB_LENGTH,  /* Content-Length, connection kept */
        STUB_CHUNKED, /* a chunk a piece */
        STUB_CLOSE,   /* ends by closing */
        STUB_RAW,     /* `body` is everything sent, head included; then closes */
};

/* Texts are copied. */
struct stub_reply {
        const char *path;    /* prefix of the request target */
        unsigned status;     /* 0: 200 */
        const char *headers; /* extra lines, each ending with CRLF; NULL: application/json */
        const char *body;
        size_t length; /* of body; 0: strlen */
        enum stub_framing framing;
        size_t piece;      /* bytes sent at a time, 1 ms apart; 0: all at once */
        unsigned delay_ms; /* before the first byte */
        size_t stop_after; /* bytes of body sent before `hang` or `cut` */
        bool hang;         /* then says nothing until the client leaves */
        bool cut;          /* then closes, the answer unfinished */
};

struct stub *stub_start(void);
/* Takes NULL, returns NULL. */
struct stub *stub_stop(struct stub *stub);
unsigned stub_port(const struct stub *stub);
/* "http://127.0.0.1:PORT" and `path`, below ctx. */
char *stub_url(const struct stub *stub, const void *ctx, const char *path);

/* Queues a reply for requests whose target begins with reply->path; the last one queued for a path
 * stays. Unknown targets get 404. */
void stub_add(struct stub *stub, const struct stub_reply *reply);
/* Forgets replies and requests. */
void stub_reset(struct stub *stub);

/* Waits (10 s at most) until `count` requests have come in all, or `count` connections were left
 * by the client before their answer was complete; false if that did not happen. */
bool stub_wait_requests(struct stub *stub, size_t count);
bool stub_wait_hangups(struct stub *stub, size_t count);
size_t stub_requests(struct stub *stub);
size_t stub_connections(struct stub *stub); /* accepted so far */
/* Head and body of the request `back` before the last (0: the last), below ctx; NULL if gone. */
char *stub_request(struct stub *stub, const void *ctx, size_t back);
