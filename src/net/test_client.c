/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent, what is made of the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <zlib.h>

#include "net/client_internal.h"
#include "net/test_client_fixture.h"

#include <cmocka.h>

static void sends_and_receives(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/echo?x=1");
        const struct http_header headers[] = {{"Content-Type", "text/x"}, {"X-Empty", ""}, {0}};
        struct trace trace = {.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                              .span_id = "00f067aa0ba902b7",
                              .sampled = true};
        struct http_result result;
        struct error err;
        char *sent;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/echo", .body = "{\"a\":1}"});
        request.method = "POST";
        request.headers = headers;
        request.body = "hello";
        request.body_length = 5;
        request.trace = &trace;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.status, 200);
        assert_string_equal(result.body, "{\"a\":1}");
        assert_string_equal(result.content_type, "application/json");
        assert_true(result.first_byte_us > 0 && result.total_us >= result.first_byte_us);
        sent = stub_request(fixture->stub, fixture->ctx, 0);
        assert_non_null(strstr(sent, "POST /echo?x=1 HTTP/1.1\r\n"));
        assert_non_null(strstr(sent, "\r\nContent-Type: text/x\r\n"));
        assert_non_null(strstr(sent, "\r\nX-Empty:\r\n"));
        assert_non_null(strstr(sent, "\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"
                                     "00f067aa0ba902b7-01\r\n"));
        assert_null(strstr(sent, "Expect"));
        assert_non_null(strstr(sent, "\r\n\r\nhello"));
}

static void reuses_connections(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/again");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/again", .body = "x"});
        for (int i = 0; i < 20; i++)
                assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(stub_connections(fixture->stub), 1);
}

static void other_methods_carry_their_name(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/m");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/m", .body = "x"});
        request.method = "DELETE";
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_memory_equal(stub_request(fixture->stub, fixture->ctx, 0), "DELETE /m ", 10);
        request.method = "PUT";
        request.body = "b";
        request.body_length = 1;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_memory_equal(stub_request(fixture->stub, fixture->ctx, 0), "PUT /m ", 7);
}

static void error_statuses_are_answers(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/teapot");
        struct watch watch;

        client_watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub, &(struct stub_reply){.path = "/teapot",
                                                     .status = 418,
                                                     .headers = "X-Word: tea\r\n",
                                                     .body = "short"});
        client_watch_start(&watch, fixture, &request);
        client_watch_wait(&watch, &watch.done, 1);
        assert_int_equal(watch.status, 418);
        assert_int_equal(watch.err.status, STATUS_OK);
        assert_string_equal(watch.header, "tea");
        assert_int_equal(watch.data.length, 0);
}

static void retry_after_is_read(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/r");
        struct http_result result;
        struct error err;
        const struct {
                const char *header;
                unsigned ms;
        } cases[] = {{"Retry-After: 7\r\n", 7000},
                     {"Retry-After: 7\r\nretry-after-ms: 250\r\n", 250},
                     {"Retry-After: soon\r\n", 0},
                     {"Retry-After: 999999999999\r\n", 24 * 3600 * 1000},
                     {"", 0}};

        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
                stub_reset(fixture->stub);
                stub_add(fixture->stub, &(struct stub_reply){.path = "/r",
                                                             .status = 429,
                                                             .headers = cases[i].header,
                                                             .body = "{}"});
                assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
                assert_int_equal(result.retry_after_ms, cases[i].ms);
        }
}

static void huge_error_bodies_are_cut(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/html");
        struct http_result result;
        struct error err;
        char *page = mem_array(fixture->ctx, char, 1 << 20);

        memset(page, '<', 1 << 20);
        stub_add(fixture->stub,
                 &(struct stub_reply){
                         .path = "/html", .status = 502, .body = page, .length = 1 << 20});
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.status, 502);
        assert_int_equal(result.body_length, CALL_ERROR_BODY_MAX);
}

static void streams_in_pieces(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/stream");
        struct watch watch;

        client_watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub, &(struct stub_reply){.path = "/stream",
                                                     .body = "abcdefghijklmnopqrstuvwxyz",
                                                     .framing = STUB_CHUNKED,
                                                     .piece = 3});
        client_watch_start(&watch, fixture, &request);
        client_watch_wait(&watch, &watch.done, 1);
        assert_string_equal(buffer_string(&watch.data), "abcdefghijklmnopqrstuvwxyz");
        assert_true(watch.pieces > 3);
}

static void follows_no_redirect(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/from");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/from",
                                                     .status = 302,
                                                     .headers = "Location: /to\r\n"});
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.status, 302);
        assert_int_equal(stub_requests(fixture->stub), 1);
}

static void answers_larger_than_allowed_fail(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/big");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/big", .body = "0123456789a"});
        request.response_max = 10;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_TOO_LARGE);
        request.response_max = 11;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
}

/* 4 MB of zeros in 4 KB on the wire. */
static void compressed_bombs_are_stopped(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/bomb");
        struct http_result result;
        struct error err;
        size_t plain_length = 4 << 20;
        Bytef *plain = mem_array(fixture->ctx, Bytef, plain_length);
        char *packed = mem_array(fixture->ctx, char, 1 << 16);
        z_stream zip = {.next_in = plain,
                        .avail_in = (uInt)plain_length,
                        .next_out = (Bytef *)packed,
                        .avail_out = 1 << 16};

        assert_int_equal(deflateInit2(&zip, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflate(&zip, Z_FINISH), Z_STREAM_END);
        stub_add(fixture->stub, &(struct stub_reply){.path = "/bomb",
                                                     .headers = "Content-Encoding: gzip\r\n",
                                                     .body = packed,
                                                     .length = zip.total_out});
        deflateEnd(&zip);
        request.response_max = 1 << 20;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_TOO_LARGE);
        request.response_max = 8 << 20;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.body_length, plain_length);
}

static void cut_answers_are_failures(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/cut");
        struct http_result result;
        struct error err;
        const enum stub_framing framings[] = {STUB_LENGTH, STUB_CHUNKED};

        for (size_t i = 0; i < ARRAY_LENGTH(framings); i++) {
                stub_reset(fixture->stub);
                stub_add(fixture->stub, &(struct stub_reply){.path = "/cut",
                                                             .body = "half of it",
                                                             .framing = framings[i],
                                                             .stop_after = 4,
                                                             .cut = true});
                assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
                assert_non_null(strstr(err.message, "mid-answer"));
                assert_int_equal(result.status, 0);
        }
}

static void garbage_is_not_http(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/garbage");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/garbage",
                                                     .body = "SSH-2.0-x\r\n",
                                                     .framing = STUB_RAW});
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_non_null(strstr(err.message, "did not answer in HTTP"));
        stub_reset(fixture->stub);
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/garbage", .body = "", .framing = STUB_RAW});
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
}

static void endless_headers_are_refused(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/headers");
        struct http_result result;
        struct error err;
        struct buffer headers = BUFFER_INIT(fixture->ctx, 1 << 20);

        for (int i = 0; i < 2000; i++)
                buffer_printf(&headers, "X-Header-Number-%d: %d value of no use\r\n", i, i);
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/headers", .headers = buffer_string(&headers)});
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_non_null(strstr(err.message, "headers"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, client_set_up, client_tear_down)
        const struct CMUnitTest tests[] = {
                TEST(sends_and_receives),
                TEST(reuses_connections),
                TEST(other_methods_carry_their_name),
                TEST(error_statuses_are_answers),
                TEST(retry_after_is_read),
                TEST(huge_error_bodies_are_cut),
                TEST(streams_in_pieces),
                TEST(follows_no_redirect),
                TEST(answers_larger_than_allowed_fail),
                TEST(compressed_bombs_are_stopped),
                TEST(cut_answers_are_failures),
                TEST(garbage_is_not_http),
                TEST(endless_headers_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
