/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes a peer may send as frames. Texts that arrive are whole and valid UTF-8; what is written is
 * well formed. Input: a byte for the size of reads and writes, then the peer's bytes. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "net/websocket_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 4096 };

struct peer {
        struct frames *frames;
        const uint8_t *data;
        size_t size, at;
        size_t step;
        bool busy; /* every other read or write would block */
        size_t sent, frame_left;
        uint8_t head[10];
        size_t head_length;
};

static void must(bool holds)
{
        if (!holds)
                abort();
}

static ssize_t give(void *out, size_t length, void *arg)
{
        struct peer *peer = arg;

        peer->busy = !peer->busy;
        if (peer->busy) {
                errno = EAGAIN;
                return -1;
        }
        if (length > peer->step)
                length = peer->step;
        if (length > peer->size - peer->at)
                length = peer->size - peer->at;
        memcpy(out, peer->data + peer->at, length);
        peer->at += length;
        return (ssize_t)length;
}

/* Follows the server's frames: known opcodes, no mask, no reserved bits, short control frames. */
static void follow(struct peer *peer, uint8_t byte)
{
        size_t extended;

        if (peer->frame_left > 0) {
                peer->frame_left--;
                return;
        }
        peer->head[peer->head_length++] = byte;
        if (peer->head_length < 2)
                return;
        extended = peer->head[1] == 126 ? 2 : peer->head[1] == 127 ? 8 : 0;
        if (peer->head_length < 2 + extended)
                return;
        must((peer->head[0] & 0x70) == 0 && (peer->head[1] & 0x80) == 0);
        must((peer->head[0] & 0x8F) == 0x81 || peer->head[0] == 0x88 || peer->head[0] == 0x8A ||
             peer->head[0] == 0x89);
        must(!(peer->head[0] & 8) || extended == 0);
        peer->frame_left = extended ? 0 : peer->head[1];
        for (size_t i = 0; i < extended; i++)
                peer->frame_left = peer->frame_left << 8 | peer->head[2 + i];
        peer->head_length = 0;
}

static ssize_t take(const void *data, size_t length, void *arg)
{
        struct peer *peer = arg;

        peer->busy = !peer->busy;
        if (peer->busy) {
                errno = EAGAIN;
                return -1;
        }
        for (size_t i = 0; i < length; i++)
                follow(peer, ((const uint8_t *)data)[i]);
        peer->sent += length;
        return (ssize_t)length;
}

static void echo(const char *data, size_t length, void *arg)
{
        struct peer *peer = arg;

        must(length <= MESSAGE_MAX && utf8_valid(data, length));
        frames_text(peer->frames, data, length);
}

static void alive(void *arg)
{
        (void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct frames_io io = {give, take, echo, alive};
        struct peer peer = {0};
        bool open = true;

        if (size == 0)
                return 0;
        peer.data = data + 1;
        peer.size = size - 1;
        peer.step = (size_t)data[0] + 1;
        peer.frames = frames_new(&io, &peer, MESSAGE_MAX);
        must(peer.frames != NULL);
        if (data[0] & 1)
                frames_ping(peer.frames);
        while (open && peer.at < peer.size && frames_reading(peer.frames)) {
                open = frames_receive(peer.frames) && frames_send(peer.frames);
                must(frames_unsent_bytes(peer.frames) == 0 || frames_unsent(peer.frames) ||
                     frames_close_sent(peer.frames) || !open);
        }
        if (open)
                frames_close(peer.frames, 1001, "the end");
        for (int i = 0; open && i < 100; i++)
                open = frames_send(peer.frames);
        must(!open || frames_close_sent(peer.frames));
        must(frames_code(peer.frames) >= 1000);
        frames_free(peer.frames);
        return 0;
}
