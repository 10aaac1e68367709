/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: delivery, heartbeat, slow and leaving clients, the stop. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/test_http.h"

#define REQUEST "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"

enum { MANY = 1000, QUEUE = 64 * 1024 };

static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct stream *streams[MANY];
        size_t opened, closed;
        atomic_bool release_in_closed;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void opened(struct stream *stream, void *arg)
{
        (void)arg;
        pthread_mutex_lock(&seen.lock);
        seen.streams[seen.opened++] = stream;
        pthread_cond_broadcast(&seen.changed);
        pthread_mutex_unlock(&seen.lock);
}

static void closed(void *arg)
{
        (void)arg;
        if (seen.release_in_closed)
                stream_release(seen.streams[0]);
        pthread_mutex_lock(&seen.lock);
        seen.closed++;
        pthread_cond_broadcast(&seen.changed);
        pthread_mutex_unlock(&seen.lock);
}

static struct reply events(struct request *req)
{
        static const struct stream_handlers handlers = {opened, closed};

        return reply_stream(req, &handlers, NULL, QUEUE);
}

/* Opens a stream and then answers with something else. */
static struct reply changes_its_mind(struct request *req)
{
        static const struct stream_handlers handlers = {opened, closed};
        struct error err = ERROR_INIT;

        (void)reply_stream(req, &handlers, NULL, QUEUE).response;
        error_set(&err, STATUS_CONFLICT, "no stream today");
        return reply_error(req, &err);
}

static const struct route routes[] = {
        {METHOD_GET, "/events", 0, 0, events, NULL},
        {METHOD_GET, "/changes", 0, 0, changes_its_mind, NULL},
        {0},
};

static bool wait_for(const size_t *value, size_t wanted, int timeout_ms)
{
        struct timespec until;
        bool ok = true;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += timeout_ms % 1000 * 1000000L;
        if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
        }
        pthread_mutex_lock(&seen.lock);
        while (*value < wanted && ok)
                ok = pthread_cond_timedwait(&seen.changed, &seen.lock, &until) == 0;
        pthread_mutex_unlock(&seen.lock);
        return ok;
}

static int set_up(void **state)
{
        static const struct route *const tables[] = {routes, NULL};

        seen.opened = seen.closed = 0;
        seen.release_in_closed = false;
        *state = test_server(&(struct server_options){.heartbeat_seconds = 1}, tables);
        return 0;
}

static int open_stream(struct server *server)
{
        size_t before = seen.opened;
        int fd = test_connect(server_port(server));

        test_print(fd, REQUEST);
        assert_true(wait_for(&seen.opened, before + 1, TEST_TIMEOUT_MS));
        return fd;
}

static void send_text(struct stream *stream, int64_t id, const char *event, const char *text)
{
        stream_send(stream, id, event, text, strlen(text));
}

static void events_are_delivered_in_order(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = *state;
        int fd = open_stream(server);

        send_text(seen.streams[0], 1, "a", "{\"x\":1}");
        send_text(seen.streams[0], 2, NULL, "two\nlines");
        send_text(seen.streams[0], 0, "c", "");
        stream_end(seen.streams[0]);
        struct answer answer = test_read(ctx, fd, false);

        assert_int_equal(answer.status, 200);
        assert_string_equal(test_header(ctx, &answer, "Content-Type"), "text/event-stream");
        assert_string_equal(test_header(ctx, &answer, "Cache-Control"), "no-cache, no-transform");
        assert_string_equal(test_header(ctx, &answer, "X-Accel-Buffering"), "no");
        assert_string_equal(answer.body, "id: 1\nevent: a\ndata: {\"x\":1}\n\n"
                                         "id: 2\ndata: two\ndata: lines\n\n"
                                         "event: c\ndata: \n\n");
        assert_true(wait_for(&seen.closed, 1, 1000));
        stream_release(seen.streams[0]);
        close(fd);
        server_stop(server, 1000);
        assert_int_equal(seen.closed, 1);
}

static void wait_text(int fd, const char *text)
{
        char buffer[8192] = "";
        size_t used = 0;

        while (!strstr(buffer, text)) {
                ssize_t got = recv(fd, buffer + used, sizeof(buffer) - 1 - used, 0);

                if (got <= 0)
                        fail_msg("no \"%s\" in:\n%s", text, buffer);
                used += (size_t)got;
                buffer[used] = '\0';
        }
}

static void idle_streams_get_heartbeats(void **state)
{
        struct server *server = *state;
        int fd = open_stream(server);
        int64_t start = clock_monotonic_us();

        wait_text(fd, ": ping\n\n");
        wait_text(fd, ": ping\n\n");
        assert_in_range(clock_monotonic_us() - start, 1500000, 4000000);
        send_text(seen.streams[0], 7, "late", "x");
        wait_text(fd, "id: 7\nevent: late\ndata: x\n\n");
        stream_release(seen.streams[0]);
        close(fd);
        server_stop(server, 1000);
}

static void a_leaving_client_is_noticed_at_once(void **state)
{
        struct server *server = *state;
        int fd = open_stream(server);

        wait_text(fd, "\r\n\r\n");
        close(fd);
        assert_true(wait_for(&seen.closed, 1, 800));
        send_text(seen.streams[0], 1, "a", "to nobody");
        stream_release(seen.streams[0]);
        server_stop(server, 1000);
        assert_int_equal(seen.closed, 1);
}

static void a_slow_client_is_cut_off(void **state)
{
        struct server *server = *state;
        int fd = open_stream(server);
        char *text = mem_array(NULL, char, 10001);

        memset(text, 'x', 10000);
        /* Kernel buffers swallow some megabytes before the queue grows. */
        for (int i = 0; i < 5000 && !wait_for(&seen.closed, 1, 0); i++)
                send_text(seen.streams[0], i + 1, "e", text);
        assert_true(wait_for(&seen.closed, 1, 1000));
        stream_release(seen.streams[0]);
        assert_true(test_closes(fd, 1000));
        close(fd);
        mem_free(text);
        server_stop(server, 1000);
}

static void stopping_ends_streams(void **state)
{
        struct server *server = *state;
        int fd = open_stream(server);
        int64_t start = clock_monotonic_us();

        send_text(seen.streams[0], 1, "last", "x");
        server_stop(server, 5000);
        assert_in_range(clock_monotonic_us() - start, 0, 2000000);
        assert_int_equal(seen.closed, 1);
        wait_text(fd, "event: last");
        assert_true(test_closes(fd, 1000));
        send_text(seen.streams[0], 2, "e", "after the end");
        stream_release(seen.streams[0]);
        close(fd);
}

static void release_within_closed(void **state)
{
        struct server *server = *state;
        int fd = open_stream(server);

        seen.release_in_closed = true;
        close(fd);
        assert_true(wait_for(&seen.closed, 1, 2000));
        server_stop(server, 1000);
}

static void a_stream_that_never_starts_is_closed(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = *state;
        struct answer answer =
                test_ask(ctx, server_port(server), "GET /changes HTTP/1.1\r\nHost: x\r\n\r\n");

        test_problem(&answer, 409, "today");
        assert_true(wait_for(&seen.closed, 1, 2000));
        send_text(seen.streams[0], 1, "e", "x");
        stream_release(seen.streams[0]);
        answer = test_ask(ctx, server_port(server), "HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(answer.status, 200);
        assert_true(wait_for(&seen.closed, 2, 2000));
        stream_release(seen.streams[1]);
        server_stop(server, 1000);
}

static void *send_many(void *arg)
{
        (void)arg;
        for (int round = 1; round <= 3; round++) {
                for (size_t i = 0; i < MANY; i++)
                        send_text(seen.streams[i], round, "tick", "{\"some\":\"data\"}");
        }
        return NULL;
}

static void a_thousand_streams(void **state)
{
        struct server *server = *state;
        int *fd = mem_array(NULL, int, MANY);
        pthread_t thread;

        for (size_t i = 0; i < MANY; i++) {
                fd[i] = test_connect(server_port(server));
                test_print(fd[i], REQUEST);
        }
        assert_true(wait_for(&seen.opened, MANY, TEST_TIMEOUT_MS));
        pthread_create(&thread, NULL, send_many, NULL);
        pthread_join(thread, NULL);
        for (size_t i = 0; i < MANY; i++)
                wait_text(fd[i], "id: 3\nevent: tick");
        for (size_t i = 0; i < MANY; i++)
                close(fd[i]);
        assert_true(wait_for(&seen.closed, MANY, TEST_TIMEOUT_MS));
        for (size_t i = 0; i < MANY; i++)
                stream_release(seen.streams[i]);
        mem_free(fd);
        server_stop(server, 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(events_are_delivered_in_order, set_up),
                cmocka_unit_test_setup(idle_streams_get_heartbeats, set_up),
                cmocka_unit_test_setup(a_leaving_client_is_noticed_at_once, set_up),
                cmocka_unit_test_setup(a_slow_client_is_cut_off, set_up),
                cmocka_unit_test_setup(stopping_ends_streams, set_up),
                cmocka_unit_test_setup(release_within_closed, set_up),
                cmocka_unit_test_setup(a_stream_that_never_starts_is_closed, set_up),
                cmocka_unit_test_setup(a_thousand_streams, set_up),
        };
        struct rlimit limit;

        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
