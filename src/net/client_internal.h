/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the HTTP client. Everything here belongs to the client thread, except the mailbox
 * (guarded by `lock`) and what is said to be set before a call is mailed. */
#pragma once

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "net/client.h"

enum {
        CALL_TIMEOUT_MS = 10 * 60 * 1000,
        CALL_CONNECT_TIMEOUT_MS = 10 * 1000,
        CALL_RESPONSE_MAX = 16 * 1024 * 1024,
        CALL_ERROR_BODY_MAX = 64 * 1024, /* more of a non-2xx answer is not read */
        CALL_HEADERS_MAX = 64 * 1024,
        CLIENT_STREAM_BUFFER =
                1024, /* a token's event is a few hundred bytes; one a waiting call */
        CLIENT_GATHER_BUFFER = 4096,
        CLIENT_TLS_BUFFER = 16384, /* with 1024, libcurl 7.88 loses the end of an HTTP/2 answer */
        CLIENT_IDLE_HANDLES = 256,
        SHARD_MAX = 128,
        RETRY_AFTER_MAX_MS = 24 * 3600 * 1000,
};

struct name;
TAILQ_HEAD(call_list, http_call);
LIST_HEAD(name_list, name);

struct timer_heap {
        struct http_call **items;
        size_t count, capacity;
};

struct shard {
        struct http_client *client;
        CURLM *multi;     /* NULL: not open */
        int64_t due_us;   /* when libcurl wants to be called; INT64_MAX: not */
        int64_t close_us; /* when it closes for lack of calls; INT64_MAX: not */
        size_t running;
        unsigned index;
};

struct http_client {
        int epoll, wake;
        pthread_t thread;
        pthread_mutex_t lock;
        struct call_list started, cancelled; /* mailbox */
        bool stopping;                       /* guarded by lock */

        int64_t now_us; /* refreshed by the loop */
        struct shard shards[SHARD_MAX];
        CURLSH *share; /* names and TLS sessions of all shards */
        struct call_list live;
        struct timer_heap timers;
        struct name_list names;
        bool names_changed;
        CURL *idle[CLIENT_IDLE_HANDLES];
        size_t idle_count;
};

struct http_call {
        TAILQ_ENTRY(http_call) mail;        /* in `started` */
        TAILQ_ENTRY(http_call) cancel_mail; /* in `cancelled`, when cancel_mailed */
        TAILQ_ENTRY(http_call) list;        /* in `live` */
        TAILQ_ENTRY(http_call) name_list;   /* in name->waiting, when name_waiting */
        struct http_client *client;
        struct http_handlers handlers;
        void *arg;

        char *url, *method; /* freed once libcurl has them */
        char *peer;         /* "host:port", for messages and name look-ups; no secrets */
        struct curl_slist *headers;
        const void *body;
        size_t body_length;
        size_t response_max;
        unsigned connect_timeout_ms, timeout_ms, stall_timeout_ms, delay_ms;
        bool private_addresses, tls, peer_is_address;

        atomic_bool cancel_asked;
        bool cancel_mailed; /* guarded by client->lock */

        CURL *easy;
        struct shard *shard; /* set while libcurl has the call */
        struct name *name;
        bool name_waiting, cut;
        bool refused; /* the SSRF filter said no */
        struct error *failure;
        struct buffer gathered;
        size_t received, header_bytes;
        unsigned http_status;
        int64_t start_us, deadline_us, last_byte_us, first_byte_us;
        int64_t due_us; /* in the timer heap */
        size_t heap_index;
};

/* client_call.c: one call, from request to libcurl handle to result. */
struct http_call *http_call_new(struct http_client *client, const struct http_request *request,
                                const struct http_handlers *handlers, void *arg);
struct http_call *http_call_free(struct http_call *call);
/* Hands the call to libcurl. Not from within a libcurl callback. */
void http_call_run(struct http_call *call);
/* Says why the call fails, unless something did before. */
#define http_call_fail(call, status, ...)                                                          \
        do {                                                                                       \
                struct error *failure_ = http_call_failure(call);                                  \
                                                                                                   \
                if (failure_)                                                                      \
                        error_set(failure_, (status), __VA_ARGS__);                                \
        } while (0)
/* An error to fill in, NULL if the call has failed already. */
struct error *http_call_failure(struct http_call *call);
/* Reports by done and frees the call. Not from within a libcurl callback. */
void http_call_finish(struct http_call *call, CURLcode code);
/* The next moment at which the call wants http_call_expire, and what happens then. */
int64_t http_call_due(const struct http_call *call);
void http_call_expire(struct http_call *call);

/* client_shard.c: libcurl multi handles. */
/* A shard with room for one more call; NULL without memory. */
struct shard *http_shard_take(struct http_client *client);
void http_shard_give(struct shard *shard);
int64_t http_shard_due(const struct http_client *client);
/* `tag`: the epoll data of a socket. */
void http_shard_event(struct http_client *client, uint64_t tag, uint32_t events);
/* Runs libcurl's timers and finishes the calls that are over. */
void http_shard_run_all(struct http_client *client);
void http_shard_close_all(struct http_client *client);

/* client_timer.c: calls ordered by due_us. */
void http_timer_set(struct timer_heap *heap, struct http_call *call, int64_t due_us);
void http_timer_remove(struct timer_heap *heap, struct http_call *call);
struct http_call *http_timer_first(const struct timer_heap *heap); /* NULL if empty */

/* client_name.c: one look-up a name at a time. */
/* True: the call may run. False: it waits for the look-up that another call makes. */
bool http_name_enter(struct http_call *call);
/* The call's name is resolved (or was not needed). Fine inside libcurl callbacks. */
void http_name_resolved(struct http_call *call);
/* The call is over; `unknown`: because its name does not resolve. */
void http_name_leave(struct http_call *call, bool unknown);
/* Runs what became free to run. Not from within a libcurl callback. */
void http_name_settle(struct http_client *client);
void http_name_free_all(struct http_client *client);

/* client_address.c: the SSRF filter. */
bool http_address_is_public(const struct sockaddr *address);
bool http_address_text_is_public(const char *text);

/* client_error.c: plain words for a libcurl failure. */
void http_call_explain(struct http_call *call, CURLcode code);
