/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted server: one epoll loop; a connection is either reading a request or sending a
 * prepared run of bytes, at most a piece a millisecond. */
#include "net/test_stub_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { REQUEST_MAX = 8 * 1024 * 1024, REQUESTS_KEPT = 64, WAIT_SECONDS = 10 };

struct script {
        TAILQ_ENTRY(script) list;
        struct stub_reply reply;
};

struct connection {
        LIST_ENTRY(connection) list;
        int fd;
        struct buffer in, out;
        size_t sent, stop_at, piece;
        int64_t due_us; /* when to send on; 0: nothing to send */
        bool busy, hang, close_after;
};

struct stub {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        int listener, epoll, wake;
        unsigned port;
        bool stopping;
        TAILQ_HEAD(, script) scripts;
        LIST_HEAD(, connection) connections;
        char *requests[REQUESTS_KEPT];
        size_t request_count, hangups, accepted;
        int64_t next_due_us; /* not after the earliest due_us */
};

static void connection_drop(struct stub *stub, struct connection *connection)
{
        pthread_mutex_lock(&stub->lock);
        if (connection->busy)
                stub->hangups++;
        pthread_cond_broadcast(&stub->changed);
        pthread_mutex_unlock(&stub->lock);
        LIST_REMOVE(connection, list);
        close(connection->fd);
        mem_free(connection);
}

static bool path_matches(const char *request, const char *path)
{
        const char *target = strchr(request, ' ');

        return target && strncmp(target + 1, path, strlen(path)) == 0;
}

/* The first reply queued for this target, taken out of the list unless it is its path's last. Lock
 * held. */
static struct script *take_script(struct stub *stub, const char *request, bool *ret_taken)
{
        struct script *found, *later;

        *ret_taken = false;
        TAILQ_FOREACH(found, &stub->scripts, list)
        {
                if (path_matches(request, found->reply.path))
                        break;
        }
        for (later = found ? TAILQ_NEXT(found, list) : NULL; later && !*ret_taken;
             later = TAILQ_NEXT(later, list))
                *ret_taken = strcmp(later->reply.path, found->reply.path) == 0;
        if (*ret_taken)
                TAILQ_REMOVE(&stub->scripts, found, list);
        return found;
}

static void write_head(struct buffer *out, const struct stub_reply *reply)
{
        unsigned status = reply->status ? reply->status : 200;

        buffer_printf(out, "HTTP/1.1 %u Scripted\r\n%s", status,
                      reply->headers ? reply->headers : "Content-Type: application/json\r\n");
        if (reply->framing == STUB_LENGTH)
                buffer_printf(out, "Content-Length: %zu\r\n\r\n", reply->length);
        else if (reply->framing == STUB_CHUNKED)
                buffer_text(out, "Transfer-Encoding: chunked\r\n\r\n");
        else
                buffer_text(out, "Connection: close\r\n\r\n");
}

static void write_body(struct buffer *out, const struct stub_reply *reply)
{
        size_t length = reply->length, piece = reply->piece ? reply->piece : length;

        if (reply->hang || reply->cut)
                length = reply->stop_after < length ? reply->stop_after : length;
        if (reply->framing != STUB_CHUNKED) {
                buffer_append(out, reply->body, length);
                return;
        }
        for (size_t at = 0; at < length; at += piece) {
                size_t size = piece < length - at ? piece : length - at;

                buffer_printf(out, "%zx\r\n", size);
                buffer_append(out, reply->body + at, size);
                buffer_text(out, "\r\n");
        }
        if (!reply->hang && !reply->cut)
                buffer_text(out, "0\r\n\r\n");
}

static void prepare(struct connection *connection, const struct stub_reply *reply)
{
        buffer_clear(&connection->out);
        if (reply->framing != STUB_RAW)
                write_head(&connection->out, reply);
        write_body(&connection->out, reply);
        connection->sent = 0;
        connection->piece = reply->piece ? reply->piece : connection->out.length;
        connection->hang = reply->hang;
        connection->close_after =
                reply->cut || reply->framing == STUB_CLOSE || reply->framing == STUB_RAW;
        connection->due_us = clock_monotonic_us() + (int64_t)reply->delay_ms * 1000;
}

static void keep_request(struct stub *stub, const char *text, size_t length)
{
        char **slot = &stub->requests[stub->request_count++ % REQUESTS_KEPT];

        mem_free(*slot);
        *slot = mem_strndup(NULL, text, length);
        pthread_cond_broadcast(&stub->changed);
}

static void answer(struct stub *stub, struct connection *connection, size_t length)
{
        static const struct stub_reply missing = {.status = 404, .body = "{}", .length = 2};
        struct script *script;
        bool taken;

        pthread_mutex_lock(&stub->lock);
        keep_request(stub, connection->in.data, length);
        script = take_script(stub, connection->in.data, &taken);
        prepare(connection, script ? &script->reply : &missing);
        if (taken)
                mem_free(script);
        connection->busy = true;
        pthread_mutex_unlock(&stub->lock);
        if (connection->due_us < stub->next_due_us)
                stub->next_due_us = connection->due_us;
        buffer_clear(&connection->in);
}

/* Bytes of the complete request in `in`, or 0. */
static size_t request_length(const struct buffer *in)
{
        const char *end = strstr(buffer_string(in), "\r\n\r\n");
        const char *field;
        size_t head, body = 0;

        if (!end)
                return 0;
        head = (size_t)(end - in->data) + 4;
        field = strcasestr(in->data, "\r\nContent-Length:");
        if (field && field < end)
                body = strtoul(field + strlen("\r\nContent-Length:"), NULL, 10);
        return in->length >= head + body ? head + body : 0;
}

static void receive(struct stub *stub, struct connection *connection)
{
        char bytes[16384];
        ssize_t got = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        size_t length;

        if (got <= 0) {
                connection_drop(stub, connection);
                return;
        }
        buffer_append(&connection->in, bytes, (size_t)got);
        length = request_length(&connection->in);
        if (length > 0)
                answer(stub, connection, length);
}

static void finish(struct stub *stub, struct connection *connection)
{
        connection->due_us = 0;
        if (connection->hang)
                return;
        connection->busy = false;
        if (connection->close_after)
                connection_drop(stub, connection);
}

static void send_piece(struct stub *stub, struct connection *connection, int64_t now_us)
{
        size_t left = connection->out.length - connection->sent;
        size_t size = connection->piece < left ? connection->piece : left;
        ssize_t sent =
                send(connection->fd, connection->out.data + connection->sent, size, MSG_NOSIGNAL);

        if (sent < 0) {
                connection_drop(stub, connection);
                return;
        }
        connection->sent += (size_t)sent;
        connection->due_us = now_us + 1000;
        if (connection->sent == connection->out.length)
                finish(stub, connection);
}

static void send_due(struct stub *stub)
{
        struct connection *connection, *next;
        int64_t now_us = clock_monotonic_us(), earliest = INT64_MAX;

        if (now_us < stub->next_due_us)
                return;
        for (connection = LIST_FIRST(&stub->connections); connection; connection = next) {
                next = LIST_NEXT(connection, list);
                if (connection->due_us && connection->due_us <= now_us)
                        send_piece(stub, connection, now_us);
        }
        LIST_FOREACH(connection, &stub->connections, list)
        {
                if (connection->due_us && connection->due_us < earliest)
                        earliest = connection->due_us;
        }
        stub->next_due_us = earliest;
}

static void accept_one(struct stub *stub)
{
        int fd = accept4(stub->listener, NULL, NULL, SOCK_CLOEXEC);
        struct connection *connection;
        struct epoll_event event = {.events = EPOLLIN};

        if (fd < 0)
                return;
        connection = mem_new(NULL, struct connection);
        connection->fd = fd;
        connection->in = BUFFER_INIT(connection, REQUEST_MAX);
        connection->out = BUFFER_INIT(connection, SIZE_MAX / 4);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        event.data.ptr = connection;
        epoll_ctl(stub->epoll, EPOLL_CTL_ADD, fd, &event);
        LIST_INSERT_HEAD(&stub->connections, connection, list);
        pthread_mutex_lock(&stub->lock);
        stub->accepted++;
        pthread_mutex_unlock(&stub->lock);
}

static int wait_ms(const struct stub *stub)
{
        int64_t left_us = stub->next_due_us - clock_monotonic_us();

        if (stub->next_due_us == INT64_MAX)
                return -1;
        return left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
}

static void *serve(void *arg)
{
        struct stub *stub = arg;
        struct epoll_event event;

        for (;;) {
                int count = epoll_wait(stub->epoll, &event, 1, wait_ms(stub));

                if (count == 1 && event.data.ptr == &stub->wake)
                        return NULL;
                if (count == 1 && event.data.ptr == stub)
                        accept_one(stub);
                else if (count == 1)
                        receive(stub, event.data.ptr);
                send_due(stub);
        }
}

static void watch(struct stub *stub, int fd, void *tag)
{
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};

        epoll_ctl(stub->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void listen_any(struct stub *stub)
{
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t length = sizeof(address);
        int failed;

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        stub->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        failed = bind(stub->listener, (struct sockaddr *)&address, length);
        assert(!failed);
        failed = listen(stub->listener, 4096);
        assert(!failed);
        failed = getsockname(stub->listener, (struct sockaddr *)&address, &length);
        assert(!failed);
        (void)failed;
        stub->port = ntohs(address.sin_port);
}

struct stub *stub_start(void)
{
        struct stub *stub = mem_new(NULL, struct stub);

        pthread_mutex_init(&stub->lock, NULL);
        pthread_cond_init(&stub->changed, NULL);
        TAILQ_INIT(&stub->scripts);
        stub->next_due_us = INT64_MAX;
        stub->epoll = epoll_create1(EPOLL_CLOEXEC);
        stub->wake = eventfd(0, EFD_CLOEXEC);
        listen_any(stub);
        watch(stub, stub->listener, stub);
        watch(stub, stub->wake, &stub->wake);
        if (pthread_create(&stub->thread, NULL, serve, stub))
                abort();
        return stub;
}

struct stub *stub_stop(struct stub *stub)
{
        ssize_t written;

        if (!stub)
                return NULL;
        written = write(stub->wake, &(uint64_t){1}, sizeof(uint64_t));
        assert(written == sizeof(uint64_t));
        (void)written;
        pthread_join(stub->thread, NULL);
        while (!LIST_EMPTY(&stub->connections))
                connection_drop(stub, LIST_FIRST(&stub->connections));
        stub_reset(stub);
        close(stub->listener);
        close(stub->epoll);
        close(stub->wake);
        pthread_cond_destroy(&stub->changed);
        pthread_mutex_destroy(&stub->lock);
        return mem_free(stub);
}

unsigned stub_port(const struct stub *stub)
{
        return stub->port;
}

char *stub_url(const struct stub *stub, const void *ctx, const char *path)
{
        return mem_printf(ctx, "http://127.0.0.1:%u%s", stub->port, path);
}

void stub_add(struct stub *stub, const struct stub_reply *reply)
{
        struct script *script = mem_new(NULL, struct script);

        script->reply = *reply;
        script->reply.path = mem_strdup(script, reply->path);
        script->reply.headers = mem_strdup(script, reply->headers);
        if (!reply->length)
                script->reply.length = reply->body ? strlen(reply->body) : 0;
        script->reply.body = mem_dup(script, reply->body, script->reply.length);
        pthread_mutex_lock(&stub->lock);
        TAILQ_INSERT_TAIL(&stub->scripts, script, list);
        pthread_mutex_unlock(&stub->lock);
}

void stub_reset(struct stub *stub)
{
        struct script *script;

        pthread_mutex_lock(&stub->lock);
        while ((script = TAILQ_FIRST(&stub->scripts))) {
                TAILQ_REMOVE(&stub->scripts, script, list);
                mem_free(script);
        }
        for (size_t i = 0; i < REQUESTS_KEPT; i++)
                stub->requests[i] = mem_free(stub->requests[i]);
        stub->request_count = stub->hangups = 0;
        pthread_mutex_unlock(&stub->lock);
}

static bool wait_for(struct stub *stub, const size_t *counter, size_t count)
{
        struct timespec until;
        int late = 0;
        bool reached;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += WAIT_SECONDS;
        pthread_mutex_lock(&stub->lock);
        while (*counter < count && !late)
                late = pthread_cond_timedwait(&stub->changed, &stub->lock, &until);
        reached = *counter >= count;
        pthread_mutex_unlock(&stub->lock);
        return reached;
}

bool stub_wait_requests(struct stub *stub, size_t count)
{
        return wait_for(stub, &stub->request_count, count);
}

bool stub_wait_hangups(struct stub *stub, size_t count)
{
        return wait_for(stub, &stub->hangups, count);
}

static size_t read_counter(struct stub *stub, const size_t *counter)
{
        size_t value;

        pthread_mutex_lock(&stub->lock);
        value = *counter;
        pthread_mutex_unlock(&stub->lock);
        return value;
}

size_t stub_requests(struct stub *stub)
{
        return read_counter(stub, &stub->request_count);
}

size_t stub_connections(struct stub *stub)
{
        return read_counter(stub, &stub->accepted);
}

char *stub_request(struct stub *stub, const void *ctx, size_t back)
{
        char *copy = NULL;

        pthread_mutex_lock(&stub->lock);
        if (back < stub->request_count && back < REQUESTS_KEPT)
                copy = mem_strdup(ctx,
                                  stub->requests[(stub->request_count - 1 - back) % REQUESTS_KEPT]);
        pthread_mutex_unlock(&stub->lock);
        return copy;
}
