/* SPDX-License-Identifier: Apache-2.0 */
/* One outgoing call: checked and copied on the caller's thread, run and reported on the client's.
 *
 * Limits are enforced where the bytes arrive, after decompression. An answer with an error status
 * is an answer; only its first bytes are kept. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client_internal.h"

struct error *http_call_failure(struct http_call *call)
{
        if (call->failure)
                return NULL;
        call->failure = mem_new(call, struct error);
        return call->failure;
}

static bool is_address(const char *host)
{
        unsigned char bytes[16];

        return host[0] == '[' || inet_pton(AF_INET, host, bytes) == 1;
}

/* Takes what messages and look-ups need from the parsed URL. */
static void read_parts(struct http_call *call, CURLU *url)
{
        char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;

        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
        curl_url_get(url, CURLUPART_HOST, &host, 0);
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
        curl_url_get(url, CURLUPART_USER, &user, 0);
        call->peer = mem_printf(call, "%s:%s", host ? host : "", port ? port : "");
        call->peer_is_address = host && is_address(host);
        call->tls = scheme && strcmp(scheme, "https") == 0;
        if (!scheme || (!call->tls && strcmp(scheme, "http") != 0))
                http_call_fail(call, STATUS_INVALID,
                               "only http:// and https:// addresses can be called");
        else if (user && !call->private_addresses)
                http_call_fail(call, STATUS_INVALID,
                               "the address may not hold a user name or password");
        curl_free(scheme);
        curl_free(host);
        curl_free(port);
        curl_free(user);
}

static void read_url(struct http_call *call, const char *text)
{
        CURLU *url = curl_url();

        if (url && curl_url_set(url, CURLUPART_URL, text ? text : "", 0) == CURLUE_OK) {
                read_parts(call, url);
        } else {
                call->peer = mem_strdup(call, "");
                http_call_fail(call, STATUS_INVALID, "the address to call is not a valid URL");
        }
        curl_url_cleanup(url);
}

static void add_header(struct http_call *call, const char *name, const char *value)
{
        SCOPED_MEM char *line = mem_printf(call, *value ? "%s: %s" : "%s;%s", name, value);
        struct curl_slist *longer;

        if (strpbrk(line, "\r\n")) {
                http_call_fail(call, STATUS_INVALID, "the header %s holds a line break", name);
                return;
        }
        longer = curl_slist_append(call->headers, line);
        if (longer)
                call->headers = longer;
}

static void add_headers(struct http_call *call, const struct http_request *request)
{
        const struct http_header *header = request->headers;
        char parent[TRACEPARENT_SIZE];

        for (; header && header->name; header++)
                add_header(call, header->name, header->value);
        if (request->trace && request->trace->trace_id[0])
                add_header(call, "traceparent", trace_parent(request->trace, parent));
        if (call->body_length > 0) {
                struct curl_slist *longer = curl_slist_append(call->headers, "Expect:");

                call->headers = longer ? longer : call->headers;
        }
}

static unsigned or_default(unsigned value, unsigned fallback)
{
        return value ? value : fallback;
}

struct http_call *http_call_new(struct http_client *client, const struct http_request *request,
                                const struct http_handlers *handlers, void *arg)
{
        struct http_call *call = mem_new(NULL, struct http_call);

        call->client = client;
        call->handlers = *handlers;
        call->arg = arg;
        call->method = mem_strdup(call, request->method);
        call->url = mem_strdup(call, request->url);
        call->body_length = request->body_length;
        call->body = request->body;
        if (call->body_length > 0 && !request->body_borrowed)
                call->body = mem_dup(call, request->body, call->body_length);
        call->connect_timeout_ms = or_default(request->connect_timeout_ms, CALL_CONNECT_TIMEOUT_MS);
        call->timeout_ms = or_default(request->timeout_ms, CALL_TIMEOUT_MS);
        call->stall_timeout_ms = request->stall_timeout_ms;
        call->delay_ms = request->delay_ms;
        call->response_max = request->response_max ? request->response_max : CALL_RESPONSE_MAX;
        call->private_addresses = request->private_addresses;
        call->heap_index = SIZE_MAX;
        call->gathered = BUFFER_INIT(call, call->response_max);
        read_url(call, request->url);
        add_headers(call, request);
        return call;
}

struct http_call *http_call_free(struct http_call *call)
{
        curl_slist_free_all(call->headers);
        return mem_free(call);
}

static void note_byte(struct http_call *call)
{
        call->last_byte_us = call->client->now_us;
}

static bool is_success(const struct http_call *call)
{
        return call->http_status >= 200 && call->http_status < 300;
}

static void begin_body(struct http_call *call)
{
        long status = 0;

        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->http_status = (unsigned)status;
        call->first_byte_us = clock_monotonic_us();
        if (!is_success(call) && call->gathered.max > CALL_ERROR_BODY_MAX)
                call->gathered.max = CALL_ERROR_BODY_MAX;
}

static bool take_error_body(struct http_call *call, const char *data, size_t length)
{
        size_t room = call->gathered.max - call->gathered.length;

        buffer_append(&call->gathered, data, length < room ? length : room);
        call->cut = length > room;
        return !call->cut;
}

static bool take_body(struct http_call *call, const char *data, size_t length)
{
        if (!is_success(call))
                return take_error_body(call, data, length);
        if (call->received > call->response_max) {
                http_call_fail(call, STATUS_TOO_LARGE, "the answer of %s is larger than %zu bytes",
                               call->peer, call->response_max);
                return false;
        }
        if (call->handlers.data)
                call->handlers.data(call, data, length, call->arg);
        else
                buffer_append(&call->gathered, data, length);
        return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
        struct http_call *call = arg;
        size_t length = size * count;

        note_byte(call);
        if (length == 0 || atomic_load_explicit(&call->cancel_asked, memory_order_relaxed))
                return 0;
        if (call->received == 0)
                begin_body(call);
        call->received += length;
        return take_body(call, data, length) ? length : 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
        struct http_call *call = arg;
        size_t length = size * count;

        (void)data;
        note_byte(call);
        call->header_bytes += length;
        if (call->header_bytes <= CALL_HEADERS_MAX)
                return length;
        http_call_fail(call, STATUS_UPSTREAM, "%s sent more than %d bytes of headers", call->peer,
                       CALL_HEADERS_MAX);
        return 0;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
        struct http_call *call = arg;

        (void)purpose;
        http_name_resolved(call);
        if (!call->private_addresses && !http_address_is_public(&address->addr)) {
                call->refused = true;
                return CURL_SOCKET_BAD;
        }
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A connection kept from a call that may reach private addresses must not serve one that may not.
 */
static int on_connected(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
        struct http_call *call = arg;

        (void)local_ip;
        (void)peer_port;
        (void)local_port;
        http_name_resolved(call);
        if (call->private_addresses || http_address_text_is_public(peer_ip))
                return CURL_PREREQFUNC_OK;
        call->refused = true;
        return CURL_PREREQFUNC_ABORT;
}

static void set_method(struct http_call *call)
{
        CURL *easy = call->easy;

        if (call->body_length > 0) {
                curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_length);
                curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
        }
        if (strcmp(call->method, "HEAD") == 0)
                curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        else if (strcmp(call->method, call->body_length > 0 ? "POST" : "GET") != 0)
                curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static long buffer_size(const struct http_call *call)
{
        if (call->tls)
                return CLIENT_TLS_BUFFER;
        return call->handlers.data ? CLIENT_STREAM_BUFFER : CLIENT_GATHER_BUFFER;
}

/* HTTP/2 only over TLS, where ALPN says at once whether the server speaks it: then many calls
 * share a connection. On plain http, waiting to share would queue calls behind a slow answer. */
static void set_transport(struct http_call *call)
{
        CURL *easy = call->easy;

        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, buffer_size(call));
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)call->connect_timeout_ms);
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                         call->tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, call->tls ? 1L : 0L);
        /* A compressed stream would arrive in bursts and cost a decoder a call. */
        if (!call->handlers.data)
                curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
}

static void set_callbacks(struct http_call *call)
{
        CURL *easy = call->easy;

        curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
        curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
        curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
}

static CURL *take_handle(struct http_client *client)
{
        CURL *easy;

        if (client->idle_count > 0)
                return client->idle[--client->idle_count];
        easy = curl_easy_init();
        if (easy)
                curl_easy_setopt(easy, CURLOPT_SHARE, client->share);
        return easy;
}

static void give_handle(struct http_client *client, CURL *easy)
{
        if (client->idle_count < CLIENT_IDLE_HANDLES) {
                curl_easy_reset(easy);
                client->idle[client->idle_count++] = easy;
        } else {
                curl_easy_cleanup(easy);
        }
}

static void set_request(struct http_call *call)
{
        curl_easy_setopt(call->easy, CURLOPT_URL, call->url);
        curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "flowgenix/" FLOWGENIX_VERSION);
        curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
        set_method(call);
        call->url = mem_free(call->url);
        call->method = mem_free(call->method);
}

void http_call_run(struct http_call *call)
{
        call->easy = take_handle(call->client);
        if (!call->easy) {
                http_call_finish(call, CURLE_OUT_OF_MEMORY);
                return;
        }
        set_request(call);
        set_transport(call);
        set_callbacks(call);
        call->shard = http_shard_take(call->client);
        if (!call->shard || curl_multi_add_handle(call->shard->multi, call->easy) != CURLM_OK)
                http_call_finish(call, CURLE_FAILED_INIT);
}

int64_t http_call_due(const struct http_call *call)
{
        int64_t stall_us = INT64_MAX;

        if (call->stall_timeout_ms)
                stall_us = call->last_byte_us + (int64_t)call->stall_timeout_ms * 1000;
        return stall_us < call->deadline_us ? stall_us : call->deadline_us;
}

void http_call_expire(struct http_call *call)
{
        struct http_client *client = call->client;

        if (http_call_due(call) > client->now_us) {
                http_timer_set(&client->timers, call, http_call_due(call));
                return;
        }
        if (call->deadline_us <= client->now_us)
                http_call_fail(call, STATUS_UPSTREAM_TIMEOUT, "%s did not %s within %g s",
                               call->peer, call->received ? "finish its answer" : "answer",
                               call->timeout_ms / 1000.0);
        else
                http_call_fail(call, STATUS_UPSTREAM_TIMEOUT, "%s sent nothing for %g s",
                               call->peer, call->stall_timeout_ms / 1000.0);
        http_call_finish(call, CURLE_OK);
}

static unsigned retry_after_ms(struct http_call *call)
{
        const char *precise = http_call_header(call, "retry-after-ms");
        curl_off_t seconds = 0;
        long ms = precise ? strtol(precise, NULL, 10) : 0;

        if (ms > 0)
                return ms < RETRY_AFTER_MAX_MS ? (unsigned)ms : RETRY_AFTER_MAX_MS;
        curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &seconds);
        if (seconds <= 0)
                return 0;
        return seconds < RETRY_AFTER_MAX_MS / 1000 ? (unsigned)seconds * 1000 : RETRY_AFTER_MAX_MS;
}

static void report(struct http_call *call)
{
        struct http_result result = {
                .body = buffer_string(&call->gathered),
                .body_length = call->gathered.length,
                .total_us = clock_monotonic_us() - call->start_us,
        };
        char *content_type = NULL;
        long status = 0;

        if (call->first_byte_us)
                result.first_byte_us = call->first_byte_us - call->start_us;
        if (!call->failure) {
                curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
                curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &content_type);
                result.status = (unsigned)status;
                result.content_type = content_type;
                result.retry_after_ms = retry_after_ms(call);
        }
        call->handlers.done(&result, call->failure, call->arg);
}

/* Until done has returned another thread may still have asked to cancel: only now is the call out
 * of everybody's sight. */
static void forget(struct http_call *call)
{
        struct http_client *client = call->client;

        pthread_mutex_lock(&client->lock);
        if (call->cancel_mailed)
                TAILQ_REMOVE(&client->cancelled, call, cancel_mail);
        pthread_mutex_unlock(&client->lock);
        TAILQ_REMOVE(&client->live, call, list);
        if (call->easy)
                give_handle(client, call->easy);
        http_call_free(call);
}

void http_call_finish(struct http_call *call, CURLcode code)
{
        struct http_client *client = call->client;

        http_timer_remove(&client->timers, call);
        if (call->shard) {
                curl_multi_remove_handle(call->shard->multi, call->easy);
                http_shard_give(call->shard);
        }
        if (atomic_load(&call->cancel_asked))
                http_call_fail(call, STATUS_CANCELLED, "the call was cancelled");
        if (code != CURLE_OK && !call->cut)
                http_call_explain(call, code);
        http_name_leave(call, code == CURLE_COULDNT_RESOLVE_HOST);
        report(call);
        forget(call);
}

const char *http_call_header(struct http_call *call, const char *name)
{
        struct curl_header *header = NULL;

        if (!call->easy || curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &header))
                return NULL;
        return header->value;
}
