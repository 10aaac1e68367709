/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP client: one thread that drives libcurl by epoll, so that a call that waits costs its handle
 * and its socket and nothing else.
 *
 * Other threads only put calls and cancellations into a mailbox and ring the eventfd. Everything
 * else, timers and callbacks included, happens on the client thread between two libcurl calls. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client_internal.h"

enum { EVENTS_A_TURN = 256 };

/* Epoll data of the eventfd; a socket's is made by its shard. */
static const uint64_t WAKE_TAG = UINT64_MAX;

static void ring(struct http_client *client)
{
        ssize_t written = write(client->wake, &(uint64_t){1}, sizeof(uint64_t));

        /* A full counter (EAGAIN) rings too. */
        (void)written;
}

static void silence(struct http_client *client)
{
        uint64_t rings;
        ssize_t got = read(client->wake, &rings, sizeof(rings));

        (void)got;
}

/* Milliseconds until the nearest timer, rounded up; -1: none. */
static int wait_ms(const struct http_client *client)
{
        const struct http_call *first = http_timer_first(&client->timers);
        int64_t due_us = http_shard_due(client), left_us;

        if (first && first->due_us < due_us)
                due_us = first->due_us;
        if (due_us == INT64_MAX)
                return -1;
        left_us = due_us - clock_monotonic_us();
        if (left_us <= 0)
                return 0;
        return left_us > INT32_MAX ? INT32_MAX / 1000 : (int)((left_us + 999) / 1000);
}

static void begin(struct http_client *client, struct http_call *call)
{
        call->start_us = call->last_byte_us = client->now_us;
        call->deadline_us = client->now_us + (int64_t)call->timeout_ms * 1000;
        http_timer_set(&client->timers, call, http_call_due(call));
        if (http_name_enter(call))
                http_call_run(call);
}

/* Takes a call out of the mailbox. Its delay is not part of its time. */
static void accept_call(struct http_client *client, struct http_call *call, bool stopping)
{
        TAILQ_INSERT_TAIL(&client->live, call, list);
        call->start_us = client->now_us;
        if (stopping)
                http_call_fail(call, STATUS_CANCELLED, "the program is stopping");
        if (call->failure || atomic_load(&call->cancel_asked))
                http_call_finish(call, CURLE_OK);
        else if (call->delay_ms)
                http_timer_set(&client->timers, call,
                               client->now_us + (int64_t)call->delay_ms * 1000);
        else
                begin(client, call);
}

static void accept_started(struct http_client *client)
{
        struct call_list started = TAILQ_HEAD_INITIALIZER(started);
        struct http_call *call;
        bool stopping;

        pthread_mutex_lock(&client->lock);
        TAILQ_CONCAT(&started, &client->started, mail);
        stopping = client->stopping;
        pthread_mutex_unlock(&client->lock);
        while ((call = TAILQ_FIRST(&started))) {
                TAILQ_REMOVE(&started, call, mail);
                accept_call(client, call, stopping);
        }
}

static struct http_call *next_cancelled(struct http_client *client)
{
        struct http_call *call;

        pthread_mutex_lock(&client->lock);
        call = TAILQ_FIRST(&client->cancelled);
        if (call) {
                TAILQ_REMOVE(&client->cancelled, call, cancel_mail);
                call->cancel_mailed = false;
        }
        pthread_mutex_unlock(&client->lock);
        return call;
}

/* A cancelled call may still be in `started`, if both were mailed since accept_started: then its
 * flag is seen there. `heap_index` tells whether it was accepted. */
static void accept_cancelled(struct http_client *client)
{
        struct http_call *call;

        while ((call = next_cancelled(client))) {
                if (call->heap_index != SIZE_MAX)
                        http_call_finish(call, CURLE_OK);
        }
}

static void run_timers(struct http_client *client)
{
        struct http_call *call;

        while ((call = http_timer_first(&client->timers)) && call->due_us <= client->now_us) {
                http_timer_remove(&client->timers, call);
                if (call->deadline_us == 0)
                        begin(client, call);
                else
                        http_call_expire(call);
        }
}

static void turn(struct http_client *client)
{
        struct epoll_event events[EVENTS_A_TURN];
        int count = epoll_wait(client->epoll, events, EVENTS_A_TURN, wait_ms(client));

        client->now_us = clock_monotonic_us();
        for (int i = 0; i < count; i++) {
                if (events[i].data.u64 == WAKE_TAG)
                        silence(client);
                else
                        http_shard_event(client, events[i].data.u64, events[i].events);
        }
        http_shard_run_all(client);
        accept_started(client);
        accept_cancelled(client);
        run_timers(client);
        http_name_settle(client);
}

static bool mailbox_state(struct http_client *client, bool *ret_empty)
{
        bool stopping;

        pthread_mutex_lock(&client->lock);
        stopping = client->stopping;
        *ret_empty = TAILQ_EMPTY(&client->started);
        pthread_mutex_unlock(&client->lock);
        return stopping;
}

/* True when there is nothing left to do for a client that is being freed. A done callback may
 * start another call; it is taken out of the mailbox and refused as well. */
static bool finished(struct http_client *client)
{
        struct http_call *call;
        bool empty;

        if (!mailbox_state(client, &empty))
                return false;
        while ((call = TAILQ_FIRST(&client->live))) {
                http_call_fail(call, STATUS_CANCELLED, "the program is stopping");
                http_call_finish(call, CURLE_OK);
        }
        accept_started(client);
        mailbox_state(client, &empty);
        return empty && TAILQ_EMPTY(&client->live);
}

static void *run(void *arg)
{
        struct http_client *client = arg;

        pthread_setname_np(pthread_self(), "http-client");
        while (!finished(client))
                turn(client);
        return NULL;
}

static enum status open_handles(struct http_client *client, struct error *err)
{
        struct epoll_event event = {.events = EPOLLIN};

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_set(err, STATUS_INTERNAL, "libcurl cannot start");
        client->epoll = epoll_create1(EPOLL_CLOEXEC);
        client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        client->share = curl_share_init();
        if (client->epoll < 0 || client->wake < 0 || !client->share)
                return error_set(err, STATUS_INTERNAL, "the HTTP client cannot start: %s",
                                 strerror(errno));
        event.data.u64 = WAKE_TAG;
        epoll_ctl(client->epoll, EPOLL_CTL_ADD, client->wake, &event);
        curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
        curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
        return STATUS_OK;
}

static void close_handles(struct http_client *client)
{
        while (client->idle_count > 0)
                curl_easy_cleanup(client->idle[--client->idle_count]);
        http_name_free_all(client);
        http_shard_close_all(client);
        curl_share_cleanup(client->share);
        if (client->epoll >= 0)
                close(client->epoll);
        if (client->wake >= 0)
                close(client->wake);
        mem_free(client->timers.items);
        pthread_mutex_destroy(&client->lock);
        mem_free(client);
}

/* Signals are the main thread's business; SIGPIPE from a TLS write must not end the program. */
static int start_thread(struct http_client *client)
{
        sigset_t all, before;
        int failed;

        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        failed = pthread_create(&client->thread, NULL, run, client);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return failed;
}

enum status http_client_new(struct http_client **ret, struct error *err)
{
        struct http_client *client = mem_new(NULL, struct http_client);

        pthread_mutex_init(&client->lock, NULL);
        TAILQ_INIT(&client->started);
        TAILQ_INIT(&client->cancelled);
        TAILQ_INIT(&client->live);
        client->epoll = client->wake = -1;
        if (open_handles(client, err)) {
                close_handles(client);
                return err->status;
        }
        if (start_thread(client)) {
                close_handles(client);
                return error_set(err, STATUS_INTERNAL, "cannot start the HTTP client's thread");
        }
        *ret = client;
        return STATUS_OK;
}

struct http_client *http_client_free(struct http_client *client)
{
        if (!client)
                return NULL;
        pthread_mutex_lock(&client->lock);
        client->stopping = true;
        pthread_mutex_unlock(&client->lock);
        ring(client);
        pthread_join(client->thread, NULL);
        close_handles(client);
        return NULL;
}

struct http_call *http_client_start(struct http_client *client, const struct http_request *request,
                                    const struct http_handlers *handlers, void *arg)
{
        struct http_call *call = http_call_new(client, request, handlers, arg);
        bool first;

        pthread_mutex_lock(&client->lock);
        first = TAILQ_EMPTY(&client->started);
        TAILQ_INSERT_TAIL(&client->started, call, mail);
        pthread_mutex_unlock(&client->lock);
        if (first)
                ring(client);
        return call;
}

void http_call_cancel(struct http_call *call)
{
        struct http_client *client = call->client;

        if (atomic_exchange(&call->cancel_asked, true))
                return;
        pthread_mutex_lock(&client->lock);
        call->cancel_mailed = true;
        TAILQ_INSERT_TAIL(&client->cancelled, call, cancel_mail);
        pthread_mutex_unlock(&client->lock);
        ring(client);
}
