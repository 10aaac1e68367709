/* SPDX-License-Identifier: Apache-2.0 */
#include "net/test_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

enum { ANSWER_MAX = 64 * 1024 * 1024 };

struct server *test_server(const struct server_options *options, const struct route *const *tables)
{
        struct server_options filled = *options;
        struct error err = ERROR_INIT;
        struct server *server = NULL;

        filled.host = "127.0.0.1";
        if (server_start(&filled, tables, &server, &err))
                fail_msg("%s", err.message);
        return server;
}

int test_connect(unsigned port)
{
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct timeval timeout = {.tv_sec = TEST_TIMEOUT_MS / 1000};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

void test_send(int fd, const void *data, size_t length)
{
        const char *at = data;

        while (length > 0) {
                ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);

                /* A server that refuses may close before everything is sent. */
                if (sent < 0)
                        return;
                at += sent;
                length -= (size_t)sent;
        }
}

void test_print(int fd, const char *format, ...)
{
        va_list args;
        char *text;
        int length;

        va_start(args, format);
        length = vasprintf(&text, format, args);
        va_end(args);
        assert_true(length >= 0);
        test_send(fd, text, (size_t)length);
        free(text);
}

static bool more(int fd, struct buffer *in)
{
        char piece[16384];
        ssize_t got = recv(fd, piece, sizeof(piece), 0);

        if (got > 0)
                buffer_append(in, piece, (size_t)got);
        return got > 0;
}

/* Exactly one byte at a time, so that nothing of the next answer is taken. */
static bool read_until(int fd, struct buffer *in, const char *end)
{
        size_t length = strlen(end);
        char byte;

        while (in->length < length || memcmp(in->data + in->length - length, end, length) != 0) {
                if (recv(fd, &byte, 1, 0) != 1)
                        return false;
                buffer_append(in, &byte, 1);
        }
        return true;
}

static bool read_bytes(int fd, struct buffer *in, size_t length)
{
        while (length > 0) {
                char piece[16384];
                ssize_t got = recv(fd, piece, length < sizeof(piece) ? length : sizeof(piece), 0);

                if (got <= 0)
                        return false;
                buffer_append(in, piece, (size_t)got);
                length -= (size_t)got;
        }
        return true;
}

static void read_chunks(const void *ctx, int fd, struct buffer *body)
{
        for (;;) {
                struct buffer line = BUFFER_INIT(ctx, 64), end = BUFFER_INIT(ctx, 64);
                size_t size;

                if (!read_until(fd, &line, "\r\n"))
                        return;
                size = strtoul(line.data, NULL, 16);
                if (!read_bytes(fd, body, size) || !read_until(fd, &end, "\r\n") || size == 0)
                        return;
        }
}

struct answer test_read(const void *ctx, int fd, bool head)
{
        struct buffer start = BUFFER_INIT(ctx, ANSWER_MAX), body = BUFFER_INIT(ctx, ANSWER_MAX);
        struct answer answer = {.head = "", .body = ""};
        const char *value;

        if (!read_until(fd, &start, "\r\n\r\n"))
                return answer;
        answer.head = start.data;
        answer.status = (unsigned)strtoul(start.data + strlen("HTTP/1.1 "), NULL, 10);
        if (head || answer.status == 204 || answer.status == 304 || answer.status == 101)
                return answer;
        value = test_header(ctx, &answer, "Transfer-Encoding");
        if (value && strcmp(value, "chunked") == 0)
                read_chunks(ctx, fd, &body);
        else if ((value = test_header(ctx, &answer, "Content-Length")))
                (void)!read_bytes(fd, &body, strtoul(value, NULL, 10));
        else
                while (more(fd, &body))
                        ;
        answer.body = buffer_string(&body);
        answer.length = body.length;
        return answer;
}

struct answer test_ask(const void *ctx, unsigned port, const char *format, ...)
{
        int fd = test_connect(port);
        struct answer answer;
        va_list args;
        char *text;
        int length;

        va_start(args, format);
        length = vasprintf(&text, format, args);
        va_end(args);
        assert_true(length >= 0);
        test_send(fd, text, (size_t)length);
        answer = test_read(ctx, fd, strncmp(text, "HEAD ", 5) == 0);
        free(text);
        close(fd);
        return answer;
}

const char *test_header(const void *ctx, const struct answer *answer, const char *name)
{
        size_t length = strlen(name);
        const char *line = answer->head;

        while ((line = strstr(line, "\r\n"))) {
                line += 2;
                if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
                        line += length + 1;
                        line += strspn(line, " ");
                        return mem_strndup(ctx, line, strcspn(line, "\r"));
                }
        }
        return NULL;
}

bool test_closes(int fd, int timeout_ms)
{
        int64_t until = clock_monotonic_us() + timeout_ms * 1000LL;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        char scratch[4096];

        for (;;) {
                int64_t left = (until - clock_monotonic_us()) / 1000;

                if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
                        return false;
                if (recv(fd, scratch, sizeof(scratch), 0) <= 0)
                        return true;
        }
}

void test_problem(const struct answer *answer, unsigned status, const char *words)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = NULL;
        struct error err = ERROR_INIT;

        if (answer->status != status)
                fail_msg("status %u instead of %u: %s%s", answer->status, status, answer->head,
                         answer->body);
        assert_string_equal(test_header(ctx, answer, "Content-Type"), "application/problem+json");
        assert_non_null(test_header(ctx, answer, "X-Request-ID"));
        if (json_read(answer->body, answer->length, &json, &err))
                fail_msg("%s in:\n%s%s", err.message, answer->head, answer->body);
        assert_int_equal(json_get_int(json, "status", 0), status);
        assert_string_equal(json_get_text(json, "request_id", ""),
                            test_header(ctx, answer, "X-Request-ID"));
        if (!strstr(json_get_text(json, "detail", ""), words))
                fail_msg("no \"%s\" in %s", words, answer->body);
}
