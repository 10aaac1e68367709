/* SPDX-License-Identifier: Apache-2.0 */
/* Shards: the calls are spread over several libcurl multi handles, all on the one client thread.
 *
 * libcurl walks the list of a multi's connections at each start and end of a call, which with
 * thousands of waiting calls costs more than the call itself; and once an HTTP/2 connection carries
 * as many streams as the server allows (100, most often), it lets further calls wait rather than
 * open another. A shard takes SHARD_CALLS calls, then the next one is opened; the first with room
 * is used, so that a small load stays on the first shard and finds its kept connections. Names and
 * TLS sessions are shared by all. */
#include <sys/epoll.h>

#include "base/clock.h"
#include "net/client_internal.h"

enum {
        SHARD_CALLS = 100,
        SHARD_CONNECTIONS_KEPT = 200, /* more than SHARD_CALLS: some idle, to several hosts */
        SHARD_LINGER_US = 10 * 1000 * 1000,
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
        struct shard *shard = arg;
        int epoll = shard->client->epoll;
        struct epoll_event event = {.data.u64 = (uint64_t)shard->index << 32 | (uint32_t)fd};

        (void)easy;
        if (what == CURL_POLL_REMOVE) {
                epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
                return 0;
        }
        if (what & CURL_POLL_IN)
                event.events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                event.events |= EPOLLOUT;
        if (epoll_ctl(epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
                epoll_ctl(epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
        curl_multi_assign(shard->multi, fd, shard);
        return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
        struct shard *shard = arg;

        (void)multi;
        if (timeout_ms < 0)
                shard->due_us = INT64_MAX;
        else
                shard->due_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
        return 0;
}

static bool open_shard(struct http_client *client, unsigned index)
{
        struct shard *shard = &client->shards[index];

        shard->multi = curl_multi_init();
        if (!shard->multi)
                return false;
        shard->client = client;
        shard->index = index;
        shard->due_us = shard->close_us = INT64_MAX;
        curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
        curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_timer);
        curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
        curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long)SHARD_CONNECTIONS_KEPT);
        return true;
}

static void close_shard(struct shard *shard)
{
        curl_multi_cleanup(shard->multi);
        shard->multi = NULL;
}

/* The first with room, or the one with the fewest calls when all are full. */
static unsigned choose(const struct http_client *client)
{
        unsigned least = 0;

        for (unsigned index = 0; index < SHARD_MAX; index++) {
                if (client->shards[index].running < SHARD_CALLS)
                        return index;
                if (client->shards[index].running < client->shards[least].running)
                        least = index;
        }
        return least;
}

struct shard *http_shard_take(struct http_client *client)
{
        struct shard *shard = &client->shards[choose(client)];

        if (!shard->multi && !open_shard(client, (unsigned)(shard - client->shards)))
                return NULL;
        shard->running++;
        shard->close_us = INT64_MAX;
        return shard;
}

void http_shard_give(struct shard *shard)
{
        shard->running--;
        if (shard->running == 0 && shard->index > 0)
                shard->close_us = shard->client->now_us + SHARD_LINGER_US;
}

int64_t http_shard_due(const struct http_client *client)
{
        int64_t due_us = INT64_MAX;

        for (size_t i = 0; i < SHARD_MAX; i++) {
                const struct shard *shard = &client->shards[i];

                if (shard->multi && shard->due_us < due_us)
                        due_us = shard->due_us;
                if (shard->multi && shard->close_us < due_us)
                        due_us = shard->close_us;
        }
        return due_us;
}

static void collect_done(struct shard *shard)
{
        struct http_call *call;
        CURLMsg *message;
        CURLcode code;
        int left;

        while ((message = curl_multi_info_read(shard->multi, &left))) {
                if (message->msg != CURLMSG_DONE)
                        continue;
                code = message->data.result;
                curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
                http_call_finish(call, code);
        }
}

void http_shard_event(struct http_client *client, uint64_t tag, uint32_t events)
{
        struct shard *shard = &client->shards[tag >> 32];
        int mask = 0, running;

        if (!shard->multi)
                return;
        if (events & EPOLLIN)
                mask |= CURL_CSELECT_IN;
        if (events & EPOLLOUT)
                mask |= CURL_CSELECT_OUT;
        if (events & (EPOLLERR | EPOLLHUP))
                mask |= CURL_CSELECT_ERR;
        curl_multi_socket_action(shard->multi, (int)(tag & UINT32_MAX), mask, &running);
}

void http_shard_run_all(struct http_client *client)
{
        for (size_t i = 0; i < SHARD_MAX; i++) {
                struct shard *shard = &client->shards[i];
                int running;

                if (!shard->multi)
                        continue;
                if (shard->due_us <= client->now_us) {
                        shard->due_us = INT64_MAX;
                        curl_multi_socket_action(shard->multi, CURL_SOCKET_TIMEOUT, 0, &running);
                }
                collect_done(shard);
                if (shard->close_us <= client->now_us)
                        close_shard(shard);
        }
}

void http_shard_close_all(struct http_client *client)
{
        for (size_t i = 0; i < SHARD_MAX; i++) {
                if (client->shards[i].multi)
                        close_shard(&client->shards[i]);
        }
}
