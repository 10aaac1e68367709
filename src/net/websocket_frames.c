/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames over wslay's event interface. */
#include "net/websocket_frames.h"

#include <errno.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/utf8.h"

enum {
        CLOSE_PROTOCOL = 1002,
        CLOSE_UNSUPPORTED = 1003,
        CLOSE_TOO_BIG = 1009,
        REASON_MAX = 123,
        FINAL_CLOSE = 0x88, /* first byte of a close frame */
};

struct frames {
        wslay_event_context_ptr wslay;
        const struct frames_io *io;
        void *arg;
        unsigned fragments; /* of the message under way */
        unsigned pings;     /* answered since everything was sent */
        bool queued_close;
        bool lost;     /* the transport failed or ended */
        bool protocol; /* the peer broke the protocol: our close carries 1002 */
        bool one_byte_close;
};

static ssize_t on_receive(wslay_event_context_ptr wslay, uint8_t *data, size_t length, int flags,
                          void *arg)
{
        struct frames *frames = arg;
        ssize_t got;

        (void)flags;
        got = frames->io->receive(data, length, frames->arg);
        if (got > 0)
                return got;
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
                wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
                return -1;
        }
        frames->lost = true;
        wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
}

/* wslay's answer to a broken frame is a close without a code; here it gets one. */
static ssize_t send_protocol_close(struct frames *frames)
{
        static const uint8_t close[] = {FINAL_CLOSE, 2, CLOSE_PROTOCOL >> 8, CLOSE_PROTOCOL & 0xff};
        ssize_t sent = frames->io->send(close, sizeof(close), frames->arg);

        if (sent < 0)
                return sent;
        if (sent == sizeof(close))
                return 2;
        errno = EPIPE;
        return -1;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *data, size_t length, int flags,
                       void *arg)
{
        struct frames *frames = arg;
        bool replace = (frames->protocol || frames->one_byte_close) && length == 2 &&
                       data[0] == FINAL_CLOSE && data[1] == 0;
        ssize_t sent =
                replace ? send_protocol_close(frames) : frames->io->send(data, length, frames->arg);

        (void)flags;
        if (sent >= 0)
                return sent;
        if (errno == EAGAIN || errno == EINTR) {
                wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        } else {
                frames->lost = true;
                wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
        }
        return -1;
}

static void refuse(struct frames *frames, unsigned code)
{
        frames_close(frames, code, "");
        wslay_event_shutdown_read(frames->wslay);
}

static void lose(struct frames *frames)
{
        frames->lost = true;
        wslay_event_shutdown_read(frames->wslay);
}

static void on_frame(wslay_event_context_ptr wslay,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *arg)
{
        struct frames *frames = arg;

        (void)wslay;
        if (wslay_is_ctrl_frame(frame->opcode))
                return;
        if (frame->opcode != WSLAY_CONTINUATION_FRAME)
                frames->fragments = 0;
        if (++frames->fragments > FRAMES_FRAGMENTS_MAX)
                refuse(frames, CLOSE_TOO_BIG);
}

static void on_message(wslay_event_context_ptr wslay,
                       const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
        struct frames *frames = arg;

        (void)wslay;
        if (!frames_reading(frames) && message->opcode != WSLAY_CONNECTION_CLOSE)
                return;
        frames->io->alive(frames->arg);
        if (message->opcode == WSLAY_TEXT_FRAME)
                frames->io->text(message->msg ? (const char *)message->msg : "",
                                 message->msg_length, frames->arg);
        else if (message->opcode == WSLAY_BINARY_FRAME)
                refuse(frames, CLOSE_UNSUPPORTED);
        else if (message->opcode == WSLAY_CONNECTION_CLOSE)
                frames->one_byte_close = message->msg_length == 1;
        else if (message->opcode == WSLAY_PING && ++frames->pings > FRAMES_PINGS_MAX)
                lose(frames);
}

struct frames *frames_new(const struct frames_io *io, void *arg, size_t message_max)
{
        static const struct wslay_event_callbacks callbacks = {
                .recv_callback = on_receive,
                .send_callback = on_send,
                .on_frame_recv_start_callback = on_frame,
                .on_msg_recv_callback = on_message,
        };
        struct frames *frames = mem_new(NULL, struct frames);

        frames->io = io;
        frames->arg = arg;
        if (wslay_event_context_server_init(&frames->wslay, &callbacks, frames))
                return frames_free(frames);
        wslay_event_config_set_max_recv_msg_length(frames->wslay, message_max);
        return frames;
}

struct frames *frames_free(struct frames *frames)
{
        if (frames)
                wslay_event_context_free(frames->wslay);
        return mem_free(frames);
}

bool frames_receive(struct frames *frames)
{
        int result = wslay_event_recv(frames->wslay);

        if (result == WSLAY_ERR_NOMEM)
                frames->lost = true;
        else if (result && !frames->lost)
                frames->protocol = true;
        return !frames->lost;
}

bool frames_send(struct frames *frames)
{
        if (wslay_event_send(frames->wslay))
                frames->lost = true;
        if (!frames_unsent(frames))
                frames->pings = 0;
        return !frames->lost;
}

static void queue(struct frames *frames, uint8_t opcode, const char *data, size_t length)
{
        struct wslay_event_msg message = {
                .opcode = opcode, .msg = (const uint8_t *)data, .msg_length = length};

        /* Refused only once a close is queued, when nothing more may be sent. */
        if (wslay_event_queue_msg(frames->wslay, &message) == WSLAY_ERR_NOMEM)
                frames->lost = true;
}

void frames_text(struct frames *frames, const char *data, size_t length)
{
        queue(frames, WSLAY_TEXT_FRAME, data, length);
}

void frames_ping(struct frames *frames)
{
        queue(frames, WSLAY_PING, "", 0);
}

void frames_close(struct frames *frames, unsigned code, const char *reason)
{
        size_t length = strlen(reason);

        if (length > REASON_MAX)
                length = utf8_floor(reason, length, REASON_MAX);
        if (wslay_event_queue_close(frames->wslay, (uint16_t)code, (const uint8_t *)reason,
                                    length) == 0)
                frames->queued_close = true;
}

bool frames_reading(const struct frames *frames)
{
        return wslay_event_get_read_enabled(frames->wslay) && !frames->lost;
}

bool frames_unsent(const struct frames *frames)
{
        return wslay_event_want_write(frames->wslay);
}

size_t frames_unsent_bytes(const struct frames *frames)
{
        return wslay_event_get_queued_msg_length(frames->wslay);
}

bool frames_close_sent(const struct frames *frames)
{
        return wslay_event_get_close_sent(frames->wslay);
}

bool frames_closed(const struct frames *frames)
{
        return frames_close_sent(frames) && wslay_event_get_close_received(frames->wslay);
}

bool frames_closing(const struct frames *frames)
{
        return frames->queued_close || !wslay_event_get_read_enabled(frames->wslay);
}

unsigned frames_code(const struct frames *frames)
{
        if (frames->protocol || frames->one_byte_close)
                return CLOSE_PROTOCOL;
        if (wslay_event_get_close_received(frames->wslay))
                return wslay_event_get_status_code_received(frames->wslay);
        if (frames_close_sent(frames))
                return wslay_event_get_status_code_sent(frames->wslay);
        return FRAMES_LOST;
}
