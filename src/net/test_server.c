/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers over real sockets: routing, replies, framing, limits. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/uuid.h"
#include "net/test_http.h"
#include "observe/log.h"
#include "observe/metrics.h"

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

static const struct route routes[] = {
        {METHOD_GET, "/inline", ROUTE_INLINE | ROUTE_PUBLIC, 0, hello, NULL},
        {METHOD_GET, "/pool", ROUTE_PUBLIC, 0, hello, NULL},
        {METHOD_GET, "/things/{id}", ROUTE_PUBLIC, 0, show, NULL},
        {METHOD_POST, "/things", ROUTE_PUBLIC, 1000, create, NULL},
        {METHOD_POST, "/echo", ROUTE_PUBLIC, 100 * KIB, echo, NULL},
        {METHOD_POST, "/echo-inline", ROUTE_INLINE | ROUTE_PUBLIC, 100 * KIB, echo, NULL},
        {METHOD_GET, "/fails/{how}", ROUTE_PUBLIC, 0, fails, NULL},
        {METHOD_GET, "/asset", ROUTE_INLINE | ROUTE_PUBLIC, 0, asset, NULL},
        {METHOD_GET, "/file", ROUTE_PUBLIC, 0, file, NULL},
        {METHOD_GET, "/who", 0, 0, who, NULL},
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
        f->server = test_server(
                &(struct server_options){.allowed_origins = origins, .authorize = authorize},
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
        answer = test_ask(f, f->port,
                          "OPTIONS /things HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}");
        assert_int_equal(answer.status, 413);
        answer = test_ask(f, f->port,
                          "OPTIONS /things HTTP/1.1\r\n" HOST
                          "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
        assert_int_equal(answer.status, 413);
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

static void http_1_0_is_answered(void **state)
{
        struct fixture *f = *state;
        int fd = test_connect(f->port);

        test_print(fd, "GET /pool HTTP/1.0\r\n\r\n");
        struct answer answer = test_read(f, fd, false);

        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "hello");
        assert_true(test_closes(fd, 1000));
        close(fd);
}

static void addresses_are_listened_at_or_named(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        static const struct route *const tables[] = {routes, NULL};
        struct fixture *f = *state;
        struct server *server = NULL;
        struct error err = ERROR_INIT;

        /* No host is any address of both families. */
        assert_int_equal(server_start(&(struct server_options){0}, tables, &server, &err),
                         STATUS_OK);
        assert_string_equal(
                test_ask(ctx, server_port(server), "GET /pool HTTP/1.1\r\n" HOST "\r\n").body,
                "hello");
        server = server_stop(server, 1000);
        const struct server_options taken = {.host = "127.0.0.1", .port = f->port};

        assert_int_equal(server_start(&taken, tables, &server, &err), STATUS_UNAVAILABLE);
        assert_non_null(strstr(err.message, "in use"));
        const struct server_options nowhere = {.host = "no.such.host.invalid"};

        assert_int_equal(server_start(&nowhere, tables, &server, &err), STATUS_INVALID);
        assert_null(server);
}

static const char *metrics(const void *ctx)
{
        struct buffer *text = mem_new(ctx, struct buffer);

        *text = BUFFER_INIT(ctx, 4 * KIB * KIB);
        metrics_write(text, METRICS_TEXT);
        return buffer_string(text);
}

/* The value of a sample, 0 if it is not there. */
static double sample(const char *text, const char *name)
{
        const char *line = strstr(text, name);

        return line ? strtod(line + strlen(name), NULL) : 0;
}

static char *read_log(const void *ctx, const char *path)
{
        SCOPED_FILE FILE *file = fopen(path, "r");
        char *text = mem_array(ctx, char, 65536);

        assert_non_null(file);
        assert_true(fread(text, 1, 65535, file) > 0);
        return text;
}

#define TOTAL "flowgenix_http_requests_total"
#define TIMES "flowgenix_http_request_duration_seconds_count"

static void requests_are_counted_and_logged(void **state)
{
        static const char *const counted[] = {
                TOTAL "{method=\"GET\",route=\"/things/{id}\",status=\"200\"} ",
                TOTAL "{method=\"other\",route=\"(none)\",status=\"405\"} ",
                TIMES "{method=\"GET\",route=\"/things/{id}\"} ",
        };
        struct fixture *f = *state;
        char folder[] = "/tmp/test-server-XXXXXX";
        struct error err = ERROR_INIT;
        const char *before = metrics(f), *after, *path, *log;

        assert_non_null(mkdtemp(folder));
        path = mem_printf(f, "%s/log", folder);
        assert_int_equal(
                log_start(&(struct log_options){.file = path, .level = LOG_LEVEL_INFO}, &err), 0);
        struct answer answer =
                test_ask(f, f->port, "GET /things/7?token=sesame HTTP/1.1\r\n" HOST "\r\n");

        test_ask(f, f->port, "BREW /inline HTTP/1.1\r\n" HOST "\r\n");
        /* Lines and counts come when the answer is through: a stop waits for them. */
        f->server = server_stop(f->server, 1000);
        log_stop();
        after = metrics(f);
        for (size_t i = 0; i < ARRAY_LENGTH(counted); i++)
                assert_int_equal(sample(after, counted[i]) - sample(before, counted[i]), 1);
        assert_int_equal(sample(after, "\nflowgenix_http_requests_in_flight "), 0);
        log = read_log(f, path);
        assert_non_null(strstr(log, test_header(f, &answer, "X-Request-ID")));
        assert_non_null(strstr(log, "\"event_type\":\"http_request\""));
        assert_non_null(strstr(log, "\"method\":\"GET\",\"route\":\"/things/{id}\","
                                    "\"path\":\"/things/7\",\"status\":200"));
        assert_null(strstr(log, "sesame"));
        unlink(path);
        rmdir(folder);
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
                cmocka_unit_test(http_1_0_is_answered),
                cmocka_unit_test(addresses_are_listened_at_or_named),
                cmocka_unit_test(requests_are_counted_and_logged),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
