/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: a bounded queue between any sender and one connection.
 *
 * The connection's content reader empties the queue and suspends the connection when it is empty;
 * a sender resumes it. Who lets the queue overflow is cut off: the server's memory is never the
 * buffer of a slow client. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/server_internal.h"

/* Idle streams give their buffer back above this size. */
enum { STREAM_KEPT = 4096 };

struct stream {
        atomic_int references; /* the connection's and the caller's */
        struct server *server;
        struct stream_handlers handlers;
        void *arg;
        size_t queue_max;

        pthread_mutex_t lock;
        struct MHD_Connection *mhd; /* NULL until attached and after the end */
        struct loop *loop;
        int fd;
        struct buffer queue;
        size_t sent; /* bytes of the queue that are gone */
        int64_t last_us;
        bool suspended, ended, cut;

        /* Held while `closed` runs and while the caller lets go, so that neither overtakes. */
        pthread_mutex_t closing;
        bool released;

        struct stream_watch watch;
};

/* Whose `closed` runs on this thread, which may let go from within it. */
static _Thread_local struct stream *closing_here;

struct stream_watch *stream_watch_of(struct stream *stream)
{
        return &stream->watch;
}

static void stream_unref(struct stream *stream)
{
        if (atomic_fetch_sub(&stream->references, 1) != 1)
                return;
        pthread_mutex_destroy(&stream->lock);
        pthread_mutex_destroy(&stream->closing);
        mem_free(stream);
}

static ssize_t take_queued(struct stream *stream, char *out, size_t max)
{
        size_t length = stream->queue.length - stream->sent;

        if (length > max)
                length = max;
        memcpy(out, stream->queue.data + stream->sent, length);
        stream->sent += length;
        if (stream->sent == stream->queue.length) {
                if (stream->queue.capacity > STREAM_KEPT)
                        buffer_release(&stream->queue);
                else
                        buffer_clear(&stream->queue);
                stream->sent = 0;
        }
        return (ssize_t)length;
}

static ssize_t read_queue(void *cls, uint64_t position, char *out, size_t max)
{
        struct stream *stream = cls;
        ssize_t result = 0;

        (void)position;
        pthread_mutex_lock(&stream->lock);
        if (stream->cut) {
                result = MHD_CONTENT_READER_END_WITH_ERROR;
        } else if (stream->queue.length > stream->sent) {
                result = take_queued(stream, out, max);
        } else if (stream->ended) {
                result = MHD_CONTENT_READER_END_OF_STREAM;
        } else {
                stream->suspended = true;
                MHD_suspend_connection(stream->mhd);
        }
        pthread_mutex_unlock(&stream->lock);
        return result;
}

/* The response is gone, and with it the client; or it was never built. */
void stream_detach(struct stream *stream)
{
        watch_remove_stream(stream->server->watch, stream);
        pthread_mutex_lock(&stream->lock);
        stream->ended = true;
        stream->mhd = NULL;
        stream->suspended = false;
        pthread_mutex_unlock(&stream->lock);

        pthread_mutex_lock(&stream->closing);
        if (!stream->released && stream->handlers.closed) {
                closing_here = stream;
                stream->handlers.closed(stream->arg);
                closing_here = NULL;
        }
        pthread_mutex_unlock(&stream->closing);
        stream_unref(stream);
}

static void connection_gone(void *cls)
{
        stream_detach(cls);
}

struct MHD_Response *stream_build(struct stream *stream)
{
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, read_queue, stream,
                                                 connection_gone);
}

void stream_attach(struct stream *stream, struct exchange *exchange)
{
        pthread_mutex_lock(&stream->lock);
        stream->mhd = exchange->mhd;
        stream->loop = exchange->loop;
        stream->fd = exchange->peer->fd;
        pthread_mutex_unlock(&stream->lock);
        watch_stream_socket(exchange->server->watch, stream, exchange->peer->fd);
}

/* Call with the lock held after the queue changed. */
static void wake(struct stream *stream)
{
        if (!stream->suspended)
                return;
        stream->suspended = false;
        loop_resume(stream->loop, stream->mhd);
}

/* A client that does not read keeps its connection busy, where no reader is called: only the socket
 * can tell it. Its descriptor is ours until `mhd` is NULL. */
static void cut_off(struct stream *stream)
{
        stream->cut = true;
        buffer_release(&stream->queue);
        stream->sent = 0;
        if (stream->mhd && !stream->suspended)
                shutdown(stream->fd, SHUT_RDWR);
        wake(stream);
}

/* What was sent already does not count against the maximum. */
static void compact(struct stream *stream)
{
        struct buffer *queue = &stream->queue;

        if (stream->sent == 0)
                return;
        memmove(queue->data, queue->data + stream->sent, queue->length - stream->sent);
        queue->length -= stream->sent;
        queue->data[queue->length] = '\0';
        stream->sent = 0;
}

static void append_data(struct buffer *queue, const char *data, size_t length)
{
        const char *end = data + length;

        do {
                const char *newline = memchr(data, '\n', (size_t)(end - data));
                const char *stop = newline ? newline : end;

                buffer_text(queue, "data: ");
                buffer_append(queue, data, (size_t)(stop - data));
                buffer_char(queue, '\n');
                data = newline ? newline + 1 : end;
        } while (data < end);
        buffer_char(queue, '\n');
}

void stream_send(struct stream *stream, int64_t id, const char *event, const char *data,
                 size_t length)
{
        struct buffer *queue = &stream->queue;

        pthread_mutex_lock(&stream->lock);
        if (!stream->ended && !stream->cut) {
                if (queue->length + length + 256 > queue->max)
                        compact(stream);
                if (id > 0)
                        buffer_printf(queue, "id: %lld\n", (long long)id);
                if (event)
                        buffer_printf(queue, "event: %s\n", event);
                append_data(queue, data, length);
                stream->last_us = clock_monotonic_us();
                if (queue->overflow)
                        cut_off(stream);
                else
                        wake(stream);
        }
        pthread_mutex_unlock(&stream->lock);
}

void stream_heartbeat(struct stream *stream, int64_t now_us, int64_t quiet_us)
{
        pthread_mutex_lock(&stream->lock);
        if (stream->suspended && now_us - stream->last_us >= quiet_us) {
                buffer_text(&stream->queue, ": ping\n\n");
                stream->last_us = now_us;
                wake(stream);
        }
        pthread_mutex_unlock(&stream->lock);
}

void stream_cut(struct stream *stream)
{
        pthread_mutex_lock(&stream->lock);
        if (!stream->cut)
                cut_off(stream);
        pthread_mutex_unlock(&stream->lock);
}

void stream_end(struct stream *stream)
{
        pthread_mutex_lock(&stream->lock);
        stream->ended = true;
        wake(stream);
        pthread_mutex_unlock(&stream->lock);
}

void stream_release(struct stream *stream)
{
        bool inside = closing_here == stream;

        stream_end(stream);
        if (!inside)
                pthread_mutex_lock(&stream->closing);
        stream->released = true;
        if (!inside)
                pthread_mutex_unlock(&stream->closing);
        stream_unref(stream);
}

struct reply reply_stream(struct request *req, const struct stream_handlers *handlers, void *arg,
                          size_t queue_max)
{
        struct response *response = response_new(req, RESPONSE_STREAM, 200);
        struct stream *stream = mem_new(NULL, struct stream);
        struct reply reply = {response};

        stream->references = 2;
        stream->server = req->exchange->server;
        stream->handlers = *handlers;
        stream->arg = arg;
        stream->fd = -1;
        stream->watch.stream = stream;
        stream->queue = BUFFER_INIT(stream, queue_max);
        stream->last_us = clock_monotonic_us();
        pthread_mutex_init(&stream->lock, NULL);
        pthread_mutex_init(&stream->closing, NULL);
        response->stream = stream;
        response->content_type = "text/event-stream";
        response->cache_control = "no-cache, no-transform";
        reply = reply_header(reply, "X-Accel-Buffering", "no");
        watch_add_stream(stream->server->watch, stream);
        if (handlers->opened)
                handlers->opened(stream, arg);
        return reply;
}
