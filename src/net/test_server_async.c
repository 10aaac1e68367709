/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that come later: suspended connections, clients that leave, full queues, the stop. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pool.h"
#include "net/test_http.h"

#define HOST "Host: x\r\n"

enum { HELD_MAX = 64 };

/* Requests whose handlers said reply_later, held until the test lets them go. */
static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct request *held[HELD_MAX];
        size_t count;
        size_t live; /* requests not yet freed */
        size_t blocked;
        bool open; /* lets blocked handlers go */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct pool *helpers;

static void change(size_t *value, int by)
{
        pthread_mutex_lock(&gate.lock);
        *value += (size_t)by;
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.lock);
}

static void wait_until(const size_t *value, size_t wanted)
{
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += TEST_TIMEOUT_MS / 1000;
        pthread_mutex_lock(&gate.lock);
        while (*value != wanted) {
                if (pthread_cond_timedwait(&gate.changed, &gate.lock, &until)) {
                        size_t found = *value;

                        pthread_mutex_unlock(&gate.lock);
                        fail_msg("%zu instead of %zu", found, wanted);
                }
        }
        pthread_mutex_unlock(&gate.lock);
}

struct mark {
        int nothing;
};

static int mark_freed(struct mark *mark)
{
        (void)mark;
        change(&gate.live, -1);
        return 0;
}

static void mark(struct request *req)
{
        talloc_set_destructor(mem_new(req->ctx, struct mark), mark_freed);
        change(&gate.live, 1);
}

static struct reply hello(struct request *req)
{
        return reply_text(req, 200, "text/plain", "hello", 5);
}

static struct reply hold(struct request *req)
{
        mark(req);
        pthread_mutex_lock(&gate.lock);
        gate.held[gate.count++] = req;
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.lock);
        return reply_later(req);
}

static void finish_here(void *arg)
{
        struct request *req = arg;

        request_finish(req, reply_text(req, 200, "text/plain", "later", 5));
}

static struct reply finish_elsewhere(struct request *req)
{
        mark(req);
        pool_continue(helpers, finish_here, req);
        return reply_later(req);
}

static struct reply finish_first(struct request *req)
{
        mark(req);
        finish_here(req);
        return reply_later(req);
}

static struct reply block(struct request *req)
{
        pthread_mutex_lock(&gate.lock);
        gate.blocked++;
        pthread_cond_broadcast(&gate.changed);
        while (!gate.open)
                pthread_cond_wait(&gate.changed, &gate.lock);
        pthread_mutex_unlock(&gate.lock);
        return hello(req);
}

static struct reply trace_text(struct request *req)
{
        const char *text = mem_printf(req->ctx, "%s %s %d", req->trace.trace_id,
                                      req->trace.request_id, trace_current() == &req->trace);

        return reply_text(req, 200, "text/plain", text, strlen(text));
}

static const struct route routes[] = {
        {METHOD_GET, "/inline", ROUTE_INLINE, 0, hello, NULL},
        {METHOD_GET, "/pool", 0, 0, hello, NULL},
        {METHOD_GET, "/hold", 0, 0, hold, NULL},
        {METHOD_GET, "/hold-inline", ROUTE_INLINE, 0, hold, NULL},
        {METHOD_GET, "/elsewhere", 0, 0, finish_elsewhere, NULL},
        {METHOD_GET, "/elsewhere-inline", ROUTE_INLINE, 0, finish_elsewhere, NULL},
        {METHOD_GET, "/first", 0, 0, finish_first, NULL},
        {METHOD_GET, "/first-inline", ROUTE_INLINE, 0, finish_first, NULL},
        {METHOD_GET, "/block", 0, 0, block, NULL},
        {METHOD_GET, "/block-inline", ROUTE_INLINE, 0, block, NULL},
        {METHOD_GET, "/trace", 0, 0, trace_text, NULL},
        {METHOD_GET, "/trace-inline", ROUTE_INLINE, 0, trace_text, NULL},
        {0},
};

static struct server *start(unsigned workers, size_t queue_max)
{
        static const struct route *const tables[] = {routes, NULL};

        gate.count = gate.blocked = 0;
        gate.open = false;
        return test_server(&(struct server_options){.workers = workers, .queue_max = queue_max},
                           tables);
}

static int set_up(void **state)
{
        struct rlimit limit;
        struct error err = ERROR_INIT;

        (void)state;
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        return (int)pool_new("helper", 2, 100, &helpers, &err);
}

static int tear_down(void **state)
{
        (void)state;
        pool_free(helpers);
        return 0;
}

static void finish_held(void)
{
        for (size_t i = 0; i < gate.count; i++)
                finish_here(gate.held[i]);
        gate.count = 0;
}

static void later_answers_arrive(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(0, 0);
        static const char *const paths[] = {"/elsewhere", "/elsewhere-inline", "/first",
                                            "/first-inline"};

        (void)state;
        for (size_t i = 0; i < 200; i++) {
                struct answer answer =
                        test_ask(ctx, server_port(server), "GET %s HTTP/1.1\r\n" HOST "\r\n",
                                 paths[i % ARRAY_LENGTH(paths)]);

                assert_int_equal(answer.status, 200);
                assert_string_equal(answer.body, "later");
        }
        server_stop(server, 1000);
        wait_until(&gate.live, 0);
}

static void later_answers_wait_for_their_finish(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(0, 0);
        int fd[20];

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                fd[i] = test_connect(server_port(server));
                test_print(fd[i], "GET /hold%s HTTP/1.1\r\n" HOST "\r\n", i % 2 ? "-inline" : "");
        }
        wait_until(&gate.count, ARRAY_LENGTH(fd));
        finish_held();
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                struct answer answer = test_read(ctx, fd[i], false);

                assert_string_equal(answer.body, "later");
                test_print(fd[i], "GET /pool HTTP/1.1\r\n" HOST "\r\n");
                answer = test_read(ctx, fd[i], false);
                assert_string_equal(answer.body, "hello");
                close(fd[i]);
        }
        server_stop(server, 1000);
        wait_until(&gate.live, 0);
}

static void clients_may_leave_before_the_finish(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(0, 0);

        (void)state;
        for (size_t i = 0; i < 40; i++) {
                int fd = test_connect(server_port(server));

                test_print(fd, "GET /hold%s HTTP/1.1\r\n" HOST "\r\n", i % 2 ? "-inline" : "");
                if (i % 3 == 0) {
                        struct linger reset = {1, 0};

                        wait_until(&gate.count, i + 1);
                        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
                }
                close(fd);
                wait_until(&gate.count, i + 1);
        }
        finish_held();
        wait_until(&gate.live, 0);
        struct answer answer =
                test_ask(ctx, server_port(server), "GET /pool HTTP/1.1\r\n" HOST "\r\n");

        assert_string_equal(answer.body, "hello");
        server_stop(server, 1000);
}

static void stopping_answers_what_waits(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(0, 0);
        int fd[10];

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                fd[i] = test_connect(server_port(server));
                test_print(fd[i], "GET /hold%s HTTP/1.1\r\n" HOST "\r\n", i % 2 ? "-inline" : "");
        }
        wait_until(&gate.count, ARRAY_LENGTH(fd));
        server_stop(server, 50);
        /* The answer may be lost to the stop, never invented. */
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                struct answer answer = test_read(ctx, fd[i], false);

                if (answer.status)
                        test_problem(&answer, 503, "stopping");
                assert_true(test_closes(fd[i], 1000));
                close(fd[i]);
        }
        /* The server is gone, the requests are not: their finishers let them go. */
        assert_int_equal(gate.live, ARRAY_LENGTH(fd));
        finish_held();
        assert_int_equal(gate.live, 0);
}

static void *let_go_soon(void *arg)
{
        struct timespec pause = {.tv_nsec = 100000000};

        (void)arg;
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&gate.lock);
        gate.open = true;
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.lock);
        return NULL;
}

static void stopping_lets_handlers_end(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(0, 0);
        int fd = test_connect(server_port(server)), idle = test_connect(server_port(server));
        pthread_t thread;

        (void)state;
        test_print(fd, "GET /block HTTP/1.1\r\n" HOST "\r\n");
        wait_until(&gate.blocked, 1);
        pthread_create(&thread, NULL, let_go_soon, NULL);
        server_stop(server, 5000);
        pthread_join(thread, NULL);
        struct answer answer = test_read(ctx, fd, false);

        assert_string_equal(answer.body, "hello");
        assert_true(test_closes(fd, 1000));
        assert_true(test_closes(idle, 1000));
        close(fd);
        close(idle);
}

static void a_full_queue_is_503(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(1, 1);
        int running = test_connect(server_port(server)), queued = test_connect(server_port(server));

        (void)state;
        test_print(running, "GET /block HTTP/1.1\r\n" HOST "\r\n");
        wait_until(&gate.blocked, 1);
        test_print(queued, "GET /block HTTP/1.1\r\n" HOST "\r\n");
        while (server_queue_depth(server) == 0)
                sched_yield();
        struct answer answer =
                test_ask(ctx, server_port(server), "GET /pool HTTP/1.1\r\n" HOST "\r\n");

        test_problem(&answer, 503, "busy");
        assert_string_equal(test_header(ctx, &answer, "Retry-After"), "1");
        answer = test_ask(ctx, server_port(server), "GET /inline HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(answer.status, 200);
        let_go_soon(NULL);
        answer = test_read(ctx, running, false);
        assert_int_equal(answer.status, 200);
        answer = test_read(ctx, queued, false);
        assert_int_equal(answer.status, 200);
        close(running);
        close(queued);
        server_stop(server, 1000);
}

static void the_connection_limit_holds(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        static const struct route *const tables[] = {routes, NULL};
        struct server *server = test_server(&(struct server_options){.connections_max = 4}, tables);
        int fd[6];

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                fd[i] = test_connect(server_port(server));
                test_print(fd[i], "GET /inline HTTP/1.1\r\n" HOST "\r\n");
        }
        /* The first four are served, the others wait until one of them leaves. */
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                struct answer answer;

                if (i >= 4)
                        close(fd[i - 4]);
                answer = test_read(ctx, fd[i], false);
                assert_int_equal(answer.status, 200);
        }
        for (size_t i = 2; i < ARRAY_LENGTH(fd); i++)
                close(fd[i]);
        server_stop(server, 1000);
}

/* Upstream fixed a stall of suspended connections later than the version we use: none may hang. */
static void stress(size_t connections, int rounds)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(0, 4096);
        int *fd = mem_array(ctx, int, connections);

        for (size_t i = 0; i < connections; i++)
                fd[i] = test_connect(server_port(server));
        for (int round = 0; round < rounds; round++) {
                static const char *const paths[] = {"/inline", "/pool", "/inline", "/elsewhere"};
                SCOPED_MEM void *round_ctx = mem_root();

                for (size_t i = 0; i < connections; i++)
                        test_print(fd[i], "GET %s HTTP/1.1\r\n" HOST "\r\n",
                                   paths[(i + (size_t)round) % ARRAY_LENGTH(paths)]);
                for (size_t i = 0; i < connections; i++) {
                        struct answer answer = test_read(round_ctx, fd[i], false);

                        if (answer.status != 200)
                                fail_msg("round %d, connection %zu: %u", round, i, answer.status);
                }
        }
        for (size_t i = 0; i < connections; i++)
                close(fd[i]);
        server_stop(server, 1000);
        wait_until(&gate.live, 0);
}

static void sixty_four_connections_do_not_stall(void **state)
{
        (void)state;
        stress(64, 40);
}

static void five_hundred_connections_do_not_stall(void **state)
{
        (void)state;
        stress(512, 8);
}

/* The library serves events in batches of 128 and waited for more after exactly a full one. */
static void a_full_batch_of_events_does_not_stall(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        static const struct route *const tables[] = {routes, NULL};
        struct server *server = test_server(&(struct server_options){.threads = 1}, tables);
        int blocker = test_connect(server_port(server)), fd[256];

        (void)state;
        gate.blocked = 0;
        gate.open = false;
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                fd[i] = test_connect(server_port(server));
                test_print(fd[i], "GET /inline HTTP/1.1\r\n" HOST "\r\n");
                assert_int_equal(test_read(ctx, fd[i], false).status, 200);
        }
        test_print(blocker, "GET /block-inline HTTP/1.1\r\n" HOST "\r\n");
        wait_until(&gate.blocked, 1);
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++)
                test_print(fd[i], "GET /%s HTTP/1.1\r\n" HOST "\r\n", i % 2 ? "pool" : "inline");
        let_go_soon(NULL);
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++) {
                assert_int_equal(test_read(ctx, fd[i], false).status, 200);
                close(fd[i]);
        }
        close(blocker);
        server_stop(server, 1000);
}

static void traces_are_joined_and_current(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = start(0, 0);
        static const char *const paths[] = {"/trace", "/trace-inline"};

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
                struct answer answer =
                        test_ask(ctx, server_port(server),
                                 "GET %s HTTP/1.1\r\n" HOST "traceparent: "
                                 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
                                 paths[i]);
                const char *wanted = mem_printf(ctx, "0af7651916cd43dd8448eb211c80319c %s 1",
                                                test_header(ctx, &answer, "X-Request-ID"));

                assert_string_equal(answer.body, wanted);
        }
        server_stop(server, 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(later_answers_arrive),
                cmocka_unit_test(later_answers_wait_for_their_finish),
                cmocka_unit_test(clients_may_leave_before_the_finish),
                cmocka_unit_test(stopping_answers_what_waits),
                cmocka_unit_test(stopping_lets_handlers_end),
                cmocka_unit_test(a_full_queue_is_503),
                cmocka_unit_test(the_connection_limit_holds),
                cmocka_unit_test(sixty_four_connections_do_not_stall),
                cmocka_unit_test(five_hundred_connections_do_not_stall),
                cmocka_unit_test(a_full_batch_of_events_does_not_stall),
                cmocka_unit_test(traces_are_joined_and_current),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
