/* SPDX-License-Identifier: Apache-2.0 */
/* /health: real checks run on a watcher thread at most once a second; the answer in between is the
 * last one, given on the event loop. */
#include "api/health.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "api/routes.h"
#include "base/clock.h"
#include "base/json_writer.h"

enum { FRESH_US = 1000 * 1000, STALE_US = 10 * 1000 * 1000, BODY_MAX = 8192 };

static const uint64_t disk_low = 512ull << 20, disk_full = 64ull << 20;

enum level { HEALTHY, DEGRADED, UNHEALTHY };
static const char *const level_words[] = {"healthy", "degraded", "unhealthy"};

struct health {
        struct app *app;
        pthread_mutex_t lock;
        struct buffer body; /* under lock */
        enum level level;
        int64_t checked_us; /* 0: never */
        size_t checking;    /* checks asked for and not done */
        bool stopping;
        pthread_cond_t idle; /* checking fell to 0 */
};

/* One finding; `detail` is for people. */
struct finding {
        enum level level;
        char detail[128];
};

static struct finding check_database(struct app *app)
{
        struct error err = ERROR_INIT;
        struct finding finding = {HEALTHY, ""};

        if (store_ping(app->store, &err)) {
                finding.level = UNHEALTHY;
                snprintf(finding.detail, sizeof(finding.detail), "%.120s", err.message);
        }
        return finding;
}

static struct finding check_disk(struct app *app)
{
        struct statvfs stat;
        struct finding finding = {HEALTHY, ""};

        if (statvfs(app->data_dir, &stat)) {
                finding.level = UNHEALTHY;
                snprintf(finding.detail, sizeof(finding.detail), "DATA_DIR cannot be read");
                return finding;
        }
        uint64_t left = (uint64_t)stat.f_bavail * stat.f_frsize;

        finding.level = left < disk_full ? UNHEALTHY : left < disk_low ? DEGRADED : HEALTHY;
        snprintf(finding.detail, sizeof(finding.detail), "%.1f GiB free",
                 (double)left / (double)(1ull << 30));
        return finding;
}

static struct finding check_queue(struct app *app)
{
        size_t requests = server_queue_depth(app->server), executions = engine_queued(app->engine),
               documents = documents_waiting(app->documents);
        struct finding finding = {requests > 512 ? DEGRADED : HEALTHY, ""};

        snprintf(finding.detail, sizeof(finding.detail),
                 "waiting: %zu requests, %zu executions, %zu documents", requests, executions,
                 documents);
        return finding;
}

static const struct {
        const char *name;
        struct finding (*check)(struct app *app);
} checks[] = {
        {"database", check_database},
        {"disk", check_disk},
        {"queue", check_queue},
};

static enum level write_checks(struct app *app, struct json_writer *json)
{
        enum level worst = HEALTHY;

        json_open_object(json, "checks");
        for (size_t i = 0; i < ARRAY_LENGTH(checks); i++) {
                int64_t start_us = clock_monotonic_us();
                struct finding finding = checks[i].check(app);

                json_open_object(json, checks[i].name);
                json_put_text(json, "status", level_words[finding.level]);
                json_put_real(json, "latency_ms", (double)(clock_monotonic_us() - start_us) / 1000);
                if (*finding.detail)
                        json_put_text(json, "detail", finding.detail);
                json_close_object(json);
                if (finding.level > worst)
                        worst = finding.level;
        }
        json_close_object(json);
        return worst;
}

static void check_now(struct health *health)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer parts = BUFFER_INIT(ctx, BODY_MAX);
        struct json_writer json = JSON_WRITER(&parts);
        enum level level;

        json_open_object(&json, NULL);
        level = write_checks(health->app, &json);
        json_put_text(&json, "status", level_words[level]);
        json_put_text(&json, "version", FLOWGENIX_VERSION);
        json_put_real(&json, "uptime_seconds",
                      (double)(clock_monotonic_us() - health->app->started_us) / 1e6);
        json_close_object(&json);
        pthread_mutex_lock(&health->lock);
        buffer_clear(&health->body);
        buffer_append(&health->body, parts.data, parts.length);
        health->level = level;
        health->checked_us = clock_monotonic_us();
        pthread_mutex_unlock(&health->lock);
}

typedef struct reply health_view_fn(struct request *req, struct health *health);

static struct reply reply_state(struct request *req, bool good)
{
        const char *text = good ? "{\"status\":\"healthy\"}" : "{\"status\":\"unhealthy\"}";

        return reply_text(req, good ? 200 : 503, "application/json", text, strlen(text));
}

static struct reply view_full(struct request *req, struct health *health)
{
        pthread_mutex_lock(&health->lock);
        struct reply reply =
                health->checked_us
                        ? reply_text(req, health->level == UNHEALTHY ? 503 : 200,
                                     "application/json", health->body.data, health->body.length)
                        : reply_state(req, /* good= */ false);
        pthread_mutex_unlock(&health->lock);
        return reply;
}

static struct reply view_ready(struct request *req, struct health *health)
{
        pthread_mutex_lock(&health->lock);
        bool good = health->level != UNHEALTHY && !health->stopping;
        pthread_mutex_unlock(&health->lock);
        return reply_state(req, good);
}

struct asking {
        struct request *req;
        struct health *health;
        health_view_fn *view;
};

static void check_and_answer(void *arg)
{
        struct asking *asking = arg;
        struct health *health = asking->health;
        struct request *req = asking->req;
        TRACE_SCOPE(&req->trace);

        check_now(health);
        struct reply reply = asking->view(req, health);
        pthread_mutex_lock(&health->lock);
        if (--health->checking == 0)
                pthread_cond_signal(&health->idle);
        pthread_mutex_unlock(&health->lock);
        request_finish(req, reply);
}

/* True if this request must run the checks: nothing is known, or the answer is old and nobody is at
 * it; a very old one is not given out even then. */
static bool must_check(struct health *health)
{
        bool must;

        pthread_mutex_lock(&health->lock);
        int64_t age = clock_monotonic_us() - health->checked_us;

        must = !health->stopping &&
               (!health->checked_us || age > STALE_US || (age > FRESH_US && !health->checking));
        health->checking += must;
        pthread_mutex_unlock(&health->lock);
        return must;
}

static struct reply answer(struct request *req, health_view_fn *view)
{
        struct health *health = app_of(req)->health;

        if (!must_check(health))
                return view(req, health);
        struct asking *asking = mem_new(req->ctx, struct asking);
        struct reply later = reply_later(req);

        *asking = (struct asking){req, health, view};
        pool_continue(app_of(req)->watchers, check_and_answer, asking);
        return later;
}

static struct reply get_health(struct request *req)
{
        return answer(req, view_full);
}

static struct reply get_ready(struct request *req)
{
        return answer(req, view_ready);
}

static struct reply get_live(struct request *req)
{
        return reply_state(req, true);
}

struct health *health_new(struct app *app)
{
        struct health *health = mem_new(NULL, struct health);

        health->app = app;
        pthread_mutex_init(&health->lock, NULL);
        pthread_cond_init(&health->idle, NULL);
        health->body = BUFFER_INIT(health, BODY_MAX);
        return health;
}

struct health *health_free(struct health *health)
{
        if (!health)
                return NULL;
        pthread_cond_destroy(&health->idle);
        pthread_mutex_destroy(&health->lock);
        return mem_free(health);
}

void health_stop(struct health *health)
{
        pthread_mutex_lock(&health->lock);
        health->stopping = true;
        while (health->checking)
                pthread_cond_wait(&health->idle, &health->lock);
        pthread_mutex_unlock(&health->lock);
}

const struct route system_routes[] = {
        {METHOD_GET, "/health", ROUTE_PUBLIC | ROUTE_INLINE, 0, get_health, NULL},
        {METHOD_GET, "/health/live", ROUTE_PUBLIC | ROUTE_INLINE, 0, get_live, NULL},
        {METHOD_GET, "/health/ready", ROUTE_PUBLIC | ROUTE_INLINE, 0, get_ready, NULL},
        {0},
};
