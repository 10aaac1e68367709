/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers over real sockets: routing, replies, framing, limits. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/uuid.h"
#include "net/test_http.h"

#define HOST "Host: x\r\n"

struct fixture {
        void *ctx;
        struct server *server;
        unsigned port;
};

static struct reply hello(struct request *req)
{
        return reply_text(req, 200, "text/plain; charset=utf-8", "hello", 5);
}

static struct reply show(struct request *req)
{
        const char *text = mem_printf(
                req->ctx, "%s|%s|%s|%s|%s", req->path, request_param(req, "id"),
                request_query(req, "q") ? request_query(req, "q") : "-",
                request_header(req, "x-test") ? request_header(req, "x-test") : "-", req->peer);

        return reply_text(req, 200, "text/plain", text, strlen(text));
}

static struct reply echo(struct request *req)
{
        return reply_text(req, 200, "text/plain", req->body, req->body_length);
}

struct thing {
        char *name;
        int64_t count;
};

static struct reply create(struct request *req)
{
        static const struct field fields[] = {
                {"name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct thing, name), 1, 10, 0},
                {"count", FIELD_INT, 0, offsetof(struct thing, count), 0, 9, 0},
                {0},
        };
        SCOPED_JSON json_t *json = NULL;
        struct thing thing = {0};
        struct error err = ERROR_INIT;

        if (request_fields(req, fields, &thing, &err))
                return reply_error(req, &err);
        json = json_pack("{s:s,s:I}", "name", thing.name, "count", (json_int_t)thing.count);
        return reply_header(reply_json(req, 201, json), "Location", "/things/1");
}

static struct reply fails(struct request *req)
{
        struct error err = ERROR_INIT;

        if (strcmp(request_param(req, "how"), "busy") == 0) {
                error_set(&err, STATUS_UNAVAILABLE, "come back");
                err.retry_after_ms = 2500;
        } else {
                error_set(&err, STATUS_INTERNAL, "secret path /var/x");
        }
        return reply_error(req, &err);
}

static unsigned char packed[256];
static size_t packed_length;

static struct reply asset(struct request *req)
{
        return reply_static(req, "text/javascript", "gzip", "\"v1\"", packed, packed_length);
}

static struct reply file(struct request *req)
{
        FILE *file = tmpfile();

        fputs("0123456789", file);
        fflush(file);
        int fd = dup(fileno(file));

        fclose(file);
        return reply_file(req, fd, 10, "application/pdf", "b\xC3\xA9 \"x\".pdf");
}

static struct reply who(struct request *req)
{
        return reply_text(req, 200, "text/plain", req->user, strlen(req->user));
}

static enum status authorize(struct request *req, struct error *err)
{
        const char *token = request_header(req, "Authorization");

        if (!token)
                return error_set(err, STATUS_UNAUTHENTICATED, "Sign in first");
        req->user = mem_strdup(req->ctx, token);
        return STATUS_OK;
}

struct sink {
        size_t bytes;
        bool begun;
};

static enum status sink_begin(struct request *req, struct error *err)
{
        struct sink *sink = mem_new(req->ctx, struct sink);

        assert_non_null(req->user);
        if (request_header(req, "X-Refuse"))
                return error_set(err, STATUS_UNSUPPORTED_TYPE, "not this");
        sink->begun = true;
        req->upload = sink;
        return STATUS_OK;
}

static enum status sink_piece(struct request *req, const char *data, size_t length,
                              struct error *err)
{
        struct sink *sink = req->upload;

        if (memchr(data, '!', length))
                return error_set(err, STATUS_UNPROCESSABLE, "no exclamation");
        sink->bytes += length;
        return STATUS_OK;
}

static struct reply sunk(struct request *req)
{
        struct sink *sink = req->upload;
        const char *text = mem_printf(req->ctx, "%zu", sink->bytes);

        assert_true(sink->begun);
        return reply_text(req, 200, "text/plain", text, strlen(text));
}

static const struct body_sink sink = {sink_begin, sink_piece};

static const struct route routes[] = {
        {METHOD_GET, "/inline", ROUTE_INLINE | ROUTE_PUBLIC, 0, hello, NULL},
        {METHOD_GET, "/pool", ROUTE_PUBLIC, 0, hello, NULL},
        {METHOD_GET, "/things/{id}", ROUTE_PUBLIC, 0, show, NULL},
        {METHOD_POST, "/things", ROUTE_PUBLIC, 1000, create, NULL},
        {METHOD_POST, "/echo", ROUTE_PUBLIC, 100 * 1024, echo, NULL},
        {METHOD_POST, "/echo-inline", ROUTE_INLINE | ROUTE_PUBLIC, 100 * 1024, echo, NULL},
        {METHOD_GET, "/fails/{how}", ROUTE_PUBLIC, 0, fails, NULL},
        {METHOD_GET, "/asset", ROUTE_INLINE | ROUTE_PUBLIC, 0, asset, NULL},
        {METHOD_GET, "/file", ROUTE_PUBLIC, 0, file, NULL},
        {METHOD_GET, "/who", 0, 0, who, NULL},
        {METHOD_POST, "/sink", 0, 10 * 1024 * 1024, sunk, &sink},
        {0},
};

static void pack(void)
{
        z_stream stream = {0};

        assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
                         Z_OK);
        stream.next_in = (Bytef *)"alert(1)alert(1)alert(1)";
        stream.avail_in = 24;
        stream.next_out = packed;
        stream.avail_out = sizeof(packed);
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        packed_length = stream.total_out;
        deflateEnd(&stream);
}

static int set_up(void **state)
{
        static const char *const origins[] = {"https://app.example", NULL};
        static const struct route *const tables[] = {routes, NULL};
        struct fixture *f = mem_new(NULL, struct fixture);

        pack();
        f->ctx = f;
        f->server = test_server(&(struct server_options){.idle_seconds = 1,
                                                         .allowed_origins = origins,
                                                         .authorize = authorize},
                                tables);
        f->port = server_port(f->server);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        server_stop(f->server, 1000);
        mem_free(f);
        return 0;
}

static void answers_carry_the_headers(void **state)
{
        struct fixture *f = *state;
        const char *path[] = {"/inline", "/pool"};

        for (size_t i = 0; i < ARRAY_LENGTH(path); i++) {
                struct answer answer =
                        test_ask(f, f->port, "GET %s HTTP/1.1\r\n" HOST "\r\n", path[i]);

                assert_int_equal(answer.status, 200);
                assert_string_equal(answer.body, "hello");
                assert_true(uuid_valid(test_header(f, &answer, "X-Request-ID")));
                assert_string_equal(test_header(f, &answer, "X-Content-Type-Options"), "nosniff");
                assert_string_equal(test_header(f, &answer, "Referrer-Policy"), "no-referrer");
                assert_string_equal(test_header(f, &answer, "Cache-Control"), "no-store");
        }
}

static void parameters_queries_and_headers_reach_the_handler(void **state)
{
        struct fixture *f = *state;
        struct answer answer =
                test_ask(f, f->port,
                         "GET /things/a%%20b?z=1&q=x%%2By HTTP/1.1\r\n" HOST "X-TEST: v \r\n\r\n");

        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "/things/a b|a b|x+y|v |127.0.0.1");
}

static void what_is_not_there_is_named(void **state)
{
        struct fixture *f = *state;
        struct answer answer = test_ask(f, f->port, "GET /nope HTTP/1.1\r\n" HOST "\r\n");

        test_problem(&answer, 404, "nothing");
        answer = test_ask(f, f->port, "GET /pool/ HTTP/1.1\r\n" HOST "\r\n");
        test_problem(&answer, 404, "nothing");
        answer = test_ask(f, f->port, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n");
        test_problem(&answer, 405, "POST");
        assert_string_equal(test_header(f, &answer, "Allow"), "POST, OPTIONS");
        answer = test_ask(f, f->port, "BREW /inline HTTP/1.1\r\n" HOST "\r\n");
        test_problem(&answer, 405, "GET");
        answer = test_ask(f, f->port, "GET /a/%%2e%%2e/b HTTP/1.1\r\n" HOST "\r\n");
        test_problem(&answer, 400, "..");
        answer = test_ask(f, f->port, "GET /a%%00b HTTP/1.1\r\n" HOST "\r\n");
        test_problem(&answer, 400, "control");
        answer = test_ask(f, f->port, "GET /things/%%f HTTP/1.1\r\n" HOST "\r\n");
        test_problem(&answer, 400, "escape");
}

static void head_has_no_body(void **state)
{
        struct fixture *f = *state;
        int fd = test_connect(f->port);

        for (int i = 0; i < 2; i++) {
                test_print(fd, "HEAD /pool HTTP/1.1\r\n" HOST "\r\n");
                struct answer answer = test_read(f, fd, true);

                assert_int_equal(answer.status, 200);
                assert_string_equal(test_header(f, &answer, "Content-Length"), "5");
        }
        test_print(fd, "GET /pool HTTP/1.1\r\n" HOST "\r\n");
        struct answer answer = test_read(f, fd, false);

        assert_string_equal(answer.body, "hello");
        close(fd);
}

static void options_and_cors(void **state)
{
        struct fixture *f = *state;
        struct answer answer = test_ask(f, f->port, "OPTIONS /things HTTP/1.1\r\n" HOST "\r\n");

        assert_int_equal(answer.status, 204);
        assert_string_equal(test_header(f, &answer, "Allow"), "POST, OPTIONS");
        assert_null(test_header(f, &answer, "Access-Control-Allow-Origin"));
        answer = test_ask(f, f->port,
                          "OPTIONS /things HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n"
                          "Access-Control-Request-Method: POST\r\n\r\n");
        assert_int_equal(answer.status, 204);
        assert_string_equal(test_header(f, &answer, "Access-Control-Allow-Origin"),
                            "https://app.example");
        assert_string_equal(test_header(f, &answer, "Access-Control-Allow-Methods"),
                            "POST, OPTIONS");
        assert_non_null(
                strstr(test_header(f, &answer, "Access-Control-Allow-Headers"), "Authorization"));
        assert_null(test_header(f, &answer, "Access-Control-Allow-Credentials"));
        answer = test_ask(f, f->port,
                          "GET /pool HTTP/1.1\r\n" HOST "Origin: https://evil.example\r\n\r\n");
        assert_int_equal(answer.status, 200);
        assert_null(test_header(f, &answer, "Access-Control-Allow-Origin"));
        answer = test_ask(f, f->port,
                          "GET /none HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n\r\n");
        assert_string_equal(test_header(f, &answer, "Access-Control-Allow-Origin"),
                            "https://app.example");
        assert_string_equal(test_header(f, &answer, "Vary"), "Origin");
        answer = test_ask(f, f->port, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(answer.status, 204);
}

static struct answer post(struct fixture *f, const char *path, const char *type, const char *body)
{
        /* mem_array cannot fail, but a compiler that looks into it does not know. */
        if (!body)
                body = "";
        return test_ask(f, f->port,
                        "POST %s HTTP/1.1\r\n" HOST
                        "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                        path, type, strlen(body), body);
}

static void json_bodies_are_checked(void **state)
{
        struct fixture *f = *state;
        struct answer answer =
                post(f, "/things", "application/json; charset=utf-8", "{\"name\":\"a\"}");

        assert_int_equal(answer.status, 201);
        assert_string_equal(test_header(f, &answer, "Location"), "/things/1");
        assert_string_equal(answer.body, "{\"name\":\"a\",\"count\":0}");
        answer = post(f, "/things", "application/json", "{\"name\":\"\",\"count\":10,\"x\":1}");
        test_problem(&answer, 400, "");
        assert_non_null(strstr(answer.body, "\"path\":\"count\""));
        assert_non_null(strstr(answer.body, "\"path\":\"x\""));
        answer = post(f, "/things", "application/json", "{\"name\":");
        test_problem(&answer, 400, "line 1");
        answer = post(f, "/things", "text/plain", "{\"name\":\"a\"}");
        test_problem(&answer, 415, "application/json");
}

static void server_errors_keep_their_secrets(void **state)
{
        struct fixture *f = *state;
        struct answer answer = test_ask(f, f->port, "GET /fails/hard HTTP/1.1\r\n" HOST "\r\n");

        test_problem(&answer, 500, "request_id");
        assert_null(strstr(answer.body, "secret"));
        answer = test_ask(f, f->port, "GET /fails/busy HTTP/1.1\r\n" HOST "\r\n");
        test_problem(&answer, 503, "come back");
        assert_string_equal(test_header(f, &answer, "Retry-After"), "3");
}

static void authorize_guards_what_is_not_public(void **state)
{
        struct fixture *f = *state;
        struct answer answer = test_ask(f, f->port, "GET /who HTTP/1.1\r\n" HOST "\r\n");

        test_problem(&answer, 401, "Sign in");
        assert_string_equal(test_header(f, &answer, "WWW-Authenticate"), "Bearer");
        answer = test_ask(f, f->port, "GET /who HTTP/1.1\r\n" HOST "Authorization: me\r\n\r\n");
        assert_string_equal(answer.body, "me");
}

static void static_files_are_negotiated(void **state)
{
        struct fixture *f = *state;
        struct answer answer = test_ask(
                f, f->port, "GET /asset HTTP/1.1\r\n" HOST "Accept-Encoding: br, gzip\r\n\r\n");

        assert_int_equal(answer.length, packed_length);
        assert_string_equal(test_header(f, &answer, "Content-Encoding"), "gzip");
        assert_string_equal(test_header(f, &answer, "ETag"), "\"v1\"");
        assert_string_equal(test_header(f, &answer, "Cache-Control"), "no-cache");
        answer = test_ask(f, f->port,
                          "GET /asset HTTP/1.1\r\n" HOST "Accept-Encoding: gzip;q=0\r\n\r\n");
        assert_string_equal(answer.body, "alert(1)alert(1)alert(1)");
        assert_null(test_header(f, &answer, "Content-Encoding"));
        answer = test_ask(f, f->port, "GET /asset HTTP/1.1\r\n" HOST "\r\n");
        assert_string_equal(answer.body, "alert(1)alert(1)alert(1)");
        answer = test_ask(f, f->port,
                          "GET /asset HTTP/1.1\r\n" HOST "If-None-Match: \"v0\", W/\"v1\"\r\n\r\n");
        assert_int_equal(answer.status, 304);
        answer = test_ask(f, f->port,
                          "GET /asset HTTP/1.1\r\n" HOST "If-None-Match: \"v11\"\r\n\r\n");
        assert_int_equal(answer.status, 200);
}

static void files_are_downloads(void **state)
{
        struct fixture *f = *state;
        struct answer answer = test_ask(f, f->port, "GET /file HTTP/1.1\r\n" HOST "\r\n");

        assert_string_equal(answer.body, "0123456789");
        assert_string_equal(test_header(f, &answer, "Content-Type"), "application/pdf");
        assert_string_equal(test_header(f, &answer, "Content-Disposition"),
                            "attachment; filename=\"b__ _x_.pdf\"; "
                            "filename*=UTF-8''b%C3%A9%20%22x%22.pdf");
        answer = test_ask(f, f->port, "HEAD /file HTTP/1.1\r\n" HOST "\r\n");
        assert_string_equal(test_header(f, &answer, "Content-Length"), "10");
}

static void connections_are_kept_and_pipelined(void **state)
{
        struct fixture *f = *state;
        int fd = test_connect(f->port);

        test_print(fd, "GET /pool HTTP/1.1\r\n" HOST "\r\n"
                       "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                       "POST /echo-inline HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                       "2\r\nde\r\n1;x=y\r\nf\r\n0\r\n\r\n"
                       "GET /nope HTTP/1.1\r\n" HOST "\r\n"
                       "GET /inline HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        struct answer answer = test_read(f, fd, false);

        assert_string_equal(answer.body, "hello");
        answer = test_read(f, fd, false);
        assert_string_equal(answer.body, "abc");
        answer = test_read(f, fd, false);
        assert_string_equal(answer.body, "def");
        answer = test_read(f, fd, false);
        assert_int_equal(answer.status, 404);
        answer = test_read(f, fd, false);
        assert_string_equal(answer.body, "hello");
        assert_true(test_closes(fd, 1000));
        close(fd);
}

static void malformed_framings_are_refused(void **state)
{
        static const char *const bad[] = {
                "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
                "POST /echo HTTP/1.1\r\n" HOST
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\nabc",
                "POST /echo HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST /echo HTTP/1.1\r\n" HOST "Content-Length: abc\r\n\r\n",
                "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",
                "POST /echo HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc",
                "GET /inline HTTP/1.1\r\n\r\n",
                "GET /inline HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                "GET /inline HTTP/1.1\r\nHost: a b\r\n\r\n",
                "GET /inline HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n",
                "GET /inline HTTP/1.1\r\n" HOST "Transfer-Encod: chunked\r\n ing\r\n\r\n",
                "GET /inline HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n",
                "GET /inline HTTP/1.1\n" HOST "\r\n",
                "GET /inline HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n",
                "GET /inline HTTP/1.1\r\n" HOST "no colon\r\n\r\n",
                "GET /inline HTTP/1.1\r\n" HOST ": empty\r\n\r\n",
                "GET /inline HTTP/1.1\r\n" HOST ":\r\nX: y\r\n\r\n",
                "GET /inline HTTP/9.9\r\n" HOST "\r\n",
                "GET /inline\r\n" HOST "\r\n",
                "GET /in line HTTP/1.1\r\n" HOST "\r\n",
                "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
                "POST /echo HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
                "POST /echo HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
                "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
                int fd = test_connect(f->port);

                test_send(fd, bad[i], strlen(bad[i]));
                struct answer answer = test_read(f, fd, false);

                if (answer.status != 0 && (answer.status < 400 || answer.status >= 500))
                        fail_msg("case %zu: status %u", i, answer.status);
                if (answer.status)
                        test_problem(&answer, answer.status, "");
                if (!test_closes(fd, 2000))
                        fail_msg("case %zu: the connection stays open", i);
                close(fd);
        }
}

static void nul_bytes_do_not_hide(void **state)
{
        static const char in_value[] = "GET /inline HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n";
        static const char in_target[] = "GET /inline\0x HTTP/1.1\r\n" HOST "\r\n";
        static const char in_name[] = "GET /inline HTTP/1.1\r\n" HOST "X\0Y: a\r\n\r\n";
        const struct {
                const char *text;
                size_t length;
        } bad[] = {{in_value, sizeof(in_value) - 1},
                   {in_target, sizeof(in_target) - 1},
                   {in_name, sizeof(in_name) - 1}};
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
                int fd = test_connect(f->port);

                test_send(fd, bad[i].text, bad[i].length);
                struct answer answer = test_read(f, fd, false);

                if (answer.status != 400)
                        fail_msg("case %zu: status %u", i, answer.status);
                close(fd);
        }
}

static struct answer with_header_bytes(struct fixture *f, size_t lines, size_t length, bool slowly)
{
        struct buffer text = BUFFER_INIT(f, 1024 * 1024);
        int fd = test_connect(f->port), on = 1;

        setsockopt(fd, 6, 1, &on, sizeof(on));
        buffer_text(&text, "GET /things/1 HTTP/1.1\r\n" HOST);
        for (size_t i = 0; i < lines; i++) {
                buffer_printf(&text, "X-%zu: ", i);
                for (size_t j = 0; j < length; j++)
                        buffer_char(&text, 'a');
                buffer_text(&text, "\r\n");
        }
        buffer_text(&text, "x-test: last\r\n\r\n");
        for (size_t at = 0, step = slowly ? 997 : text.length; at < text.length; at += step)
                test_send(fd, text.data + at, text.length - at < step ? text.length - at : step);
        struct answer answer = test_read(f, fd, false);

        close(fd);
        return answer;
}

static void headers_up_to_16_kib_work(void **state)
{
        struct fixture *f = *state;
        struct answer answer = with_header_bytes(f, 1, 15 * 1024, false);

        assert_string_equal(answer.body, "/things/1|1|-|last|127.0.0.1");
        answer = with_header_bytes(f, 1, 15 * 1024, true);
        assert_string_equal(answer.body, "/things/1|1|-|last|127.0.0.1");
        answer = with_header_bytes(f, 90, 160, true);
        assert_string_equal(answer.body, "/things/1|1|-|last|127.0.0.1");
}

static void larger_heads_are_431(void **state)
{
        struct fixture *f = *state;
        const size_t sizes[] = {16 * 1024, 24 * 1024, 100 * 1024, 900 * 1024};

        for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
                struct answer answer = with_header_bytes(f, 1, sizes[i], false);

                test_problem(&answer, 431, "large");
        }
        struct answer answer = with_header_bytes(f, 101, 1, false);

        test_problem(&answer, 431, "100");
}

static void long_targets_are_414_or_431(void **state)
{
        struct fixture *f = *state;
        char *path = mem_array(f, char, 100001);

        memset(path, 'a', 100000);
        struct answer answer = test_ask(f, f->port, "GET /%s HTTP/1.1\r\n" HOST "\r\n", path);

        test_problem(&answer, 414, "long");
}

static void bodies_up_to_the_maximum_pass(void **state)
{
        struct fixture *f = *state;
        char *body = mem_array(f, char, 100 * 1024 + 1);

        memset(body, 'b', 100 * 1024);
        struct answer answer = post(f, "/echo", "text/plain", body);

        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.length, 100 * 1024);
        answer = post(f, "/echo-inline", "text/plain", body);
        assert_int_equal(answer.length, 100 * 1024);
}

static void larger_bodies_are_413(void **state)
{
        struct fixture *f = *state;
        size_t length = 8 * 1024 * 1024;
        char *body = mem_array(f, char, length + 1);

        memset(body, 'b', length);
        /* A little too large: read away, the connection lives. */
        int fd = test_connect(f->port);

        test_print(fd, "POST /things HTTP/1.1\r\n" HOST "Content-Length: 2000\r\n\r\n");
        test_send(fd, body, 2000);
        test_print(fd, "GET /inline HTTP/1.1\r\n" HOST "\r\n");
        struct answer answer = test_read(f, fd, false);

        test_problem(&answer, 413, "1000");
        answer = test_read(f, fd, false);
        assert_string_equal(answer.body, "hello");
        close(fd);
        /* Much too large: refused before it is read, and the client still reads the answer. */
        answer = post(f, "/echo", "text/plain", body);
        test_problem(&answer, 413, "102400");
        /* Without a length the limit shows on the way. */
        fd = test_connect(f->port);
        test_print(fd, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                   length);
        test_send(fd, body, length);
        answer = test_read(f, fd, false);
        test_problem(&answer, 413, "102400");
        assert_true(test_closes(fd, 3000));
        close(fd);
        answer =
                test_ask(f, f->port, "GET /inline HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab");
        test_problem(&answer, 413, "no body");
}

static void expect_continue_is_answered(void **state)
{
        struct fixture *f = *state;
        int fd = test_connect(f->port);

        test_print(fd, "POST /echo HTTP/1.1\r\n" HOST
                       "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        struct answer answer = test_read(f, fd, true);

        assert_int_equal(answer.status, 100);
        test_print(fd, "ok");
        answer = test_read(f, fd, false);
        assert_string_equal(answer.body, "ok");
        close(fd);
        fd = test_connect(f->port);
        test_print(fd, "POST /echo HTTP/1.1\r\n" HOST
                       "Content-Length: 999999\r\nExpect: 100-continue\r\n\r\n");
        answer = test_read(f, fd, false);
        test_problem(&answer, 413, "");
        close(fd);
}

static void sinks_take_large_bodies(void **state)
{
        struct fixture *f = *state;
        size_t length = 5 * 1024 * 1024;
        char *body = mem_array(f, char, length + 1);
        int fd = test_connect(f->port);

        memset(body, 'b', length);
        test_print(fd,
                   "POST /sink HTTP/1.1\r\n" HOST
                   "Authorization: me\r\nContent-Length: %zu\r\n\r\n",
                   length);
        test_send(fd, body, length);
        struct answer answer = test_read(f, fd, false);

        assert_string_equal(answer.body, "5242880");
        test_print(fd, "POST /sink HTTP/1.1\r\n" HOST "Authorization: me\r\n\r\n");
        answer = test_read(f, fd, false);
        assert_string_equal(answer.body, "0");
        close(fd);
        /* A stranger's upload is refused before it is read. */
        fd = test_connect(f->port);
        test_print(fd, "POST /sink HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", length);
        test_send(fd, body, length);
        answer = test_read(f, fd, false);
        test_problem(&answer, 401, "Sign in");
        close(fd);
        /* A sink refuses at once, or on the way. */
        answer = test_ask(f, f->port,
                          "POST /sink HTTP/1.1\r\n" HOST
                          "Authorization: me\r\nX-Refuse: 1\r\nContent-Length: 2\r\n\r\nab");
        test_problem(&answer, 415, "not this");
        body[length / 2] = '!';
        fd = test_connect(f->port);
        test_print(fd,
                   "POST /sink HTTP/1.1\r\n" HOST
                   "Authorization: me\r\nContent-Length: %zu\r\n\r\n",
                   length);
        test_send(fd, body, length);
        answer = test_read(f, fd, false);
        test_problem(&answer, 422, "exclamation");
        close(fd);
}

static void slow_requests_are_closed(void **state)
{
        struct fixture *f = *state;
        /* Silent in the head, silent in the body, dripping in the head, dripping in the body. */
        static const struct {
                const char *start, *drip;
                bool answered;
        } slow[] = {
                {"GET /inline HTTP/1.1\r\nHo", NULL, true},
                {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc", NULL, true},
                {"GET /inline HTTP/1.1\r\n" HOST "X: ", "a", true},
                {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n", "a", true},
                {"GET /in", "a", false},
        };

        for (size_t i = 0; i < ARRAY_LENGTH(slow); i++) {
                int fd = test_connect(f->port);
                bool closed = false;

                test_send(fd, slow[i].start, strlen(slow[i].start));
                if (slow[i].answered && !slow[i].drip) {
                        struct answer answer = test_read(f, fd, false);

                        test_problem(&answer, 408, "slow");
                }
                for (int j = 0; j < 50 && !closed; j++) {
                        if (slow[i].drip)
                                test_send(fd, slow[i].drip, 1);
                        closed = test_closes(fd, 100);
                }
                if (!closed)
                        fail_msg("case %zu stays open", i);
                close(fd);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_carry_the_headers),
                cmocka_unit_test(parameters_queries_and_headers_reach_the_handler),
                cmocka_unit_test(what_is_not_there_is_named),
                cmocka_unit_test(head_has_no_body),
                cmocka_unit_test(options_and_cors),
                cmocka_unit_test(json_bodies_are_checked),
                cmocka_unit_test(server_errors_keep_their_secrets),
                cmocka_unit_test(authorize_guards_what_is_not_public),
                cmocka_unit_test(static_files_are_negotiated),
                cmocka_unit_test(files_are_downloads),
                cmocka_unit_test(connections_are_kept_and_pipelined),
                cmocka_unit_test(malformed_framings_are_refused),
                cmocka_unit_test(nul_bytes_do_not_hide),
                cmocka_unit_test(headers_up_to_16_kib_work),
                cmocka_unit_test(larger_heads_are_431),
                cmocka_unit_test(long_targets_are_414_or_431),
                cmocka_unit_test(bodies_up_to_the_maximum_pass),
                cmocka_unit_test(larger_bodies_are_413),
                cmocka_unit_test(expect_continue_is_answered),
                cmocka_unit_test(sinks_take_large_bodies),
                cmocka_unit_test(slow_requests_are_closed),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
