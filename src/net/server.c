/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP server: starting, what the library calls back, and stopping without losing anybody. */
#include "net/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/server_internal.h"
#include "observe/log.h"

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

static void open_peer(struct server *server, struct MHD_Connection *mhd, void **context)
{
        const union MHD_ConnectionInfo *fd =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct peer *peer = mem_new(NULL, struct peer);

        peer->server = server;
        peer->fd = fd->connect_fd;
        const union MHD_ConnectionInfo *address =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

        address_text(address->client_addr, peer->address, sizeof(peer->address));
        peer->deadline_us = clock_monotonic_us() + server->options.idle_seconds * 1000000LL;
        watch_add_peer(server->watch, peer);
        *context = peer;
}

static void close_peer(struct server *server, struct peer *peer)
{
        /* Only a request that the library itself refused before naming it is still here. */
        if (peer->exchange)
                exchange_complete(peer->exchange, MHD_REQUEST_TERMINATED_WITH_ERROR);
        watch_remove_peer(server->watch, peer);
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
                close_peer(cls, *context);
                return;
        }
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct server *server = cls;
        struct peer *peer = info->socket_context;

        peer->deadline_us = clock_monotonic_us() + server->options.idle_seconds * 1000000LL;
        return exchange_new(peer, mhd, target);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
        (void)cls;
        (void)mhd;
        (void)url;
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

static const char *const *copy_origins(const void *ctx, const char *const *origins)
{
        const char **copy;
        size_t count = 0;

        while (origins && origins[count])
                count++;
        copy = mem_array(ctx, const char *, count + 1);
        for (size_t i = 0; i < count; i++)
                copy[i] = mem_strdup(copy, origins[i]);
        return copy;
}

static void fill_options(struct server *server, const struct server_options *given)
{
        struct server_options *options = &server->options;
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        unsigned count = cores > 0 ? (unsigned)cores : 1;

        *options = *given;
        options->host = mem_strdup(server, given->host ? given->host : "");
        options->allowed_origins = copy_origins(server, given->allowed_origins);
        if (!options->threads)
                options->threads = count;
        if (!options->workers)
                options->workers = 4 * count < 8 ? 8 : 4 * count;
        if (!options->queue_max)
                options->queue_max = QUEUE_DEFAULT;
        if (!options->connections_max)
                options->connections_max = CONNECTIONS_DEFAULT;
        if (!options->idle_seconds)
                options->idle_seconds = IDLE_SECONDS_DEFAULT;
        if (!options->heartbeat_seconds)
                options->heartbeat_seconds = HEARTBEAT_SECONDS_DEFAULT;
}

static enum status start_daemon(struct server *server, struct error *err)
{
        const struct server_options *options = &server->options;
        unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                         MHD_ALLOW_UPGRADE | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
        struct MHD_OptionItem pool[] = {
                {options->threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END,
                 (intptr_t)options->threads, NULL},
                {MHD_OPTION_END, 0, NULL},
        };

        server->daemon = MHD_start_daemon(
                flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER,
                on_library_message, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
                MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED,
                on_completed, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
                MHD_OPTION_STRICT_FOR_CLIENT, 1,
                /* The watch keeps the limit; this one is only never in its way. */
                MHD_OPTION_CONNECTION_LIMIT,
                options->connections_max * options->threads + options->threads,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                MHD_OPTION_CONNECTION_TIMEOUT, options->idle_seconds, MHD_OPTION_ARRAY, pool,
                MHD_OPTION_END);
        if (!server->daemon)
                return error_set(err, STATUS_INTERNAL, "cannot start the HTTP server: %s",
                                 strerror(errno));
        return STATUS_OK;
}

static enum status start_parts(struct server *server, const struct route *const *tables,
                               struct error *err)
{
        const struct server_options *options = &server->options;

        if (!refuse_ready())
                return error_set(
                        err, STATUS_INTERNAL,
                        "the HTTP library is linked in a way that hides its error replies");
        if (router_new(server, tables, &server->router, err) ||
            pool_new("http-worker", options->workers, options->queue_max, &server->pool, err) ||
            watch_new(server, &server->watch, err))
                return err->status;
        if (router_upgrades(server->router))
                return websockets_new(server, &server->websockets, err);
        return STATUS_OK;
}

static void stop_parts(struct server *server)
{
        if (server->websockets)
                websockets_stop(server->websockets, 0);
        if (server->watch)
                watch_stop(server->watch);
        pool_free(server->pool);
        server_unref(server);
}

enum status server_start(const struct server_options *options, const struct route *const *tables,
                         struct server **ret, struct error *err)
{
        struct server *server = mem_new(NULL, struct server);
        int listener = -1;

        server->references = 1;
        TAILQ_INIT(&server->waiting);
        pthread_mutex_init(&server->lock, NULL);
        pthread_cond_init(&server->calm, NULL);
        fill_options(server, options);
        if (listener_open(&server->options, &listener, &server->port, err) ||
            start_parts(server, tables, err) || start_daemon(server, err)) {
                if (listener >= 0)
                        close(listener);
                stop_parts(server);
                return err->status;
        }
        watch_accept(server->watch, listener);
        *ret = server;
        return STATUS_OK;
}

unsigned server_port(const struct server *server)
{
        return server->port;
}

size_t server_queue_depth(struct server *server)
{
        return pool_waiting(server->pool);
}

void server_unref(struct server *server)
{
        if (atomic_fetch_sub(&server->references, 1) != 1)
                return;
        pthread_cond_destroy(&server->calm);
        pthread_mutex_destroy(&server->lock);
        mem_free(server);
}

static void wait_calm(struct server *server, unsigned grace_ms)
{
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += grace_ms / 1000;
        until.tv_nsec += (long)(grace_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
        }
        pthread_mutex_lock(&server->lock);
        while (server->exchanges > 0 &&
               pthread_cond_timedwait(&server->calm, &server->lock, &until) == 0)
                ;
        server->stopping = true;
        pthread_mutex_unlock(&server->lock);
}

struct server *server_stop(struct server *server, unsigned grace_ms)
{
        if (!server)
                return NULL;
        server->draining = true;
        watch_accept_none(server->watch);
        if (server->websockets)
                websockets_stop(server->websockets, grace_ms);
        watch_end_streams(server->watch);
        wait_calm(server, grace_ms);
        /* Now nothing is suspended any more; first the handlers that run, then what waits for a
         * request_finish. The library dies on a suspended connection. */
        server->pool = pool_free(server->pool);
        exchange_abandon_all(server);
        MHD_stop_daemon(server->daemon);
        watch_stop(server->watch);
        server_unref(server);
        return NULL;
}
