/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and bodies over real sockets: framing, sizes, streaming, slowness. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/multipart.h"
#include "net/test_http.h"

#define HOST "Host: x\r\n"

struct fixture {
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

/* A form whose parts are joined to "name=filename:bytes;". */
struct form {
        struct multipart *multipart;
        struct buffer text;
        size_t bytes;
};

static enum status part_begin(const char *name, const char *filename, const char *content_type,
                              void *arg, struct error *err)
{
        struct form *form = arg;

        (void)content_type;
        (void)err;
        form->bytes = 0;
        buffer_printf(&form->text, "%s=%s:", name, filename ? filename : "");
        return STATUS_OK;
}

static enum status part_data(const char *data, size_t length, void *arg, struct error *err)
{
        struct form *form = arg;

        (void)data;
        (void)err;
        form->bytes += length;
        return STATUS_OK;
}

static enum status part_end(void *arg, struct error *err)
{
        struct form *form = arg;

        (void)err;
        buffer_printf(&form->text, "%zu;", form->bytes);
        return STATUS_OK;
}

static enum status form_begin(struct request *req, struct error *err)
{
        static const struct multipart_handlers handlers = {part_begin, part_data, part_end};
        struct form *form = mem_new(req->ctx, struct form);

        form->text = BUFFER_INIT(form, 1000);
        req->upload = form;
        return multipart_new(form, request_header(req, "Content-Type"), &handlers, form,
                             &form->multipart, err);
}

static enum status form_piece(struct request *req, const char *data, size_t length,
                              struct error *err)
{
        struct form *form = req->upload;

        return multipart_feed(form->multipart, data, length, err);
}

static struct reply formed(struct request *req)
{
        struct form *form = req->upload;
        struct error err = ERROR_INIT;

        if (multipart_end(form->multipart, &err))
                return reply_error(req, &err);
        return reply_text(req, 200, "text/plain", form->text.data, form->text.length);
}

static const struct body_sink form_sink = {form_begin, form_piece};

static const struct route routes[] = {
        {METHOD_GET, "/inline", ROUTE_INLINE | ROUTE_PUBLIC, 0, hello, NULL},
        {METHOD_GET, "/things/{id}", ROUTE_PUBLIC, 0, show, NULL},
        {METHOD_POST, "/small", ROUTE_PUBLIC, 1000, echo, NULL},
        {METHOD_POST, "/echo", ROUTE_PUBLIC, 100 * KIB, echo, NULL},
        {METHOD_POST, "/echo-inline", ROUTE_INLINE | ROUTE_PUBLIC, 100 * KIB, echo, NULL},
        {METHOD_POST, "/sink", 0, 10 * KIB *KIB, sunk, &sink},
        {METHOD_POST, "/form", ROUTE_PUBLIC, 10 * KIB *KIB, formed, &form_sink},
        {0},
};

static int set_up(void **state)
{
        static const struct route *const tables[] = {routes, NULL};
        struct fixture *f = mem_new(NULL, struct fixture);

        f->server = test_server(&(struct server_options){.idle_seconds = 1, .authorize = authorize},
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
        struct buffer text = BUFFER_INIT(f, KIB * KIB);
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
        struct answer answer = with_header_bytes(f, 1, 15 * KIB, false);

        assert_string_equal(answer.body, "/things/1|1|-|last|127.0.0.1");
        answer = with_header_bytes(f, 1, 15 * KIB, true);
        assert_string_equal(answer.body, "/things/1|1|-|last|127.0.0.1");
        answer = with_header_bytes(f, 90, 160, true);
        assert_string_equal(answer.body, "/things/1|1|-|last|127.0.0.1");
}

static void larger_heads_are_431(void **state)
{
        struct fixture *f = *state;
        const size_t sizes[] = {16 * KIB, 24 * KIB, 100 * KIB, 900 * KIB};

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
        char *body = mem_array(f, char, 100 * KIB + 1);

        memset(body, 'b', 100 * KIB);
        struct answer answer = post(f, "/echo", "text/plain", body);

        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.length, 100 * KIB);
        answer = post(f, "/echo-inline", "text/plain", body);
        assert_int_equal(answer.length, 100 * KIB);
}

static void larger_bodies_are_413(void **state)
{
        struct fixture *f = *state;
        size_t length = 8 * KIB * KIB;
        char *body = mem_array(f, char, length + 1);

        memset(body, 'b', length);
        /* A little too large: read away, the connection lives. */
        int fd = test_connect(f->port);

        test_print(fd, "POST /small HTTP/1.1\r\n" HOST "Content-Length: 2000\r\n\r\n");
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
        size_t length = 5 * KIB * KIB;
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

/* The same through a client that knows nothing of this server. */

static size_t gather(char *data, size_t size, size_t count, void *arg)
{
        buffer_append(arg, data, size * count);
        return size * count;
}

static CURL *curl_for(struct fixture *f, const char *path, struct buffer *body)
{
        CURL *curl = curl_easy_init();

        assert_non_null(curl);
        curl_easy_setopt(curl, CURLOPT_URL,
                         mem_printf(body->ctx, "http://127.0.0.1:%u%s", f->port, path));
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, gather);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, 10L);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        return curl;
}

static void curl_uploads_a_form(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, 10000);
        CURL *curl = curl_for(*state, "/form", &body);
        size_t length = 3 * KIB * KIB;
        char *file = mem_array(ctx, char, length);
        curl_mime *mime = curl_mime_init(curl);
        curl_mimepart *part = curl_mime_addpart(mime);

        memset(file, '\r', length);
        curl_mime_name(part, "workflow_id");
        curl_mime_data(part, "7", CURL_ZERO_TERMINATED);
        part = curl_mime_addpart(mime);
        curl_mime_name(part, "file");
        curl_mime_filename(part, "a \"b\".pdf");
        curl_mime_data(part, file, length);
        curl_easy_setopt(curl, CURLOPT_MIMEPOST, mime);
        for (int i = 0; i < 2; i++) {
                buffer_clear(&body);
                assert_int_equal(curl_easy_perform(curl), CURLE_OK);
                assert_string_equal(buffer_string(&body),
                                    "workflow_id=:1;file=a \"b\".pdf:3145728;");
        }
        curl_mime_free(mime);
        curl_easy_cleanup(curl);
}

static void curl_reads_a_refusal(void **state)
{
        static const char *const paths[] = {"/echo", "/sink"};
        static const long statuses[] = {413, 401};
        size_t length = 8 * KIB * KIB;

        for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
                SCOPED_MEM void *ctx = mem_root();
                struct buffer body = BUFFER_INIT(ctx, 10000);
                CURL *curl = curl_for(*state, paths[i], &body);
                struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
                char *data = mem_array(ctx, char, length);
                long status = 0;

                curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, data);
                curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)length);
                assert_int_equal(curl_easy_perform(curl), CURLE_OK);
                curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
                assert_int_equal(status, statuses[i]);
                assert_non_null(strstr(buffer_string(&body), "request_id"));
                curl_slist_free_all(headers);
                curl_easy_cleanup(curl);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
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
                cmocka_unit_test(curl_uploads_a_form),
                cmocka_unit_test(curl_reads_a_refusal),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
