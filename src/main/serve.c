/* SPDX-License-Identifier: Apache-2.0 */
/* flowgenix serve: starts the parts and the HTTP server, then waits for signals. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "api/health.h"
#include "api/routes.h"
#include "api/session.h"
#include "base/clock.h"
#include "main/commands.h"
#include "main/parts.h"
#include "observe/log.h"

enum {
        ENGINE_GRACE_MS = 10000,
        SERVER_GRACE_MS = 5000,
        RETENTION_SECONDS = 3600,
        PRUNE_BATCH = 500
};

struct serving {
        const struct config *config;
        struct app *app;
        struct server *metrics; /* NULL unless METRICS_PORT is another port */
};

/* Thousands of sockets and model calls need as many descriptors; the soft limit is often 1024. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                if (setrlimit(RLIMIT_NOFILE, &limit))
                        log_warn(LOG_lifecycle, "descriptor limit not raised",
                                 LOG_STR("reason", strerror(errno)));
        }
}

static const char *const *split_origins(const void *ctx, const char *text)
{
        size_t count = 0;
        const char **origins = mem_array(ctx, const char *, (text ? strlen(text) : 0) + 2);

        for (const char *at = text; at && *at;) {
                size_t length = strcspn(at, ", ");

                if (length)
                        origins[count++] = mem_strndup(origins, at, length);
                at += length + strspn(at + length, ", ");
        }
        return origins;
}

static enum status start_log(const struct config *config, struct error *err)
{
        struct log_options options = {
                .file = config->LOG_FILE,
                .rotate_bytes = 64ull << 20,
                .rotate_keep = 5,
        };

        if (log_level_parse(config->LOG_LEVEL, &options.level, err))
                return error_prefix(err, "LOG_LEVEL");
        return log_start(&options, err);
}

static enum status start_servers(struct serving *serving, struct error *err)
{
        const struct config *config = serving->config;
        struct app *app = serving->app;
        bool apart = config->METRICS_PORT != config->PORT;
        struct server_options options = {
                .host = config->HOST,
                .port = (unsigned)config->PORT,
                .workers = (unsigned)config->WORKERS,
                .allowed_origins = split_origins(app, config->ALLOWED_ORIGINS),
                .app = app,
                .authorize = session_authorize,
        };

        if (server_start(&options,
                         config->PROMETHEUS_ENABLED && !apart ? all_tables : tables_without_metrics,
                         &app->server, err))
                return err->status;
        if (!config->PROMETHEUS_ENABLED || !apart)
                return STATUS_OK;
        options.port = (unsigned)config->METRICS_PORT;
        options.threads = 1;
        options.workers = 1;
        return server_start(&options, metrics_tables, &serving->metrics, err);
}

static void prune(void *arg)
{
        struct serving *serving = arg;
        int64_t deleted = 0, before = clock_wall_ms() -
                                      serving->config->EXECUTION_RETENTION_DAYS * 24 * 3600 * 1000;
        struct error err = ERROR_INIT;

        do {
                if (store_prune_executions(serving->app->store, before, PRUNE_BATCH, &deleted,
                                           &err))
                        log_failure(LOG_LEVEL_WARN, LOG_database, "old executions not deleted",
                                    &err);
        } while (!err.status && deleted >= PRUNE_BATCH);
}

/* Returns when asked to stop. Old executions go at the start and then every so often. */
static void wait_for_signals(struct serving *serving, const sigset_t *signals)
{
        int64_t due_us = 0;

        for (;;) {
                int64_t left_us = due_us - clock_monotonic_us();

                if (left_us <= 0) {
                        pool_continue(serving->app->watchers, prune, serving);
                        left_us = (int64_t)RETENTION_SECONDS * 1000000;
                        due_us = clock_monotonic_us() + left_us;
                }
                const struct timespec left = {left_us / 1000000, left_us % 1000000 * 1000};
                int signal = sigtimedwait(signals, NULL, &left);

                if (signal == SIGTERM || signal == SIGINT)
                        return;
                if (signal == SIGHUP)
                        log_reopen();
        }
}

/* Whoever waits for an execution is answered by the engine or, past its grace, cut off by the
 * server; only then may either be freed. */
static void stop(struct serving *serving)
{
        struct app *app = serving->app;

        log_info(LOG_lifecycle, "stopping");
        health_stop(app->health);
        engine_stop(app->engine, ENGINE_GRACE_MS);
        server_stop(serving->metrics, SERVER_GRACE_MS);
        app->server = server_stop(app->server, SERVER_GRACE_MS);
}

static enum status serve(struct serving *serving, const sigset_t *signals, struct error *err)
{
        const struct config *config = serving->config;

        raise_descriptor_limit();
        if (parts_open(config, &serving->app, err))
                return err->status;
        if (start_servers(serving, err)) {
                serving->app->server = server_stop(serving->app->server, 0);
                serving->app = parts_close(serving->app);
                return err->status;
        }
        log_info(LOG_lifecycle, "listening", LOG_STR("host", config->HOST),
                 LOG_INT("port", server_port(serving->app->server)),
                 LOG_REAL("startup_ms",
                          (double)(clock_monotonic_us() - serving->app->started_us) / 1000));
        fprintf(stderr, "Flowgenix %s is ready: http://%s:%u  (API: /docs, stop: Ctrl+C)\n",
                FLOWGENIX_VERSION,
                strcmp(config->HOST, "0.0.0.0") == 0 ? "localhost" : config->HOST,
                server_port(serving->app->server));
        wait_for_signals(serving, signals);
        stop(serving);
        serving->app = parts_close(serving->app);
        log_info(LOG_lifecycle, "stopped");
        return STATUS_OK;
}

enum status command_serve(const struct config *config, int argc, char **argv, struct error *err)
{
        struct serving serving = {.config = config};
        sigset_t signals;

        (void)argv;
        if (argc > 1)
                return error_set(err, STATUS_INVALID, "serve takes no arguments; see serve --help");
        /* Before any thread exists, so that every one of them leaves signals to this one. */
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        pthread_sigmask(SIG_BLOCK, &signals, NULL);
        signal(SIGPIPE, SIG_IGN);
        if (start_log(config, err))
                return err->status;
        enum status status = serve(&serving, &signals, err);
        if (status)
                log_failure(LOG_LEVEL_ERROR, LOG_lifecycle, "start failed", err);
        log_stop();
        return status;
}
