/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket connections on one epoll thread: taking them over, waking for them, pings, the stop. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/websocket_internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum {
        EVENTS_MAX = 128,
        SCAN_GAP_US = 250000, /* between walks over all connections */
        PINGS_MISSED_MAX = 2,
};

void websockets_wake(struct websockets *sockets)
{
        uint64_t one = 1;

        (void)!write(sockets->wake, &one, sizeof(one));
}

static void open_socket(struct websockets *sockets, struct websocket *ws)
{
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = ws};
        TRACE_SCOPE(&ws->trace);
        int on = 1;

        ws->opened_us = clock_monotonic_us();
        ws->ping_us = ws->opened_us + ws->options.ping_seconds * 1000000LL;
        if (ws->ping_us < sockets->scan_us)
                sockets->scan_us = ws->ping_us;
        ws->frames = frames_new(&websocket_io, ws, ws->options.message_max);
        ws->events = EPOLLIN;
        TAILQ_INSERT_TAIL(&sockets->all, ws, list);
        metric_add(METRIC_websocket_connections_total, 1);
        metric_add(METRIC_websocket_connections_active, 1);
        log_info(LOG_websocket_event, "websocket opened", LOG_STR("peer", ws->peer));
        setsockopt(ws->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (ws->handlers.opened)
                ws->handlers.opened(ws, ws->arg);
        if (!ws->frames || epoll_ctl(sockets->epoll, EPOLL_CTL_ADD, ws->fd, &event)) {
                websocket_end(ws, FRAMES_LOST);
                return;
        }
        websocket_turn(ws, ws->early_length > 0);
}

bool websockets_room(struct websockets *sockets)
{
        return !sockets->server->draining &&
               sockets->count < sockets->server->options.connections_max;
}

void websockets_adopt(struct websockets *sockets, struct websocket *ws, int fd, const char *early,
                      size_t early_length)
{
        bool stopping;

        ws->fd = fd;
        if (early_length) {
                ws->early = mem_dup(ws, early, early_length);
                ws->early_length = early_length;
        }
        pthread_mutex_lock(&sockets->lock);
        stopping = sockets->stopping;
        if (!stopping) {
                atomic_fetch_add(&sockets->count, 1);
                STAILQ_INSERT_TAIL(&sockets->incoming, ws, dirty_list);
        }
        pthread_mutex_unlock(&sockets->lock);
        if (!stopping) {
                websockets_wake(sockets);
                return;
        }
        close(fd);
        websocket_discard(ws);
}

static void ping(struct websocket *ws, int64_t now_us)
{
        TRACE_SCOPE(&ws->trace);

        if (ws->unanswered >= PINGS_MISSED_MAX) {
                frames_close(ws->frames, WEBSOCKET_GOING_AWAY, "no answer to pings");
                websocket_flush(ws);
                websocket_end(ws, WEBSOCKET_GOING_AWAY);
                return;
        }
        ws->unanswered++;
        ws->ping_us = now_us + ws->options.ping_seconds * 1000000LL;
        if (!frames_closing(ws->frames))
                frames_ping(ws->frames);
        websocket_turn(ws, /* readable= */ false);
}

/* Everything whose time has come; finds when the next is due. */
static void scan(struct websockets *sockets, int64_t now_us)
{
        struct websocket *ws, *next;
        int64_t due_us = INT64_MAX;

        sockets->scan_us = INT64_MAX;
        for (ws = TAILQ_FIRST(&sockets->all); ws; ws = next) {
                next = TAILQ_NEXT(ws, list);
                if (ws->deadline_us && now_us >= ws->deadline_us) {
                        TRACE_SCOPE(&ws->trace);
                        websocket_end(ws, frames_code(ws->frames));
                        continue;
                }
                int64_t at_us = ws->deadline_us ? ws->deadline_us : ws->ping_us;

                if (now_us < at_us) {
                        if (at_us < due_us)
                                due_us = at_us;
                        continue;
                }
                if (now_us + ws->options.ping_seconds * 1000000LL < due_us)
                        due_us = now_us + ws->options.ping_seconds * 1000000LL;
                ping(ws, now_us);
        }
        if (due_us < sockets->scan_us)
                sockets->scan_us = due_us;
        sockets->scanned_us = now_us;
}

static int64_t scan_due(const struct websockets *sockets)
{
        int64_t gap_us = sockets->scanned_us + SCAN_GAP_US;

        return sockets->scan_us < gap_us ? gap_us : sockets->scan_us;
}

static struct websocket *pop(struct websockets *sockets, struct websocket_queue *queue)
{
        struct websocket *ws;

        pthread_mutex_lock(&sockets->lock);
        ws = STAILQ_FIRST(queue);
        if (ws)
                STAILQ_REMOVE_HEAD(queue, dirty_list);
        pthread_mutex_unlock(&sockets->lock);
        return ws;
}

static void serve_dirty(struct websockets *sockets)
{
        struct websocket *ws;

        while ((ws = pop(sockets, &sockets->dirty))) {
                bool closed;

                pthread_mutex_lock(&ws->lock);
                ws->dirty = false;
                closed = ws->closed;
                pthread_mutex_unlock(&ws->lock);
                if (!closed && ws->frames)
                        websocket_turn(ws, /* readable= */ false);
                websocket_unref(ws);
        }
}

static void serve_lists(struct websockets *sockets)
{
        struct websocket *ws;

        while ((ws = pop(sockets, &sockets->incoming)))
                open_socket(sockets, ws);
        serve_dirty(sockets);
}

/* Handed over but not yet open when the stop came. */
static void refuse_incoming(struct websockets *sockets)
{
        struct websocket *ws;

        while ((ws = pop(sockets, &sockets->incoming))) {
                close(ws->fd);
                atomic_fetch_sub(&sockets->count, 1);
                websocket_discard(ws);
        }
}

static void begin_stop(struct websockets *sockets)
{
        struct websocket *ws;

        refuse_incoming(sockets);
        TAILQ_FOREACH(ws, &sockets->all, list)
        websocket_close(ws, WEBSOCKET_GOING_AWAY, "the server is stopping");
        serve_dirty(sockets);
}

static int timeout_of(const struct websockets *sockets, bool stopping)
{
        int64_t due_us = scan_due(sockets), left_us;

        if (stopping && sockets->stop_us < due_us)
                due_us = sockets->stop_us;
        if (sockets->scan_us == INT64_MAX && !stopping)
                return -1;
        left_us = due_us - clock_monotonic_us();
        return left_us <= 0 ? 0 : (int)(left_us / 1000 + 1);
}

static void serve_events(struct websockets *sockets, const struct epoll_event *events, int count)
{
        uint64_t value;

        for (int i = 0; i < count; i++) {
                if (events[i].data.ptr)
                        websocket_turn(events[i].data.ptr,
                                       (events[i].events & ~(uint32_t)EPOLLOUT) != 0);
                else
                        (void)!read(sockets->wake, &value, sizeof(value));
        }
}

static bool over(struct websockets *sockets, bool *stopping)
{
        bool asked;

        pthread_mutex_lock(&sockets->lock);
        asked = sockets->stopping;
        pthread_mutex_unlock(&sockets->lock);
        if (asked && !*stopping)
                begin_stop(sockets);
        *stopping = asked;
        return asked && (TAILQ_EMPTY(&sockets->all) || clock_monotonic_us() >= sockets->stop_us);
}

static void *run(void *arg)
{
        struct websockets *sockets = arg;
        struct epoll_event events[EVENTS_MAX];
        struct websocket *ws;
        bool stopping = false;

        pthread_setname_np(pthread_self(), "websockets");
        while (!over(sockets, &stopping)) {
                int count = epoll_wait(sockets->epoll, events, EVENTS_MAX,
                                       timeout_of(sockets, stopping));
                int64_t now_us;

                serve_events(sockets, events, count);
                serve_lists(sockets);
                now_us = clock_monotonic_us();
                if (now_us >= scan_due(sockets))
                        scan(sockets, now_us);
        }
        while ((ws = TAILQ_FIRST(&sockets->all)))
                websocket_end(ws, WEBSOCKET_GOING_AWAY);
        serve_dirty(sockets);
        return NULL;
}

static int websockets_destroy(struct websockets *sockets)
{
        close(sockets->epoll);
        close(sockets->wake);
        return 0;
}

enum status websockets_new(struct server *server, struct websockets **ret, struct error *err)
{
        struct websockets *sockets = mem_new(server, struct websockets);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

        sockets->server = server;
        sockets->scan_us = INT64_MAX;
        TAILQ_INIT(&sockets->all);
        STAILQ_INIT(&sockets->incoming);
        STAILQ_INIT(&sockets->dirty);
        pthread_mutex_init(&sockets->lock, NULL);
        sockets->epoll = epoll_create1(EPOLL_CLOEXEC);
        sockets->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        talloc_set_destructor(sockets, websockets_destroy);
        if (sockets->epoll < 0 || sockets->wake < 0 ||
            epoll_ctl(sockets->epoll, EPOLL_CTL_ADD, sockets->wake, &event) ||
            pthread_create(&sockets->thread, NULL, run, sockets))
                return error_set(err, STATUS_INTERNAL, "cannot start the WebSocket thread: %s",
                                 strerror(errno));
        *ret = sockets;
        return STATUS_OK;
}

void websockets_stop(struct websockets *sockets, unsigned grace_ms)
{
        pthread_mutex_lock(&sockets->lock);
        sockets->stopping = true;
        sockets->stop_us = clock_monotonic_us() + grace_ms * 1000LL;
        pthread_mutex_unlock(&sockets->lock);
        websockets_wake(sockets);
        pthread_join(sockets->thread, NULL);
}
