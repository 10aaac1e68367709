/* SPDX-License-Identifier: Apache-2.0 */
/* Event loops: threads that run one libmicrohttpd daemon each, and what it calls back.
 *
 * The library would run the threads itself. But then, whenever exactly a full batch of 128 events is
 * ready, it waits for further ones, up to its timeout, before it serves these (0.9.75, MHD_epoll):
 * many busy connections stall together. Told never to wait it cannot, so the waiting is done here, on
 * its epoll descriptor. Without threads of its own it has no signal for what other threads resume;
 * that is ours, too. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/server_internal.h"
#include "observe/log.h"

/* An accepted connection on its way to the loop. */
struct incoming {
        struct incoming *next;
        int fd;
        struct sockaddr_storage address;
        socklen_t size;
};

struct loop {
        struct server *server;
        struct MHD_Daemon *daemon;
        int epoll, wake;
        pthread_t thread;
        bool running;            /* the thread was started */
        atomic_uint connections; /* given and not yet closed */
        atomic_bool woken;       /* the descriptor is written and not yet read */
        bool busy;               /* loop thread: requests came, so look for more before waiting */
        bool taken;              /* loop thread: the library took the connection just added */

        pthread_mutex_t lock; /* of the following */
        struct incoming *incoming, **incoming_end;
        bool stopping;
};

static void address_text(const struct sockaddr *address, char *text, size_t size)
{
        const void *bytes = NULL;
        char full[INET6_ADDRSTRLEN] = "";

        if (address->sa_family == AF_INET)
                bytes = &((const struct sockaddr_in *)address)->sin_addr;
        else if (address->sa_family == AF_INET6)
                bytes = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (bytes)
                inet_ntop(address->sa_family, bytes, full, sizeof(full));
        /* IPv4 over a dual-stack socket reads as IPv4. */
        snprintf(text, size, "%s", strncmp(full, "::ffff:", 7) == 0 ? full + 7 : full);
}

static void open_peer(struct loop *loop, struct MHD_Connection *mhd, void **context)
{
        struct server *server = loop->server;
        const union MHD_ConnectionInfo *fd =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct peer *peer = mem_new(NULL, struct peer);

        peer->server = server;
        peer->loop = loop;
        peer->fd = fd->connect_fd;
        const union MHD_ConnectionInfo *address =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

        address_text(address->client_addr, peer->address, sizeof(peer->address));
        peer->deadline_us = clock_monotonic_us() + server->options.idle_seconds * 1000000LL;
        watch_add_peer(server->watch, peer);
        loop->taken = true;
        *context = peer;
}

static void close_peer(struct peer *peer)
{
        struct server *server = peer->server;

        /* Only a request that the library itself refused before naming it is still here. */
        if (peer->exchange)
                exchange_complete(peer->exchange, MHD_REQUEST_TERMINATED_WITH_ERROR);
        watch_remove_peer(server->watch, peer);
        atomic_fetch_sub(&peer->loop->connections, 1);
        if (peer->linger) {
                int copy = fcntl(peer->fd, F_DUPFD_CLOEXEC, 0);

                if (copy >= 0)
                        watch_linger(server->watch, copy);
        }
        mem_free(peer);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
        switch (code) {
        case MHD_CONNECTION_NOTIFY_STARTED:
                open_peer(cls, mhd, context);
                return;
        case MHD_CONNECTION_NOTIFY_CLOSED:
                close_peer(*context);
                return;
        }
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct peer *peer = info->socket_context;

        (void)cls;
        peer->deadline_us = clock_monotonic_us() + peer->server->options.idle_seconds * 1000000LL;
        return exchange_new(peer, mhd, target);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
        struct loop *loop = cls;

        (void)mhd;
        (void)url;
        loop->busy = true;
        return exchange_proceed(*context, method, version, data, size);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
        (void)cls;
        (void)mhd;
        if (*context)
                exchange_complete(*context, code);
        *context = NULL;
}

/* The library must leave the target alone: escapes are decoded once, and strictly, by us. */
static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
        (void)cls;
        (void)mhd;
        return strlen(text);
}

static void on_library_message(void *cls, const char *format, va_list args) PRINTF_LIKE(2, 0);
static void on_library_message(void *cls, const char *format, va_list args)
{
        char text[512];

        (void)cls;
        if (!log_enabled(LOG_LEVEL_DEBUG))
                return;
        vsnprintf(text, sizeof(text), format, args);
        log_debug(LOG_lifecycle, "HTTP library", LOG_STR("detail", text));
}

static enum status start_daemon(struct loop *loop, struct error *err)
{
        const struct server_options *options = &loop->server->options;
        unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
                         MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
        const union MHD_DaemonInfo *info;

        loop->daemon = MHD_start_daemon(
                flags, 0, NULL, NULL, on_request, loop, MHD_OPTION_EXTERNAL_LOGGER,
                on_library_message, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, loop,
                MHD_OPTION_URI_LOG_CALLBACK, on_target, NULL, MHD_OPTION_NOTIFY_COMPLETED,
                on_completed, NULL, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
                MHD_OPTION_STRICT_FOR_CLIENT, 1,
                /* The watch keeps the limit; this one is only never in its way. */
                MHD_OPTION_CONNECTION_LIMIT, options->connections_max + 1,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                MHD_OPTION_CONNECTION_TIMEOUT, options->idle_seconds,
                MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
        info = loop->daemon ? MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
        if (!info)
                return error_set(err, STATUS_INTERNAL, "cannot start the HTTP server: %s",
                                 strerror(errno));
        loop->epoll = info->epoll_fd;
        return STATUS_OK;
}

void loop_wake(struct loop *loop)
{
        uint64_t one = 1;

        if (!atomic_exchange(&loop->woken, true))
                (void)!write(loop->wake, &one, sizeof(one));
}

void loop_resume(struct loop *loop, struct MHD_Connection *mhd)
{
        MHD_resume_connection(mhd);
        loop_wake(loop);
}

void loop_give(struct loop *loop, int fd, const struct sockaddr *address, socklen_t size)
{
        struct incoming *incoming = mem_new(NULL, struct incoming);

        incoming->fd = fd;
        incoming->size = size;
        memcpy(&incoming->address, address, size);
        atomic_fetch_add(&loop->connections, 1);
        pthread_mutex_lock(&loop->lock);
        *loop->incoming_end = incoming;
        loop->incoming_end = &incoming->next;
        pthread_mutex_unlock(&loop->lock);
        loop_wake(loop);
}

unsigned loop_connections(const struct loop *loop)
{
        return loop->connections;
}

/* A connection that did not begin, which the library has closed. */
static void lose(struct loop *loop)
{
        atomic_fetch_sub(&loop->connections, 1);
        watch_lost_connection(loop->server->watch);
}

static bool take_incoming(struct loop *loop)
{
        struct incoming *incoming, *next;
        bool stopping;

        pthread_mutex_lock(&loop->lock);
        incoming = loop->incoming;
        loop->incoming = NULL;
        loop->incoming_end = &loop->incoming;
        stopping = loop->stopping;
        pthread_mutex_unlock(&loop->lock);
        for (; incoming; incoming = next) {
                next = incoming->next;
                loop->taken = false;
                if (stopping)
                        close(incoming->fd);
                else
                        MHD_add_connection(loop->daemon, incoming->fd,
                                           (struct sockaddr *)&incoming->address, incoming->size);
                if (!loop->taken)
                        lose(loop);
                mem_free(incoming);
        }
        return !stopping;
}

static int timeout_of(struct loop *loop)
{
        MHD_UNSIGNED_LONG_LONG timeout_ms;

        if (MHD_get_timeout(loop->daemon, &timeout_ms) == MHD_NO)
                return -1;
        /* The library tells one millisecond too little and would be asked again and again. */
        return timeout_ms == 0 ? 0 : timeout_ms > INT32_MAX - 1 ? INT32_MAX : (int)timeout_ms + 1;
}

static void block_sigpipe(void)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *run(void *arg)
{
        struct loop *loop = arg;
        struct pollfd wait[] = {{.fd = loop->epoll, .events = POLLIN},
                                {.fd = loop->wake, .events = POLLIN}};
        uint64_t count;

        pthread_setname_np(pthread_self(), "http-loop");
        block_sigpipe();
        for (;;) {
                int timeout = loop->busy ? 0 : timeout_of(loop);

                wait[1].revents = 0;
                if (timeout != 0)
                        poll(wait, ARRAY_LENGTH(wait), timeout);
                if (wait[1].revents || loop->woken) {
                        (void)!read(loop->wake, &count, sizeof(count));
                        loop->woken = false;
                        if (!take_incoming(loop))
                                return NULL;
                }
                loop->busy = false;
                MHD_run(loop->daemon);
        }
}

static int loop_close(struct loop *loop)
{
        close(loop->wake);
        return 0;
}

enum status loop_new(struct server *server, struct loop **ret, struct error *err)
{
        struct loop *loop = mem_new(server, struct loop);

        *ret = loop;
        loop->server = server;
        loop->incoming_end = &loop->incoming;
        pthread_mutex_init(&loop->lock, NULL);
        loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        talloc_set_destructor(loop, loop_close);
        if (start_daemon(loop, err))
                return err->status;
        loop->running = loop->wake >= 0 && pthread_create(&loop->thread, NULL, run, loop) == 0;
        if (!loop->running)
                return error_set(err, STATUS_INTERNAL, "cannot start an HTTP loop: %s",
                                 strerror(errno));
        return STATUS_OK;
}

void loop_stop(struct loop *loop)
{
        if (loop->running) {
                pthread_mutex_lock(&loop->lock);
                loop->stopping = true;
                pthread_mutex_unlock(&loop->lock);
                loop_wake(loop);
                pthread_join(loop->thread, NULL);
        }
        if (loop->daemon)
                MHD_stop_daemon(loop->daemon);
}
