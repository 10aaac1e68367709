/* SPDX-License-Identifier: Apache-2.0 */
/* Wiring of the parts. */
#include "main/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/credentials.h"
#include "api/embedding.h"
#include "api/health.h"
#include "api/session.h"
#include "base/clock.h"

enum {
        LOGINS = 10,
        LOGIN_WINDOW_MS = 5 * 60 * 1000,
        LIMITER_KEYS = 100000,
        CACHE_BYTES = 16 * 1024 * 1024,
};

static enum status make_data_dir(const char *path, struct error *err)
{
        if (mkdir(path, 0700) && errno != EEXIST)
                return error_set(err, STATUS_UNAVAILABLE, "DATA_DIR %s cannot be made: %s", path,
                                 strerror(errno));
        return STATUS_OK;
}

/* Two programs on one database would both take up its unfinished work. Held until the program ends,
 * however it ends. */
static enum status lock_data_dir(struct app *app, const struct config *config, struct error *err)
{
        app->data_fd = open(config->DATA_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (app->data_fd < 0)
                return error_set(err, STATUS_UNAVAILABLE, "DATA_DIR %s cannot be opened: %s",
                                 config->DATA_DIR, strerror(errno));
        /* A file system without locks is no reason to refuse. */
        if (strncmp(config->DATABASE_URL, "sqlite:", 7) == 0 &&
            flock(app->data_fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
                return error_set(err, STATUS_CONFLICT, "DATA_DIR %s is in use by another flowgenix",
                                 config->DATA_DIR);
        return STATUS_OK;
}

/* --- The kept secret ---------------------------------------------------------------------------*/
/* A fresh key gets its name only when it is whole; who comes second uses the first one's. */
static bool make_secret(const char *path, int folder)
{
        SCOPED_MEM char *draft = mem_printf(NULL, "%s.XXXXXX", path);
        SCOPED_MEM char *fresh = secret_random(NULL, 48);
        ssize_t length = (ssize_t)strlen(fresh);
        SCOPED_FD int fd = mkostemp(draft, O_CLOEXEC); /* mode 0600 */

        if (fd < 0)
                return false;
        errno = 0;
        bool made = write(fd, fresh, (size_t)length) == length && fsync(fd) == 0 &&
                    (link(draft, path) == 0 || errno == EEXIST) && fsync(folder) == 0;
        int reason = errno ? errno : ENOSPC;

        unlink(draft);
        errno = reason;
        return made;
}

static enum status kept_secret(const struct app *app, char **ret, struct error *err)
{
        SCOPED_MEM char *path = mem_printf(NULL, "%s/secret.key", app->data_dir);
        char text[128] = "";
        SCOPED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT && make_secret(path, app->data_fd))
                fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
                return error_set(err, STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno));
        text[strcspn(text, "\r\n")] = '\0'; /* of an editor */
        if (!*text)
                return error_set(
                        err, STATUS_UNAVAILABLE,
                        "%s is empty: restore it, or remove it and enter all provider keys "
                        "again",
                        path);
        *ret = mem_strdup(app, text);
        return STATUS_OK;
}

static enum status open_secrets(struct app *app, const struct config *config, struct error *err)
{
        char *key = mem_strdup(app, config->SECRET_KEY);

        if (!key && kept_secret(app, &key, err))
                return err->status;
        return secrets_derive(key, &app->secrets, err);
}

static enum status open_outside(struct app *app, const struct config *config, struct error *err)
{
        if (http_client_new(&app->client, err))
                return err->status;
        const struct llm_options llm = {
                .client = app->client,
                .pool = app->watchers,
                .price_file = config->PRICE_FILE,
                .gemini_base_url = config->GEMINI_BASE_URL,
                .openai_base_url = config->OPENAI_BASE_URL,
        };
        const struct websearch_options websearch = {
                .client = app->client,
                .brave_base_url = config->BRAVE_BASE_URL,
                .serpapi_base_url = config->SERPAPI_BASE_URL,
                .searxng_url = config->SEARXNG_URL,
                .cache = app->cache,
        };

        if (llm_new(&llm, &app->llm, err))
                return err->status;
        return websearch_new(&websearch, &app->websearch, err);
}

static enum status open_documents(struct app *app, const struct config *config, struct error *err)
{
        char program[4096] = "";
        ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
        const struct documents_options options = {
                .folder = mem_printf(app, "%s/documents", config->DATA_DIR),
                .store = app->store,
                .vector = app->vector,
                .llm = app->llm,
                .embedding_target = embedding_target,
                .embedding_arg = app,
                .program = mem_strdup(app, program),
                .upload_max = (uint64_t)config->MAX_UPLOAD_BYTES,
        };

        if (length <= 0)
                return error_set(err, STATUS_INTERNAL, "the program's own path cannot be read");
        return documents_new(&options, &app->documents, err);
}

static enum status open_engine(struct app *app, const struct config *config, struct error *err)
{
        const struct engine_options options = {
                .services =
                        {
                                .store = app->store,
                                .vector = app->vector,
                                .llm = app->llm,
                                .websearch = app->websearch,
                                .credential = credential_resolve,
                                .credential_arg = app,
                        },
                .events = app->events,
                .concurrency = (size_t)config->EXECUTION_CONCURRENCY,
        };

        return engine_new(&options, &app->engine, err);
}

static enum status open_all(struct app *app, const struct config *config, struct error *err)
{
        if (make_data_dir(config->DATA_DIR, err) || lock_data_dir(app, config, err) ||
            open_secrets(app, config, err) || pool_new("watcher", 4, 0, &app->watchers, err) ||
            pool_new("hashing", 2, 64, &app->hashing, err) ||
            store_open(config->DATABASE_URL, &app->store, err) ||
            vector_new(app->store, &app->vector, err) || open_outside(app, config, err) ||
            open_documents(app, config, err) || events_new(app->store, &app->events, err) ||
            open_engine(app, config, err))
                return err->status;
        return STATUS_OK;
}

enum status parts_open(const struct config *config, struct app **ret, struct error *err)
{
        struct app *app = mem_new(NULL, struct app);

        app->started_us = clock_monotonic_us();
        app->data_fd = -1;
        app->data_dir = mem_strdup(app, config->DATA_DIR);
        app->providers = config_providers(app, config);
        app->logins = limiter_new(LOGINS, LOGIN_WINDOW_MS, LIMITER_KEYS);
        app->cache = cache_new(&(struct cache_options){.bytes_max = CACHE_BYTES});
        app->sessions = sessions_new(app);
        app->health = health_new(app);
        if (open_all(app, config, err)) {
                parts_close(app);
                return err->status;
        }
        *ret = app;
        return STATUS_OK;
}

struct app *parts_close(struct app *app)
{
        if (!app)
                return NULL;
        app->hashing = pool_free(app->hashing);
        app->documents = documents_free(app->documents);
        app->engine = engine_free(app->engine);
        app->llm = llm_free(app->llm);
        app->websearch = websearch_free(app->websearch);
        app->client = http_client_free(app->client);
        app->cache = cache_free(app->cache);
        app->watchers = pool_free(app->watchers);
        app->events = events_free(app->events);
        app->vector = vector_free(app->vector);
        app->health = health_free(app->health);
        app->sessions = sessions_free(app->sessions);
        app->store = store_free(app->store);
        app->logins = limiter_free(app->logins);
        if (app->data_fd >= 0)
                close(app->data_fd);
        return mem_free(app);
}
