/* SPDX-License-Identifier: Apache-2.0 */
/* One WebSocket connection: its senders' outbox, its socket and the end of it.
 *
 * Senders on any thread fill a bounded outbox; only the loop thread touches socket and frames. All
 * connections share one buffer to gather frames in, so that a burst of messages is one system call
 * and only a slow client's rest is kept. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/websocket_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum {
        READS_PER_TURN = 16,
        MESSAGE_OVERHEAD = 64, /* what a queued message costs besides its text */
        CLOSE_TIMEOUT_US = 5000000,
        DISCARD_READ = 4096,
        CLOSE_TRY_LATER = 1013,
};

static void drop_outbox(struct websocket *ws)
{
        struct message *next;

        for (struct message *at = ws->outbox; at; at = next) {
                next = at->next;
                mem_free(at);
        }
        ws->outbox = NULL;
        ws->outbox_end = &ws->outbox;
        ws->outbox_bytes = 0;
}

struct websocket *websocket_ref(struct websocket *ws)
{
        atomic_fetch_add(&ws->references, 1);
        return ws;
}

void websocket_unref(struct websocket *ws)
{
        if (!ws || atomic_fetch_sub(&ws->references, 1) != 1)
                return;
        drop_outbox(ws);
        pthread_mutex_destroy(&ws->lock);
        mem_free(ws);
}

/* Call with the connection's lock held. The list keeps a reference. */
static void mark_dirty(struct websocket *ws)
{
        struct websockets *sockets = ws->sockets;
        bool first;

        if (ws->dirty)
                return;
        ws->dirty = true;
        websocket_ref(ws);
        pthread_mutex_lock(&sockets->lock);
        first = STAILQ_EMPTY(&sockets->dirty);
        STAILQ_INSERT_TAIL(&sockets->dirty, ws, dirty_list);
        pthread_mutex_unlock(&sockets->lock);
        if (first)
                websockets_wake(sockets);
}

static void overflow(struct websocket *ws)
{
        drop_outbox(ws);
        ws->overflow = true;
        ws->close_code = CLOSE_TRY_LATER;
        ws->close_reason = mem_strdup(ws, "too slow");
        mark_dirty(ws);
}

void websocket_send(struct websocket *ws, const char *data, size_t length)
{
        pthread_mutex_lock(&ws->lock);
        if (ws->closed || ws->close_code) {
                pthread_mutex_unlock(&ws->lock);
                return;
        }
        if (ws->outbox_bytes + ws->unsent_bytes + length + MESSAGE_OVERHEAD >
            ws->options.queue_max) {
                overflow(ws);
        } else {
                struct message *message = (void *)mem_array(NULL, char, sizeof(*message) + length);

                message->length = length;
                memcpy(message->text, data, length);
                *ws->outbox_end = message;
                ws->outbox_end = &message->next;
                ws->outbox_bytes += length + MESSAGE_OVERHEAD;
                mark_dirty(ws);
        }
        pthread_mutex_unlock(&ws->lock);
}

void websocket_close(struct websocket *ws, unsigned code, const char *reason)
{
        pthread_mutex_lock(&ws->lock);
        if (!ws->closed && !ws->close_code) {
                ws->close_code = code;
                ws->close_reason = mem_strdup(ws, reason ? reason : "");
                mark_dirty(ws);
        }
        pthread_mutex_unlock(&ws->lock);
}

static ssize_t socket_receive(void *data, size_t length, void *arg)
{
        struct websocket *ws = arg;

        if (ws->early_used < ws->early_length) {
                size_t part = ws->early_length - ws->early_used;

                if (part > length)
                        part = length;
                memcpy(data, ws->early + ws->early_used, part);
                ws->early_used += part;
                return (ssize_t)part;
        }
        if (ws->budget == 0) {
                errno = EAGAIN;
                return -1;
        }
        ws->budget--;
        return recv(ws->fd, data, length, MSG_DONTWAIT);
}

static ssize_t socket_gather(const void *data, size_t length, void *arg)
{
        struct websocket *ws = arg;
        struct websockets *sockets = ws->sockets;
        size_t room = WEBSOCKET_GATHER_MAX - sockets->gathered;

        if (length > room)
                length = room;
        if (length == 0) {
                errno = EAGAIN;
                return -1;
        }
        memcpy(sockets->gather + sockets->gathered, data, length);
        sockets->gathered += length;
        return (ssize_t)length;
}

static void on_text(const char *data, size_t length, void *arg)
{
        struct websocket *ws = arg;

        metric_add(METRIC_websocket_messages_total, 1, "in");
        log_debug(LOG_websocket_event, "websocket message received", LOG_INT("bytes", length));
        if (ws->handlers.text)
                ws->handlers.text(ws, data, length, ws->arg);
}

static void on_alive(void *arg)
{
        struct websocket *ws = arg;

        ws->unanswered = 0;
}

const struct frames_io websocket_io = {
        .receive = socket_receive, .send = socket_gather, .text = on_text, .alive = on_alive};

/* True while the socket takes what is left over from before. */
static bool flush_pending(struct websocket *ws, bool *ok)
{
        ssize_t sent;

        if (!ws->pending)
                return true;
        sent = send(ws->fd, ws->pending + ws->pending_sent, ws->pending_length - ws->pending_sent,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
                *ok = errno == EAGAIN || errno == EINTR;
                return false;
        }
        ws->pending_sent += (size_t)sent;
        if (ws->pending_sent < ws->pending_length)
                return false;
        ws->pending = mem_free(ws->pending);
        ws->pending_length = ws->pending_sent = 0;
        return true;
}

static bool send_gathered(struct websocket *ws)
{
        struct websockets *sockets = ws->sockets;
        size_t length = sockets->gathered;
        ssize_t sent = send(ws->fd, sockets->gather, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        sockets->gathered = 0;
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
                return false;
        if (sent < 0)
                sent = 0;
        if ((size_t)sent < length) {
                ws->pending = mem_dup(ws, sockets->gather + sent, length - (size_t)sent);
                ws->pending_length = length - (size_t)sent;
                ws->pending_sent = 0;
        }
        return true;
}

/* Writes as much as the socket takes; false if it is broken. */
bool websocket_flush(struct websocket *ws)
{
        bool ok = true;

        while (flush_pending(ws, &ok) && frames_unsent(ws->frames)) {
                if (!frames_send(ws->frames))
                        return false;
                if (ws->sockets->gathered == 0)
                        break;
                if (!send_gathered(ws))
                        return false;
        }
        return ok;
}

static void watch_events(struct websocket *ws)
{
        bool reading = frames_reading(ws->frames) || ws->discarding;
        bool writing = ws->pending || frames_unsent(ws->frames);
        struct epoll_event event = {.data.ptr = ws};

        event.events = (reading ? EPOLLIN : 0u) | (writing ? EPOLLOUT : 0u);
        if (event.events == ws->events)
                return;
        epoll_ctl(ws->sockets->epoll, EPOLL_CTL_MOD, ws->fd, &event);
        ws->events = event.events;
}

static void set_deadline(struct websocket *ws)
{
        if (ws->deadline_us)
                return;
        ws->deadline_us = clock_monotonic_us() + CLOSE_TIMEOUT_US;
        if (ws->deadline_us < ws->sockets->scan_us)
                ws->sockets->scan_us = ws->deadline_us;
}

/* Moves the outbox into the frames; the code of a close that was asked for and may go now. */
static unsigned take_outbox(struct websocket *ws, const char **ret_reason)
{
        struct message *message, *next;
        unsigned code;
        bool drop;

        pthread_mutex_lock(&ws->lock);
        message = ws->outbox;
        ws->outbox = NULL;
        ws->outbox_end = &ws->outbox;
        ws->unsent_bytes += ws->outbox_bytes;
        ws->outbox_bytes = 0;
        code = ws->close_code;
        drop = ws->overflow;
        *ret_reason = ws->close_reason;
        pthread_mutex_unlock(&ws->lock);
        for (; message; message = next) {
                next = message->next;
                frames_text(ws->frames, message->text, message->length);
                metric_add(METRIC_websocket_messages_total, 1, "out");
                mem_free(message);
        }
        return drop || !frames_unsent(ws->frames) ? code : 0;
}

static void publish_unsent(struct websocket *ws)
{
        pthread_mutex_lock(&ws->lock);
        ws->unsent_bytes = frames_unsent_bytes(ws->frames) + ws->pending_length - ws->pending_sent;
        pthread_mutex_unlock(&ws->lock);
}

/* Sends what there is and closes when asked to; false if the connection is lost. */
static bool pump(struct websocket *ws)
{
        const char *reason = "";
        unsigned code = take_outbox(ws, &reason);

        if (!websocket_flush(ws))
                return false;
        if (!code && !frames_unsent(ws->frames))
                code = take_outbox(ws, &reason);
        if (code && !frames_closing(ws->frames)) {
                frames_close(ws->frames, code, reason);
                if (!websocket_flush(ws))
                        return false;
        }
        publish_unsent(ws);
        if (frames_closing(ws->frames))
                set_deadline(ws);
        return true;
}

/* After an error of the peer its frames mean nothing, but closing over unread bytes would reset the
 * connection and destroy our close frame under way. */
static bool discard(struct websocket *ws)
{
        char scratch[DISCARD_READ];
        ssize_t got;

        for (unsigned i = 0; i < READS_PER_TURN; i++) {
                got = recv(ws->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
                if (got == 0)
                        return false;
                if (got < 0)
                        return errno == EAGAIN || errno == EINTR;
        }
        return true;
}

/* Clients choose codes from 3000 on: they must not make up metric series. */
static const char *code_label(unsigned code, char text[12])
{
        if (code < 1000 || code > 1015)
                return "other";
        snprintf(text, 12, "%u", code);
        return text;
}

void websocket_end(struct websocket *ws, unsigned code)
{
        struct websockets *sockets = ws->sockets;
        double seconds = metric_seconds_since(ws->opened_us);
        char label[12];

        TAILQ_REMOVE(&sockets->all, ws, list);
        /* The HTTP library may not have closed its descriptor of the socket yet. */
        epoll_ctl(sockets->epoll, EPOLL_CTL_DEL, ws->fd, NULL);
        close(ws->fd);
        pthread_mutex_lock(&ws->lock);
        ws->closed = true;
        drop_outbox(ws);
        pthread_mutex_unlock(&ws->lock);
        ws->frames = frames_free(ws->frames);
        ws->pending = mem_free(ws->pending);
        metric_add(METRIC_websocket_connections_active, -1);
        metric_add(METRIC_websocket_disconnections_total, 1, code_label(code, label));
        metric_observe(METRIC_websocket_connection_duration_seconds, seconds);
        log_info(LOG_websocket_event, "websocket closed", LOG_STR("peer", ws->peer),
                 LOG_INT("code", code), LOG_REAL("duration_ms", seconds * 1000));
        atomic_fetch_sub(&sockets->count, 1);
        if (ws->handlers.closed)
                ws->handlers.closed(ws, code, ws->arg);
        websocket_unref(ws);
}

void websocket_turn(struct websocket *ws, bool readable)
{
        TRACE_SCOPE(&ws->trace);
        bool alive = true;

        ws->budget = READS_PER_TURN;
        if (readable && ws->discarding)
                alive = discard(ws);
        else if (readable)
                alive = frames_receive(ws->frames);
        if (!alive || !pump(ws)) {
                websocket_end(ws, frames_code(ws->frames));
                return;
        }
        if (frames_closed(ws->frames) && !ws->pending) {
                websocket_end(ws, frames_code(ws->frames));
                return;
        }
        if (frames_close_sent(ws->frames) && !ws->pending && !frames_reading(ws->frames) &&
            !ws->discarding) {
                ws->discarding = true;
                shutdown(ws->fd, SHUT_WR);
        }
        watch_events(ws);
}
