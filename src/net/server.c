/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP server: starting its parts, and stopping them without losing anybody. */
#include "net/server.h"

#include <time.h>
#include <unistd.h>

#include "net/server_internal.h"

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

static enum status start_loops(struct server *server, struct error *err)
{
        server->loops = mem_array(server, struct loop *, server->options.threads);
        for (unsigned i = 0; i < server->options.threads; i++) {
                enum status status = loop_new(server, &server->loops[i], err);

                /* Also one that failed to start must be stopped. */
                server->loop_count++;
                if (status)
                        return status;
        }
        return STATUS_OK;
}

static void stop_loops(struct server *server)
{
        for (unsigned i = 0; i < server->loop_count; i++)
                loop_stop(server->loops[i]);
}

static void stop_parts(struct server *server)
{
        stop_loops(server);
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
            start_parts(server, tables, err) || start_loops(server, err)) {
                if (listener >= 0)
                        close(listener);
                stop_parts(server);
                return err->status;
        }
        *ret = server; /* handlers may look at it from the first request on */
        watch_accept(server->watch, listener);
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
        stop_loops(server);
        watch_stop(server->watch);
        server_unref(server);
        return NULL;
}
