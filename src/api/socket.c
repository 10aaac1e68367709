/* SPDX-License-Identifier: Apache-2.0 */
/* /ws/{workflow_id}: every event of a workflow's executions over one WebSocket.
 *
 * Subscribing blocks on the store and so runs on a watcher thread; whichever of socket and
 * subscription ends first takes the other along. */
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "api/follow.h"
#include "api/routes.h"
#include "api/session.h"
#include "net/websocket.h"

enum { QUEUE_MAX = 4 * 1024 * 1024, MESSAGE_MAX = 64 * 1024, PING_SECONDS = 20 };

struct watch {
        struct app *app;
        struct websocket *ws;
        struct subscription *subscription;
        char workflow_id[UUID_TEXT_SIZE];
        int64_t after;
        pthread_mutex_t lock;
        bool subscribed, closed;
};

static void watch_free(struct watch *watch)
{
        events_unsubscribe(watch->subscription);
        websocket_unref(watch->ws);
        pthread_mutex_destroy(&watch->lock);
        mem_free(watch);
}

static void unsubscribe(void *arg)
{
        watch_free(arg);
}

static void tell(const struct event *event, void *arg)
{
        struct watch *watch = arg;

        websocket_send(watch->ws, event->json, event->length);
}

static void subscribe(void *arg)
{
        struct watch *watch = arg;
        struct error err = ERROR_INIT;
        bool closed;

        if (events_subscribe(watch->app->events, watch->workflow_id, NULL, watch->after, tell,
                             watch, &watch->subscription, &err))
                websocket_close(watch->ws, 1011, "events cannot be read now; try again");
        pthread_mutex_lock(&watch->lock);
        watch->subscribed = true;
        closed = watch->closed;
        pthread_mutex_unlock(&watch->lock);
        if (closed)
                watch_free(watch);
}

static void opened(struct websocket *ws, void *arg)
{
        struct watch *watch = arg;

        watch->ws = websocket_ref(ws);
        pool_continue(watch->app->watchers, subscribe, watch);
}

static void closed(struct websocket *ws, unsigned code, void *arg)
{
        struct watch *watch = arg;
        bool subscribed;

        (void)code;
        if (!ws) { /* refused: opened never came */
                watch_free(watch);
                return;
        }
        pthread_mutex_lock(&watch->lock);
        watch->closed = true;
        subscribed = watch->subscribed;
        pthread_mutex_unlock(&watch->lock);
        if (subscribed)
                pool_continue(watch->app->watchers, unsubscribe, watch);
}

/* The token behind "bearer" in "Sec-WebSocket-Protocol: bearer, TOKEN"; NULL if there is none. */
static char *token_of_protocols(struct request *req)
{
        const char *header = request_header(req, "Sec-WebSocket-Protocol");
        const char *comma = header ? strchr(header, ',') : NULL;

        if (!comma || strcspn(header, " \t,") != 6 || strncasecmp(header, "bearer", 6) != 0)
                return NULL;
        const char *token = comma + 1 + strspn(comma + 1, " \t");

        return mem_strndup(req->ctx, token, strcspn(token, " \t,"));
}

static enum status sign_in(struct request *req, struct user *user, const char **ret_protocol,
                           struct error *err)
{
        const char *header = request_header(req, "Authorization");
        const char *token = token_of_protocols(req);

        *ret_protocol = token ? "bearer" : NULL;
        if (!token)
                token = request_query(req, "token");
        if (!token && header && strncasecmp(header, "Bearer ", 7) == 0)
                token = header + 7;
        if (!token)
                return error_set(err, STATUS_UNAUTHENTICATED,
                                 "Sign in: ?token=, or the subprotocols 'bearer, <access token>'");
        return session_user(app_of(req), req->ctx, token, user, err);
}

static struct reply open_socket(struct request *req)
{
        static const struct websocket_handlers handlers = {opened, NULL, closed};
        static const struct websocket_options options = {QUEUE_MAX, MESSAGE_MAX, PING_SECONDS};
        struct app *app = app_of(req);
        struct user user = {0};
        struct error err = ERROR_INIT;
        const char *workflow_id, *protocol;
        int64_t after, version;

        if (sign_in(req, &user, &protocol, &err) ||
            id_param(req, "workflow_id", &workflow_id, &err) ||
            follow_after(req, -1, &after, &err) ||
            store_check_workflow(app->store, user.id, workflow_id, &version, &err))
                return reply_error(req, &err);
        trace_set(req->trace.user_id, user.id);
        trace_set(req->trace.workflow_id, workflow_id);
        struct watch *watch = mem_new(NULL, struct watch);

        watch->app = app;
        watch->after = after;
        memcpy(watch->workflow_id, workflow_id, UUID_TEXT_SIZE);
        pthread_mutex_init(&watch->lock, NULL);
        return reply_upgrade(req, &options, &handlers, watch, protocol);
}

const struct route socket_routes[] = {
        {METHOD_GET, "/ws/{workflow_id}", ROUTE_PUBLIC | ROUTE_UPGRADE, 0, open_socket, NULL},
        {0},
};
