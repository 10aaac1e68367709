/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket: handshake, frames good and bad, slow and silent clients, many of them, the stop. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/test_ws_client.h"
#include "net/websocket.h"
#include "observe/metrics.h"

enum { MANY = 2000, QUEUE_MAX = 256 * 1024, MESSAGE_MAX = 64 * 1024 };

static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct websocket *all[MANY + 100];
        size_t opened, closed;
        unsigned code;
        bool never_opened;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void opened(struct websocket *ws, void *arg)
{
        (void)arg;
        pthread_mutex_lock(&seen.lock);
        seen.all[seen.opened++] = websocket_ref(ws);
        pthread_cond_broadcast(&seen.changed);
        pthread_mutex_unlock(&seen.lock);
}

/* An echo, with words that do something else. */
static void text(struct websocket *ws, const char *data, size_t length, void *arg)
{
        (void)arg;
        if (length == 4 && memcmp(data, "quit", 4) == 0) {
                websocket_send(ws, "bye", 3);
                websocket_close(ws, 4000, "as you wish");
        } else {
                websocket_send(ws, data, length);
        }
}

static void closed(struct websocket *ws, unsigned code, void *arg)
{
        (void)arg;
        pthread_mutex_lock(&seen.lock);
        seen.closed++;
        seen.code = code;
        seen.never_opened = ws == NULL;
        pthread_cond_broadcast(&seen.changed);
        pthread_mutex_unlock(&seen.lock);
}

/* The code of the latest close; another socket may be closing at the same time. */
static unsigned code_seen(void)
{
        pthread_mutex_lock(&seen.lock);
        unsigned code = seen.code;
        pthread_mutex_unlock(&seen.lock);
        return code;
}

static struct reply upgrade(struct request *req)
{
        static const struct websocket_handlers handlers = {opened, text, closed};
        const struct websocket_options options = {QUEUE_MAX, MESSAGE_MAX, 1};

        return reply_upgrade(req, &options, &handlers, NULL, "bearer");
}

static const struct route routes[] = {
        {METHOD_GET, "/ws", ROUTE_UPGRADE, 0, upgrade, NULL},
        {0},
};

static bool wait_for(const size_t *value, size_t wanted, int seconds)
{
        struct timespec until;
        bool ok = true;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += seconds;
        pthread_mutex_lock(&seen.lock);
        while (*value < wanted && ok)
                ok = pthread_cond_timedwait(&seen.changed, &seen.lock, &until) == 0;
        pthread_mutex_unlock(&seen.lock);
        return ok;
}

static int set_up(void **state)
{
        static const struct route *const tables[] = {routes, NULL};
        static const char *const origins[] = {"https://app.example", NULL};

        seen.opened = seen.closed = 0;
        *state = test_server(
                &(struct server_options){.allowed_origins = origins, .connections_max = MANY + 100},
                tables);
        return 0;
}

static int tear_down(void **state)
{
        server_stop(*state, 500);
        for (size_t i = 0; i < seen.opened; i++)
                websocket_unref(seen.all[i]);
        return 0;
}

/* Handshake. */

static void the_handshake_is_answered(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int fd = test_connect(server_port(*state));

        /* A frame right behind the handshake is not lost. */
        test_print(fd, SHAKE "Sec-WebSocket-Protocol: token, bearer\r\n\r\n");
        ws_send_frame(fd, FIN | TEXT, "early", 5);
        struct answer answer = test_read(ctx, fd, true);

        assert_int_equal(answer.status, 101);
        assert_string_equal(test_header(ctx, &answer, "Sec-WebSocket-Accept"),
                            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_string_equal(test_header(ctx, &answer, "Sec-WebSocket-Protocol"), "bearer");
        assert_string_equal(test_header(ctx, &answer, "Upgrade"), "websocket");
        assert_non_null(test_header(ctx, &answer, "X-Request-ID"));
        ws_expect_text(fd, "early");
        close(fd);
        assert_true(wait_for(&seen.closed, 1, 5));
        assert_int_equal(code_seen(), 1006);
        fd = test_connect(server_port(*state));
        test_print(fd, SHAKE "Sec-WebSocket-Protocol: other\r\n\r\n");
        answer = test_read(ctx, fd, true);
        assert_int_equal(answer.status, 101);
        assert_null(test_header(ctx, &answer, "Sec-WebSocket-Protocol"));
        close(fd);
}

static void wrong_handshakes_are_refused(void **state)
{
        static const struct {
                const char *request;
                unsigned status;
        } wrong[] = {
                {"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426},
                {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 426},
                {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 426},
                {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 426},
                {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
                 400},
                {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\n\r\n",
                 400},
                {SHAKE "Origin: https://evil.example\r\n\r\n", 403},
                {SHAKE "Origin: null\r\n\r\n", 403},
                {SHAKE "Origin: http://me:2\r\n\r\n", 403},
        };
        SCOPED_MEM void *ctx = mem_root();

        for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
                struct answer answer = test_ask(ctx, server_port(*state), "%s", wrong[i].request);

                test_problem(&answer, wrong[i].status, "");
                if (answer.status == 426)
                        assert_string_equal(test_header(ctx, &answer, "Sec-WebSocket-Version"),
                                            "13");
                assert_true(wait_for(&seen.closed, i + 1, 5));
                assert_true(seen.never_opened);
        }
        assert_int_equal(seen.opened, 0);
}

static void own_and_listed_origins_may_open(void **state)
{
        static const char *const origins[] = {"http://me:1", "https://ME:1", "https://app.example"};
        SCOPED_MEM void *ctx = mem_root();

        for (size_t i = 0; i < ARRAY_LENGTH(origins); i++) {
                int fd = test_connect(server_port(*state));

                test_print(fd, SHAKE "Origin: %s\r\n\r\n", origins[i]);
                struct answer answer = test_read(ctx, fd, true);

                assert_int_equal(answer.status, 101);
                close(fd);
        }
}

/* Frames. */

static void messages_are_echoed(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int fd = ws_shake(*state);
        size_t sizes[] = {0, 1, 125, 126, 127, 4095, 4096, 4097, 65535, 65536};
        char *payload;
        size_t length;

        for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
                char *message = mem_array(ctx, char, sizes[i] + 1);

                memset(message, 'a' + (int)i, sizes[i]);
                ws_send_frame(fd, FIN | TEXT, message, sizes[i]);
                assert_int_equal(ws_read_message(ctx, fd, &payload, &length), FIN | TEXT);
                assert_int_equal(length, sizes[i]);
                assert_string_equal(payload, message);
        }
        close(fd);
}

static void masks_are_undone(void **state)
{
        static const unsigned char frame[] = {FIN | TEXT, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                              0x7f,       0x9f, 0x4d, 0x51, 0x58};
        int fd = ws_shake(*state);

        for (size_t i = 0; i < sizeof(frame); i++)
                test_send(fd, frame + i, 1);
        ws_expect_text(fd, "Hello");
        close(fd);
}

static void fragments_are_joined_around_control_frames(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int fd = ws_shake(*state);
        char *payload;
        size_t length;

        /* A character may straddle fragments. */
        ws_send_frame(fd, TEXT, "caf\xC3", 4);
        ws_send_frame(fd, FIN | PING, "p", 1);
        ws_send_frame(fd, CONTINUATION, "", 0);
        ws_send_frame(fd, FIN | CONTINUATION, "\xA9!", 2);
        assert_int_equal(ws_read_message(ctx, fd, &payload, &length), FIN | PONG);
        assert_string_equal(payload, "p");
        ws_expect_text(fd, "caf\xC3\xA9!");
        close(fd);
}

static void broken_frames_close_with_their_code(void **state)
{
        static const struct {
                const char *bytes;
                size_t length;
                unsigned code;
        } broken[] = {
#define BYTES(text) text, sizeof(text) - 1
                {BYTES("\x81\x01x"), 1002},                          /* not masked */
                {BYTES("\xC1\x81\0\0\0\0x"), 1002},                  /* RSV1 */
                {BYTES("\x83\x80\0\0\0\0"), 1002},                   /* opcode 3 */
                {BYTES("\x8B\x80\0\0\0\0"), 1002},                   /* opcode 11 */
                {BYTES("\x80\x81\0\0\0\0x"), 1002},                  /* continues nothing */
                {BYTES("\x01\x81\0\0\0\0x\x81\x81\0\0\0\0y"), 1002}, /* text within text */
                {BYTES("\x09\x80\0\0\0\0"), 1002},                   /* fragmented ping */
                {BYTES("\x89\xFE\0\x80\0\0\0\0"), 1002},             /* long ping */
                {BYTES("\x81\xFE\0\x05\0\0\0\0hello"), 1002},        /* length not minimal */
                {BYTES("\x81\xFF\x80\0\0\0\0\0\0\0\0\0\0\0"), 1002}, /* negative length */
                {BYTES("\x88\x81\0\0\0\0x"), 1002},                  /* close of one byte */
                {BYTES("\x88\x82\0\0\0\0\x03\xED"), 1002},           /* close code 1005 */
                {BYTES("\x81\x82\0\0\0\0\xC3\x28"), 1007},           /* not UTF-8 */
                {BYTES("\x81\x81\0\0\0\0\xC3"), 1007},               /* half a character */
                {BYTES("\x88\x84\0\0\0\0\x03\xE8\xFF\xFF"), 1007},   /* reason not UTF-8 */
                {BYTES("\x81\xFF\0\0\0\0\0\x02\0\0\0\0\0\0"), 1009}, /* too large */
                {BYTES("\x82\x81\0\0\0\0x"), 1003},                  /* binary */
        };

        for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
                int fd = ws_shake(*state);

                test_send(fd, broken[i].bytes, broken[i].length);
                /* More behind it must not turn the close into a reset. */
                ws_send_frame(fd, FIN | TEXT, "more", 4);
                print_message("case %zu\n", i);
                ws_expect_close(fd, broken[i].code);
                close(fd);
                assert_true(wait_for(&seen.closed, i + 1, 8));
                assert_int_equal(code_seen(), broken[i].code);
        }
}

static void endless_fragments_are_too_big(void **state)
{
        int fd = ws_shake(*state);

        ws_send_frame(fd, TEXT, "", 0);
        for (int i = 0; i < 1100; i++)
                ws_send_frame(fd, CONTINUATION, "", 0);
        ws_expect_close(fd, 1009);
        close(fd);
}

static void closes_are_echoed(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int fd = ws_shake(*state);
        char *payload;
        size_t length;

        ws_send_frame(fd, FIN | TEXT, "one", 3);
        ws_send_frame(fd, FIN | CLOSE, "\x03\xE8", 2);
        ws_expect_close(fd, 1000);
        assert_true(test_closes(fd, 2000));
        close(fd);
        assert_true(wait_for(&seen.closed, 1, 5));
        assert_int_equal(code_seen(), 1000);
        fd = ws_shake(*state);
        ws_send_frame(fd, FIN | CLOSE, "", 0);
        assert_int_equal(ws_read_message(ctx, fd, &payload, &length), FIN | CLOSE);
        assert_int_equal(length, 0);
        close(fd);
        assert_true(wait_for(&seen.closed, 2, 5));
        assert_int_equal(code_seen(), 1005);
}

static void the_server_closes_after_what_is_queued(void **state)
{
        int fd = ws_shake(*state);

        ws_send_frame(fd, FIN | TEXT, "quit", 4);
        ws_expect_text(fd, "bye");
        ws_expect_close(fd, 4000);
        /* Nothing sent after the close matters any more. */
        assert_true(wait_for(&seen.opened, 1, 5));
        websocket_send(seen.all[0], "late", 4);
        ws_send_frame(fd, FIN | CLOSE, "\x0F\xA0", 2);
        assert_true(test_closes(fd, 2000));
        close(fd);
        assert_true(wait_for(&seen.closed, 1, 5));
        assert_int_equal(code_seen(), 4000);
        websocket_send(seen.all[0], "later", 5);
        websocket_close(seen.all[0], 1000, NULL);
}

static void an_unanswered_close_times_out(void **state)
{
        int64_t start = clock_monotonic_us();
        int fd = ws_shake(*state);

        ws_send_frame(fd, FIN | TEXT, "quit", 4);
        assert_true(test_closes(fd, 8000));
        assert_in_range(clock_monotonic_us() - start, 4500000, 7500000);
        close(fd);
}

static void pings_are_sent_and_missed(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int answering = ws_shake(*state), silent = ws_shake(*state);
        int64_t start = clock_monotonic_us();
        char *payload;
        size_t length;

        for (int i = 0; i < 4; i++) {
                assert_int_equal(ws_read_frame(ctx, answering, &payload, &length), FIN | PING);
                ws_send_frame(answering, FIN | PONG, payload, length);
        }
        /* Two pings of one second each unanswered, closed at the third. */
        ws_expect_close(silent, 1001);
        assert_in_range(clock_monotonic_us() - start, 2500000, 5500000);
        assert_true(wait_for(&seen.closed, 1, 5));
        assert_int_equal(code_seen(), 1001);
        ws_send_frame(answering, FIN | TEXT, "alive", 5);
        ws_expect_text(answering, "alive");
        close(answering);
        close(silent);
}

static void a_slow_client_is_closed_with_1013(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int fd = ws_shake(*state), small = 4096;
        char *message = mem_array(ctx, char, 32768);

        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        assert_true(wait_for(&seen.opened, 1, 5));
        memset(message, 'x', 32768);
        for (int i = 0; i < 2000; i++)
                websocket_send(seen.all[0], message, 32768);
        ws_expect_close(fd, 1013);
        close(fd);
        assert_true(wait_for(&seen.closed, 1, 5));
        assert_int_equal(code_seen(), 1013);
}

static void a_client_that_pings_and_never_reads_is_cut_off(void **state)
{
        int fd = ws_shake(*state), small = 4096;
        char payload[125];
        bool gone = false;

        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        memset(payload, 'p', sizeof(payload));
        for (int i = 0; i < 200000 && !gone; i++) {
                unsigned char head[14];
                size_t length = ws_frame_head(head, FIN | PING, sizeof(payload));

                gone = send(fd, head, length, MSG_NOSIGNAL) < 0 ||
                       send(fd, payload, sizeof(payload), MSG_NOSIGNAL) < 0;
        }
        assert_true(gone);
        close(fd);
}

/* Senders on several threads; every message arrives once, in each sender's order. */

enum { SENDERS = 4, EACH = 500 };

static void *send_numbers(void *arg)
{
        char message[32];
        int sender = (int)(intptr_t)arg;

        for (int i = 0; i < EACH; i++) {
                int length = snprintf(message, sizeof(message), "%d %d", sender, i);

                websocket_send(seen.all[0], message, (size_t)length);
        }
        return NULL;
}

static void many_threads_may_send(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int fd = ws_shake(*state), next[SENDERS] = {0};
        pthread_t threads[SENDERS];
        char *payload, *end;
        size_t length;

        assert_true(wait_for(&seen.opened, 1, 5));
        for (int i = 0; i < SENDERS; i++)
                pthread_create(&threads[i], NULL, send_numbers, (void *)(intptr_t)i);
        for (int i = 0; i < SENDERS * EACH; i++) {
                int sender, number;

                assert_int_equal(ws_read_message(ctx, fd, &payload, &length), FIN | TEXT);
                sender = (int)strtol(payload, &end, 10);
                number = (int)strtol(end, NULL, 10);
                assert_in_range(sender, 0, SENDERS - 1);
                assert_int_equal(number, next[sender]++);
        }
        for (int i = 0; i < SENDERS; i++)
                pthread_join(threads[i], NULL);
        close(fd);
}

static size_t resident_kib(void)
{
        char line[128] = "", *end;
        SCOPED_FILE FILE *file = fopen("/proc/self/statm", "r");

        assert_non_null(file);
        assert_non_null(fgets(line, sizeof(line), file));
        strtoul(line, &end, 10);
        return strtoul(end, NULL, 10) * 4;
}

static void two_thousand_websockets(void **state)
{
        int *fd = mem_array(NULL, int, MANY);
        size_t before = resident_kib();

        for (size_t i = 0; i < MANY; i++)
                fd[i] = ws_shake(*state);
        assert_true(wait_for(&seen.opened, MANY, 10));
        print_message("%d WebSockets: %zu KiB\n", MANY, resident_kib() - before);
        for (size_t i = 0; i < MANY; i++)
                websocket_send(seen.all[i], "to all", 6);
        for (size_t i = 0; i < MANY; i++)
                ws_expect_text(fd[i], "to all");
        for (size_t i = 0; i < MANY; i += 2)
                ws_send_frame(fd[i], FIN | CLOSE, "\x03\xE8", 2);
        assert_true(wait_for(&seen.closed, MANY / 2, 10));
        for (size_t i = 0; i < MANY; i++)
                close(fd[i]);
        assert_true(wait_for(&seen.closed, MANY, 10));
        mem_free(fd);
}

static double sample(const void *ctx, const char *name)
{
        struct buffer text = BUFFER_INIT(ctx, 4 * KIB * KIB);
        const char *line;

        metrics_write(&text, METRICS_TEXT);
        line = strstr(text.data, name);
        return line ? strtod(line + strlen(name), NULL) : 0;
}

static void connections_are_counted(void **state)
{
        static const char *const names[] = {
                "\nflowgenix_websocket_connections_total ",
                "\nflowgenix_websocket_disconnections_total{code=\"1000\"} ",
                "\nflowgenix_websocket_connection_duration_seconds_count ",
                "\nflowgenix_websocket_messages_total{direction=\"in\"} ",
                "\nflowgenix_websocket_messages_total{direction=\"out\"} ",
        };
        SCOPED_MEM void *ctx = mem_root();
        double before[ARRAY_LENGTH(names)];

        for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
                before[i] = sample(ctx, names[i]);
        int fd = ws_shake(*state);

        ws_send_frame(fd, FIN | TEXT, "one", 3);
        ws_expect_text(fd, "one");
        assert_int_equal(sample(ctx, "\nflowgenix_websocket_connections_active "), 1);
        ws_send_frame(fd, FIN | CLOSE, "\x03\xE8", 2);
        ws_expect_close(fd, 1000);
        close(fd);
        assert_true(wait_for(&seen.closed, 1, 5));
        for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
                assert_int_equal(sample(ctx, names[i]) - before[i], 1);
        assert_int_equal(sample(ctx, "\nflowgenix_websocket_connections_active "), 0);
}

static void the_limit_of_connections_counts_websockets(void **state)
{
        static const struct route *const tables[] = {routes, NULL};
        SCOPED_MEM void *ctx = mem_root();
        struct server *server = test_server(&(struct server_options){.connections_max = 3}, tables);
        int fd[3];

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++)
                fd[i] = ws_shake(server);
        struct answer answer = test_ask(ctx, server_port(server), SHAKE "\r\n");

        test_problem(&answer, 503, "WebSocket");
        for (size_t i = 0; i < ARRAY_LENGTH(fd); i++)
                close(fd[i]);
        server_stop(server, 500);
}

static void stopping_closes_with_1001(void **state)
{
        static const struct route *const tables[] = {routes, NULL};
        struct server *server = test_server(&(struct server_options){0}, tables);
        int polite = ws_shake(server), silent = ws_shake(server);
        int64_t start = clock_monotonic_us();

        (void)state;
        assert_true(wait_for(&seen.opened, 2, 5));
        server_stop(server, 300);
        assert_in_range(clock_monotonic_us() - start, 0, 2000000);
        ws_expect_close(polite, 1001);
        ws_expect_close(silent, 1001);
        assert_int_equal(seen.closed, 2);
        websocket_send(seen.all[0], "nobody", 6);
        close(polite);
        close(silent);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(the_handshake_is_answered),
                TEST(wrong_handshakes_are_refused),
                TEST(own_and_listed_origins_may_open),
                TEST(messages_are_echoed),
                TEST(masks_are_undone),
                TEST(fragments_are_joined_around_control_frames),
                TEST(broken_frames_close_with_their_code),
                TEST(endless_fragments_are_too_big),
                TEST(closes_are_echoed),
                TEST(the_server_closes_after_what_is_queued),
                TEST(an_unanswered_close_times_out),
                TEST(pings_are_sent_and_missed),
                TEST(a_slow_client_is_closed_with_1013),
                TEST(a_client_that_pings_and_never_reads_is_cut_off),
                TEST(many_threads_may_send),
                TEST(two_thousand_websockets),
                TEST(connections_are_counted),
                TEST(the_limit_of_connections_counts_websockets),
                TEST(stopping_closes_with_1001),
        };
        struct rlimit limit;

        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
