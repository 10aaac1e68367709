/* SPDX-License-Identifier: Apache-2.0 */
/* The watch: one thread that accepts connections and minds what no event of the library tells.
 *
 * A request must come within its deadline, however slowly its bytes drip; an idle stream gets a
 * heartbeat, and its client's going is noticed although the connection is suspended; a connection
 * closed over an unread body stays until the client has read the answer, which a reset would
 * destroy. It sleeps without a timeout while there is nothing to mind. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/server_internal.h"

enum {
        ACCEPT_BATCH = 64,
        LINGER_MAX = 256,
        LINGER_BYTES = 1024 * 1024,
        LINGER_US = 2000000,
        LINGER_TICK_MS = 250,
        TICK_MIN_MS = 100,
        TICK_MAX_MS = 5000,
        EVENTS_MAX = 64,
};

/* What an epoll event is about: the low bits of its data. */
enum event_kind { EVENT_WAKE, EVENT_STREAM, EVENT_LINGER, EVENT_ACCEPT, EVENT_KIND_BITS = 2 };

struct lingerer {
        TAILQ_ENTRY(lingerer) list;
        int fd;
        size_t bytes;
        int64_t deadline_us;
};

TAILQ_HEAD(peer_list, peer);
TAILQ_HEAD(linger_list, lingerer);
TAILQ_HEAD(stream_list, stream_watch);

struct watch {
        struct server *server;
        int epoll, wake;
        pthread_t thread;
        int tick_ms;
        int64_t heartbeat_us;

        pthread_mutex_t lock; /* of all below */
        struct peer_list peers;
        struct stream_list streams;
        struct linger_list lingering;
        size_t linger_count;
        uint64_t last_id;
        bool stopping, streams_ended;
        int listener;         /* -1: none */
        unsigned connections; /* accepted and not yet closed */
        bool full, starved;   /* not accepting: at the limit, out of descriptors */
};

static void wake(struct watch *watch)
{
        uint64_t one = 1;

        (void)!write(watch->wake, &one, sizeof(one));
}

static bool idle(const struct watch *watch)
{
        return TAILQ_EMPTY(&watch->peers) && TAILQ_EMPTY(&watch->streams) && !watch->linger_count &&
               !watch->starved;
}

static void listen_for(struct watch *watch, uint32_t events, int operation)
{
        struct epoll_event event = {.events = events, .data.u64 = EVENT_ACCEPT};

        if (watch->listener >= 0)
                epoll_ctl(watch->epoll, operation, watch->listener, &event);
}

void watch_accept(struct watch *watch, int listener)
{
        pthread_mutex_lock(&watch->lock);
        watch->listener = listener;
        listen_for(watch, EPOLLIN, EPOLL_CTL_ADD);
        pthread_mutex_unlock(&watch->lock);
}

void watch_accept_none(struct watch *watch)
{
        pthread_mutex_lock(&watch->lock);
        listen_for(watch, 0, EPOLL_CTL_DEL);
        close(watch->listener);
        watch->listener = -1;
        pthread_mutex_unlock(&watch->lock);
}

static struct loop *idlest(const struct server *server)
{
        struct loop *best = server->loops[0];

        for (unsigned i = 1; i < server->loop_count; i++) {
                if (loop_connections(server->loops[i]) < loop_connections(best))
                        best = server->loops[i];
        }
        return best;
}

/* One connection; false when there is none for now. */
static bool accept_one(struct watch *watch)
{
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        int fd = accept4(watch->listener, (struct sockaddr *)&address, &size,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
                watch->starved =
                        errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
                return errno == ECONNABORTED || errno == EINTR;
        }
        watch->connections++;
        loop_give(idlest(watch->server), fd, (struct sockaddr *)&address, size);
        return true;
}

static void accept_some(struct watch *watch)
{
        for (int i = 0; i < ACCEPT_BATCH && watch->listener >= 0; i++) {
                watch->full = watch->connections >= watch->server->options.connections_max;
                if (watch->full || !accept_one(watch))
                        break;
        }
        if (watch->full || watch->starved)
                listen_for(watch, 0, EPOLL_CTL_MOD);
}

static void accept_again(struct watch *watch)
{
        watch->full = watch->starved = false;
        listen_for(watch, EPOLLIN, EPOLL_CTL_MOD);
}

void watch_add_peer(struct watch *watch, struct peer *peer)
{
        pthread_mutex_lock(&watch->lock);
        if (idle(watch))
                wake(watch);
        TAILQ_INSERT_TAIL(&watch->peers, peer, list);
        pthread_mutex_unlock(&watch->lock);
}

/* Call with the lock held. */
static void make_room(struct watch *watch)
{
        watch->connections--;
        if (watch->full || watch->starved)
                accept_again(watch);
}

void watch_remove_peer(struct watch *watch, struct peer *peer)
{
        pthread_mutex_lock(&watch->lock);
        TAILQ_REMOVE(&watch->peers, peer, list);
        make_room(watch);
        pthread_mutex_unlock(&watch->lock);
}

void watch_lost_connection(struct watch *watch)
{
        pthread_mutex_lock(&watch->lock);
        make_room(watch);
        pthread_mutex_unlock(&watch->lock);
}

/* Ending only the reading lets the loop answer 408 before it closes; bytes that go on dripping can
 * hide that end from the library, so the next tick ends everything. */
static void expire_peers(struct watch *watch, int64_t now_us)
{
        struct peer *peer;

        TAILQ_FOREACH(peer, &watch->peers, list)
        {
                int64_t deadline_us = peer->deadline_us;

                if (deadline_us == 0 || now_us < deadline_us)
                        continue;
                shutdown(peer->fd, peer->expired ? SHUT_RDWR : SHUT_RD);
                peer->expired = true;
        }
}

void watch_linger(struct watch *watch, int fd)
{
        struct lingerer *linger = mem_new(NULL, struct lingerer);
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
        bool room;

        linger->fd = fd;
        linger->deadline_us = clock_monotonic_us() + LINGER_US;
        event.data.u64 = (uint64_t)(uintptr_t)linger | EVENT_LINGER;
        pthread_mutex_lock(&watch->lock);
        room = !watch->stopping && watch->linger_count < LINGER_MAX &&
               epoll_ctl(watch->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
        if (room) {
                TAILQ_INSERT_TAIL(&watch->lingering, linger, list);
                if (watch->linger_count++ == 0)
                        wake(watch);
        }
        pthread_mutex_unlock(&watch->lock);
        if (!room) {
                close(fd);
                mem_free(linger);
        }
}

static void end_linger(struct watch *watch, struct lingerer *linger)
{
        TAILQ_REMOVE(&watch->lingering, linger, list);
        watch->linger_count--;
        /* Closing alone leaves the registration while the library still has its descriptor. */
        epoll_ctl(watch->epoll, EPOLL_CTL_DEL, linger->fd, NULL);
        close(linger->fd);
        mem_free(linger);
}

static void drain_linger(struct watch *watch, struct lingerer *linger)
{
        char scratch[16384];
        ssize_t got = recv(linger->fd, scratch, sizeof(scratch), MSG_DONTWAIT);

        if (got > 0)
                linger->bytes += (size_t)got;
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR) ||
            linger->bytes > LINGER_BYTES)
                end_linger(watch, linger);
}

static void expire_lingers(struct watch *watch, int64_t now_us)
{
        struct lingerer *linger;

        /* Ordered by deadline, since all linger equally long. */
        while ((linger = TAILQ_FIRST(&watch->lingering)) && now_us >= linger->deadline_us)
                end_linger(watch, linger);
}

void watch_add_stream(struct watch *watch, struct stream *stream)
{
        struct stream_watch *entry = stream_watch_of(stream);
        bool ended;

        pthread_mutex_lock(&watch->lock);
        ended = watch->streams_ended;
        if (idle(watch))
                wake(watch);
        entry->id = ++watch->last_id;
        entry->listed = true;
        TAILQ_INSERT_TAIL(&watch->streams, entry, list);
        pthread_mutex_unlock(&watch->lock);
        if (ended)
                stream_end(stream);
}

void watch_remove_stream(struct watch *watch, struct stream *stream)
{
        struct stream_watch *entry = stream_watch_of(stream);

        pthread_mutex_lock(&watch->lock);
        if (entry->listed)
                TAILQ_REMOVE(&watch->streams, entry, list);
        if (entry->fd)
                epoll_ctl(watch->epoll, EPOLL_CTL_DEL, entry->fd, NULL);
        entry->listed = false;
        entry->fd = 0;
        pthread_mutex_unlock(&watch->lock);
}

void watch_stream_socket(struct watch *watch, struct stream *stream, int fd)
{
        struct stream_watch *entry = stream_watch_of(stream);
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT};

        pthread_mutex_lock(&watch->lock);
        event.data.u64 = entry->id << EVENT_KIND_BITS | EVENT_STREAM;
        if (entry->listed && epoll_ctl(watch->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
                entry->fd = fd;
        pthread_mutex_unlock(&watch->lock);
}

void watch_end_streams(struct watch *watch)
{
        struct stream_watch *entry;

        pthread_mutex_lock(&watch->lock);
        watch->streams_ended = true;
        TAILQ_FOREACH(entry, &watch->streams, list)
        stream_end(entry->stream);
        pthread_mutex_unlock(&watch->lock);
}

/* The event may be older than the stream's end, so the id is looked up, not trusted. */
static void stream_hung_up(struct watch *watch, uint64_t id)
{
        struct stream_watch *entry;

        TAILQ_FOREACH(entry, &watch->streams, list)
        {
                if (entry->id == id) {
                        stream_cut(entry->stream);
                        return;
                }
        }
}

static void beat(struct watch *watch, int64_t now_us)
{
        struct stream_watch *entry;

        TAILQ_FOREACH(entry, &watch->streams, list)
        stream_heartbeat(entry->stream, now_us, watch->heartbeat_us);
}

static void take_event(struct watch *watch, uint64_t data)
{
        uint64_t count, kind = data & ((1 << EVENT_KIND_BITS) - 1);

        if (kind == EVENT_STREAM)
                stream_hung_up(watch, data >> EVENT_KIND_BITS);
        else if (kind == EVENT_ACCEPT)
                accept_some(watch);
        else if (kind == EVENT_LINGER)
                drain_linger(watch, (struct lingerer *)(uintptr_t)(data & ~(uint64_t)EVENT_LINGER));
        else
                (void)!read(watch->wake, &count, sizeof(count));
}

static int timeout_of(struct watch *watch, int64_t due_us)
{
        int64_t left_ms = (due_us - clock_monotonic_us()) / 1000 + 1;

        if (idle(watch))
                return -1;
        if (watch->linger_count && left_ms > LINGER_TICK_MS)
                return LINGER_TICK_MS;
        return left_ms < 0 ? 0 : (int)left_ms;
}

static void *run(void *arg)
{
        struct watch *watch = arg;
        struct epoll_event events[EVENTS_MAX];
        int64_t due_us = 0;

        pthread_setname_np(pthread_self(), "http-watch");
        pthread_mutex_lock(&watch->lock);
        while (!watch->stopping) {
                int timeout = timeout_of(watch, due_us), count;

                pthread_mutex_unlock(&watch->lock);
                count = epoll_wait(watch->epoll, events, EVENTS_MAX, timeout);
                pthread_mutex_lock(&watch->lock);
                for (int i = 0; i < count; i++)
                        take_event(watch, events[i].data.u64);
                int64_t now_us = clock_monotonic_us();

                expire_lingers(watch, now_us);
                if (now_us < due_us)
                        continue;
                if (watch->starved)
                        accept_again(watch);
                expire_peers(watch, now_us);
                beat(watch, now_us);
                due_us = now_us + watch->tick_ms * 1000LL;
        }
        pthread_mutex_unlock(&watch->lock);
        return NULL;
}

static int tick_of(const struct server_options *options)
{
        unsigned shortest = options->idle_seconds < options->heartbeat_seconds
                                    ? options->idle_seconds
                                    : options->heartbeat_seconds;
        int tick = (int)(shortest * 1000 / 8);

        return tick < TICK_MIN_MS ? TICK_MIN_MS : tick > TICK_MAX_MS ? TICK_MAX_MS : tick;
}

static int watch_close(struct watch *watch)
{
        close(watch->epoll);
        close(watch->wake);
        return 0;
}

enum status watch_new(struct server *server, struct watch **ret, struct error *err)
{
        struct watch *watch = mem_new(server, struct watch);
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = EVENT_WAKE};

        watch->server = server;
        watch->listener = -1;
        TAILQ_INIT(&watch->peers);
        TAILQ_INIT(&watch->streams);
        TAILQ_INIT(&watch->lingering);
        pthread_mutex_init(&watch->lock, NULL);
        watch->tick_ms = tick_of(&server->options);
        watch->heartbeat_us = server->options.heartbeat_seconds * 1000000LL;
        watch->epoll = epoll_create1(EPOLL_CLOEXEC);
        watch->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        talloc_set_destructor(watch, watch_close);
        if (watch->epoll < 0 || watch->wake < 0 ||
            epoll_ctl(watch->epoll, EPOLL_CTL_ADD, watch->wake, &event) ||
            pthread_create(&watch->thread, NULL, run, watch))
                return error_set(err, STATUS_INTERNAL, "cannot start the HTTP watch: %s",
                                 strerror(errno));
        *ret = watch;
        return STATUS_OK;
}

void watch_stop(struct watch *watch)
{
        struct lingerer *linger;

        pthread_mutex_lock(&watch->lock);
        watch->stopping = true;
        wake(watch);
        pthread_mutex_unlock(&watch->lock);
        pthread_join(watch->thread, NULL);
        while ((linger = TAILQ_FIRST(&watch->lingering)))
                end_linger(watch, linger);
}
