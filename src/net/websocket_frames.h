/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames of one server-side connection: wslay, with the rules of RFC 6455 that it leaves
 * to its user, independent of any socket.
 *
 * wslay unmasks, assembles, checks UTF-8 and answers pings and closes. Added here: broken frames
 * are answered with 1002 (wslay closes without a code), binary messages with 1003, endless
 * fragments with 1009, and a peer that pings without reading is cut off. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum {
        FRAMES_FRAGMENTS_MAX = 1024, /* of one message */
        FRAMES_PINGS_MAX = 1024,     /* whose answers wait to be sent */
        FRAMES_LOST = 1006,
};

struct frames;

struct frames_io {
        /* Bytes read, 0 at the end, -1 with errno EAGAIN when there are none now. */
        ssize_t (*receive)(void *data, size_t length, void *arg);
        /* Bytes taken, -1 with errno EAGAIN when none can be now. */
        ssize_t (*send)(const void *data, size_t length, void *arg);
        void (*text)(const char *data, size_t length, void *arg);
        /* Something whole came: the peer is alive. */
        void (*alive)(void *arg);
};

/* `io` outlives the object, which must be freed. */
struct frames *frames_new(const struct frames_io *io, void *arg, size_t message_max) MUST_USE;
struct frames *frames_free(struct frames *frames);

/* Reads until there is no more; false if the connection is lost. */
bool frames_receive(struct frames *frames) MUST_USE;
/* Writes until nothing can be written; false if the connection is lost. */
bool frames_send(struct frames *frames) MUST_USE;

void frames_text(struct frames *frames, const char *data, size_t length);
void frames_ping(struct frames *frames);
/* A close frame ahead of what is queued; later calls and messages are ignored. */
void frames_close(struct frames *frames, unsigned code, const char *reason);

bool frames_reading(const struct frames *frames); /* false after a close or an error of the peer */
bool frames_unsent(const struct frames *frames);
size_t frames_unsent_bytes(const struct frames *frames);
bool frames_closing(const struct frames *frames); /* a close is queued, sent or received */
/* Both closes went: the connection is over. */
bool frames_closed(const struct frames *frames);
bool frames_close_sent(const struct frames *frames);
/* The peer's close code, else ours; 1005 for a close without one, FRAMES_LOST if there was none. */
unsigned frames_code(const struct frames *frames);
