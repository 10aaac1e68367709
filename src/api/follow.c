/* SPDX-License-Identifier: Apache-2.0 */
/* Following events: the stream opens on the event loop, subscribing blocks on the store and so runs
 * on a watcher thread; whichever of stream and subscription ends first takes the other along. */
#include "api/follow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MAX = 4 * 1024 * 1024 };

struct follower {
        struct app *app;
        struct stream *stream;
        struct subscription *subscription;
        char workflow_id[UUID_TEXT_SIZE], execution_id[UUID_TEXT_SIZE];
        int64_t after;
        follow_end_fn *at_end;
        void *arg;
        pthread_mutex_t lock;
        bool gone;      /* under lock: the client left */
        bool finishing; /* under lock: end is queued */
};

enum status follow_after(struct request *req, int64_t fallback, int64_t *ret, struct error *err)
{
        const char *text = request_query(req, "after");
        char *end = NULL;

        if (!text)
                text = request_header(req, "Last-Event-ID");
        *ret = fallback;
        if (!text || !*text)
                return STATUS_OK;
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (errno || *end || value < 0) {
                problems_add(request_problems(req), NULL, "after", "must be a sequence number");
                return error_set(err, STATUS_INVALID, "after must be a sequence number");
        }
        *ret = value;
        return STATUS_OK;
}

static bool is_final(const char *type)
{
        return strcmp(type, "execution_completed") == 0 || strcmp(type, "execution_failed") == 0 ||
               strcmp(type, "execution_cancelled") == 0;
}

/* On a watcher thread, once: after the last event or after the client left. */
static void finish(void *arg)
{
        struct follower *follower = arg;
        bool gone;

        events_unsubscribe(follower->subscription);
        pthread_mutex_lock(&follower->lock);
        gone = follower->gone;
        pthread_mutex_unlock(&follower->lock);
        if (follower->at_end && !gone)
                follower->at_end(follower->stream, follower->arg);
        stream_end(follower->stream);
        stream_release(follower->stream);
        pthread_mutex_destroy(&follower->lock);
        mem_free(follower->arg);
        mem_free(follower);
}

static void finish_once(struct follower *follower, bool gone)
{
        bool first;

        pthread_mutex_lock(&follower->lock);
        first = !follower->finishing;
        follower->finishing = true;
        follower->gone = follower->gone || gone;
        /* Before the subscription exists, subscribe() finishes in its stead. */
        first = first && follower->subscription;
        pthread_mutex_unlock(&follower->lock);
        if (first)
                pool_continue(follower->app->watchers, finish, follower);
}

static void tell(const struct event *event, void *arg)
{
        struct follower *follower = arg;

        stream_send(follower->stream, event->seq, event->type, event->json, event->length);
        if (is_final(event->type))
                finish_once(follower, /* gone= */ false);
}

/* True when no further event can come: a client that already saw the last one must not wait. */
static bool has_ended(const struct follower *follower)
{
        SCOPED_MEM void *ctx = mem_root();
        struct execution execution = {0};
        struct error err = ERROR_INIT;

        return store_get_execution(follower->app->store, ctx, NULL, follower->execution_id,
                                   &execution, &err) != STATUS_OK ||
               execution.finished_at > 0;
}

static void subscribe(void *arg)
{
        struct follower *follower = arg;
        struct subscription *subscription = NULL;
        struct error err = ERROR_INIT;
        bool over = events_subscribe(follower->app->events, follower->workflow_id,
                                     follower->execution_id, follower->after, tell, follower,
                                     &subscription, &err) != STATUS_OK ||
                    has_ended(follower);

        pthread_mutex_lock(&follower->lock);
        follower->subscription = subscription;
        over = over || follower->finishing;
        follower->finishing = over;
        pthread_mutex_unlock(&follower->lock);
        if (over)
                finish(follower);
}

static void opened(struct stream *stream, void *arg)
{
        struct follower *follower = arg;

        follower->stream = stream;
        pool_continue(follower->app->watchers, subscribe, follower);
}

static void closed(void *arg)
{
        finish_once(arg, /* gone= */ true);
}

struct reply follow_execution(struct request *req, const char *workflow_id,
                              const char *execution_id, int64_t after, follow_end_fn *at_end,
                              void *arg)
{
        static const struct stream_handlers handlers = {opened, closed};
        struct follower *follower = mem_new(NULL, struct follower);

        follower->app = app_of(req);
        memcpy(follower->workflow_id, workflow_id, UUID_TEXT_SIZE);
        memcpy(follower->execution_id, execution_id, UUID_TEXT_SIZE);
        follower->after = after;
        follower->at_end = at_end;
        follower->arg = arg;
        pthread_mutex_init(&follower->lock, NULL);
        return reply_stream(req, &handlers, follower, QUEUE_MAX);
}
