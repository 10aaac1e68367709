/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "net/client.h"
#include "net/client_internal.h"
#include "net/test_stub_server.h"

#include <cmocka.h>

enum { MANY = 2000 };

struct fixture {
        void *ctx;
        struct stub *stub;
        struct http_client *client;
};

/* What a call under test did, watched from the test's thread. */
struct watch {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct buffer data;
        size_t pieces, done;
        struct error err;
        unsigned status;
        char header[64];
        struct http_call *call;
};

static int set_up(void **state)
{
        struct fixture *fixture = mem_new(NULL, struct fixture);
        struct error err = ERROR_INIT;

        fixture->ctx = fixture;
        fixture->stub = stub_start();
        if (http_client_new(&fixture->client, &err))
                return -1;
        *state = fixture;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *fixture = *state;

        http_client_free(fixture->client);
        stub_stop(fixture->stub);
        mem_free(fixture);
        return 0;
}

static void watch_init(struct watch *watch, const void *ctx)
{
        *watch = (struct watch){.lock = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER,
                                .data = BUFFER_INIT(ctx, 1 << 24)};
}

static void on_data(struct http_call *call, const char *data, size_t length, void *arg)
{
        struct watch *watch = arg;

        (void)call;
        pthread_mutex_lock(&watch->lock);
        buffer_append(&watch->data, data, length);
        watch->pieces++;
        pthread_cond_broadcast(&watch->changed);
        pthread_mutex_unlock(&watch->lock);
}

static void on_done(const struct http_result *result, const struct error *err, void *arg)
{
        struct watch *watch = arg;
        const char *header;

        pthread_mutex_lock(&watch->lock);
        header = watch->call ? http_call_header(watch->call, "x-word") : NULL;
        snprintf(watch->header, sizeof(watch->header), "%s", header ? header : "");
        watch->status = result->status;
        if (err)
                watch->err = *err;
        watch->done++;
        pthread_cond_broadcast(&watch->changed);
        pthread_mutex_unlock(&watch->lock);
}

static void watch_wait(struct watch *watch, const size_t *counter, size_t count)
{
        pthread_mutex_lock(&watch->lock);
        while (*counter < count)
                pthread_cond_wait(&watch->changed, &watch->lock);
        pthread_mutex_unlock(&watch->lock);
}

static void watch_start(struct watch *watch, struct fixture *fixture,
                        const struct http_request *request)
{
        static const struct http_handlers handlers = {.data = on_data, .done = on_done};

        pthread_mutex_lock(&watch->lock);
        watch->call = http_client_start(fixture->client, request, &handlers, watch);
        pthread_mutex_unlock(&watch->lock);
}

static struct http_request get(struct fixture *fixture, const char *path)
{
        return (struct http_request){.method = "GET",
                                     .url = stub_url(fixture->stub, fixture->ctx, path),
                                     .private_addresses = true};
}

static enum status fetch(struct fixture *fixture, const struct http_request *request,
                         struct http_result *result, struct error *err)
{
        *err = ERROR_INIT;
        return http_client_fetch(fixture->client, fixture->ctx, request, result, err);
}

static void sends_and_receives(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/echo?x=1");
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
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
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
        struct http_request request = get(fixture, "/again");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/again", .body = "x"});
        for (int i = 0; i < 20; i++)
                assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(stub_connections(fixture->stub), 1);
}

static void other_methods_carry_their_name(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/m");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/m", .body = "x"});
        request.method = "DELETE";
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_memory_equal(stub_request(fixture->stub, fixture->ctx, 0), "DELETE /m ", 10);
        request.method = "PUT";
        request.body = "b";
        request.body_length = 1;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_memory_equal(stub_request(fixture->stub, fixture->ctx, 0), "PUT /m ", 7);
}

static void error_statuses_are_answers(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/teapot");
        struct watch watch;

        watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub, &(struct stub_reply){.path = "/teapot",
                                                     .status = 418,
                                                     .headers = "X-Word: tea\r\n",
                                                     .body = "short"});
        watch_start(&watch, fixture, &request);
        watch_wait(&watch, &watch.done, 1);
        assert_int_equal(watch.status, 418);
        assert_int_equal(watch.err.status, STATUS_OK);
        assert_string_equal(watch.header, "tea");
        assert_int_equal(watch.data.length, 0);
}

static void retry_after_is_read(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/r");
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
                assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
                assert_int_equal(result.retry_after_ms, cases[i].ms);
        }
}

static void huge_error_bodies_are_cut(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/html");
        struct http_result result;
        struct error err;
        char *page = mem_array(fixture->ctx, char, 1 << 20);

        memset(page, '<', 1 << 20);
        stub_add(fixture->stub,
                 &(struct stub_reply){
                         .path = "/html", .status = 502, .body = page, .length = 1 << 20});
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.status, 502);
        assert_int_equal(result.body_length, CALL_ERROR_BODY_MAX);
}

static void streams_in_pieces(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/stream");
        struct watch watch;

        watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub, &(struct stub_reply){.path = "/stream",
                                                     .body = "abcdefghijklmnopqrstuvwxyz",
                                                     .framing = STUB_CHUNKED,
                                                     .piece = 3});
        watch_start(&watch, fixture, &request);
        watch_wait(&watch, &watch.done, 1);
        assert_string_equal(buffer_string(&watch.data), "abcdefghijklmnopqrstuvwxyz");
        assert_true(watch.pieces > 3);
}

static void follows_no_redirect(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/from");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/from",
                                                     .status = 302,
                                                     .headers = "Location: /to\r\n"});
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.status, 302);
        assert_int_equal(stub_requests(fixture->stub), 1);
}

static void answers_larger_than_allowed_fail(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/big");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/big", .body = "0123456789a"});
        request.response_max = 10;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_TOO_LARGE);
        request.response_max = 11;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
}

/* 4 MB of zeros in 4 KB on the wire. */
static void compressed_bombs_are_stopped(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/bomb");
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
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_TOO_LARGE);
        request.response_max = 8 << 20;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.body_length, plain_length);
}

static void cut_answers_are_failures(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/cut");
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
                assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
                assert_non_null(strstr(err.message, "mid-answer"));
                assert_int_equal(result.status, 0);
        }
}

static void garbage_is_not_http(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/garbage");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "/garbage",
                                                     .body = "SSH-2.0-x\r\n",
                                                     .framing = STUB_RAW});
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_non_null(strstr(err.message, "did not answer in HTTP"));
        stub_reset(fixture->stub);
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/garbage", .body = "", .framing = STUB_RAW});
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
}

static void endless_headers_are_refused(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/headers");
        struct http_result result;
        struct error err;
        struct buffer headers = BUFFER_INIT(fixture->ctx, 1 << 20);

        for (int i = 0; i < 2000; i++)
                buffer_printf(&headers, "X-Header-Number-%d: %d value of no use\r\n", i, i);
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/headers", .headers = buffer_string(&headers)});
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_non_null(strstr(err.message, "headers"));
}

static void deadline_and_stall_are_kept(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/hang");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub,
                 &(struct stub_reply){
                         .path = "/hang", .body = "abcdef", .stop_after = 3, .hang = true});
        request.timeout_ms = 150;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM_TIMEOUT);
        assert_non_null(strstr(err.message, "within 0.15 s"));
        assert_true(result.total_us >= 150000 && result.total_us < 2000000);
        request.timeout_ms = 60000;
        request.stall_timeout_ms = 100;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM_TIMEOUT);
        assert_non_null(strstr(err.message, "sent nothing for 0.1 s"));
        assert_true(stub_wait_hangups(fixture->stub, 2));
}

/* Bytes that keep coming push the stall limit away: 300 pieces 1 ms apart, limit 200 ms. */
static void slow_is_not_stalled(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/slow");
        struct http_result result;
        struct error err;
        char text[600];

        memset(text, 'a', sizeof(text));
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/slow", .body = text, .length = 600, .piece = 2});
        request.stall_timeout_ms = 200;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.body_length, 600);
        assert_true(result.total_us > 250000);
}

static void delayed_calls_begin_later(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/later");
        struct http_result result;
        struct error err;
        int64_t start_us = clock_monotonic_us();

        stub_add(fixture->stub, &(struct stub_reply){.path = "/later", .body = "x"});
        request.delay_ms = 120;
        request.timeout_ms = 100;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_true(clock_monotonic_us() - start_us >= 120000);
        assert_true(result.total_us < 100000);
}

static void cancel_takes_effect_at_once(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/hang");
        struct watch watch;
        int64_t asked_us;

        watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub, &(struct stub_reply){.path = "/hang",
                                                     .body = "abcdef",
                                                     .framing = STUB_CHUNKED,
                                                     .stop_after = 3,
                                                     .hang = true});
        watch_start(&watch, fixture, &request);
        watch_wait(&watch, &watch.pieces, 1);
        asked_us = clock_monotonic_us();
        http_call_cancel(watch.call);
        watch_wait(&watch, &watch.done, 1);
        assert_true(clock_monotonic_us() - asked_us < 100000);
        assert_int_equal(watch.err.status, STATUS_CANCELLED);
        assert_true(stub_wait_hangups(fixture->stub, 1));
}

static void cancel_of_a_delayed_or_new_call_works(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/x");
        struct watch watch;

        for (int i = 0; i < 50; i++) {
                watch_init(&watch, fixture->ctx);
                request.delay_ms = i % 2 ? 0 : 60000;
                stub_add(fixture->stub,
                         &(struct stub_reply){.path = "/x", .body = "never", .hang = true});
                watch_start(&watch, fixture, &request);
                /* The watch's lock keeps done from returning between the two. */
                pthread_mutex_lock(&watch.lock);
                http_call_cancel(watch.call);
                http_call_cancel(watch.call);
                pthread_mutex_unlock(&watch.lock);
                watch_wait(&watch, &watch.done, 1);
                assert_int_equal(watch.err.status, STATUS_CANCELLED);
        }
}

static void free_cancels_what_runs(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/hang");
        struct watch watches[5];

        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/hang", .body = "never", .hang = true});
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                watch_init(&watches[i], fixture->ctx);
                request.delay_ms = i == 4 ? 60000 : 0;
                watch_start(&watches[i], fixture, &request);
        }
        assert_true(stub_wait_requests(fixture->stub, 4));
        fixture->client = http_client_free(fixture->client);
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                assert_int_equal(watches[i].done, 1);
                assert_int_equal(watches[i].err.status, STATUS_CANCELLED);
        }
}

static void failures_are_told_in_plain_words(void **state)
{
        struct fixture *fixture = *state;
        const struct http_header bad_header[] = {{"X-Key", "secret\r\nEvil: 1"}, {0}};
        struct http_request request = get(fixture, "/x?key=secret");
        struct http_result result;
        struct error err;

        request.url = "http://no-such-host.invalid/x?key=secret";
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_string_equal(err.message, "could not resolve host no-such-host.invalid:80");
        request.url = "http://127.0.0.1:1/x?key=secret";
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_string_equal(err.message, "connection refused by 127.0.0.1:1: is it running?");
        request.url = "file:///etc/passwd";
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_INVALID);
        request.url = "not a url secret";
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_INVALID);
        assert_null(strstr(err.message, "secret"));
        request = get(fixture, "/x");
        request.headers = bad_header;
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_INVALID);
        assert_null(strstr(err.message, "secret"));
        assert_int_equal(stub_requests(fixture->stub), 0);
}

static void tls_to_a_plain_server_fails(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "", .body = "x", .framing = STUB_RAW});
        request.url = mem_printf(fixture->ctx, "https://127.0.0.1:%u/", stub_port(fixture->stub));
        request.timeout_ms = 300;
        assert_true(fetch(fixture, &request, &result, &err) != STATUS_OK);
}

static void private_addresses_are_refused(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/");
        struct http_result result;
        struct error err;
        const char *hosts[] = {"127.0.0.1",  "localhost", "0x7f.1",
                               "2130706433", "[::1]",     "[::ffff:127.0.0.1]"};

        stub_add(fixture->stub, &(struct stub_reply){.path = "/", .body = "x"});
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_OK);
        request.private_addresses = false;
        for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
                request.url = mem_printf(fixture->ctx, "http://%s:%u/", hosts[i],
                                         stub_port(fixture->stub));
                assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_FORBIDDEN);
                assert_non_null(strstr(err.message, "private address"));
        }
        request.url =
                mem_printf(fixture->ctx, "http://me:pw@127.0.0.1:%u/", stub_port(fixture->stub));
        assert_int_equal(fetch(fixture, &request, &result, &err), STATUS_INVALID);
        assert_int_equal(stub_requests(fixture->stub), 1);
}

static void address_filter_knows_the_registries(void **state)
{
        const char *refused[] = {"0.0.0.0",
                                 "10.1.2.3",
                                 "100.64.0.1",
                                 "127.9.9.9",
                                 "169.254.169.254",
                                 "172.16.0.1",
                                 "172.31.255.255",
                                 "192.168.1.1",
                                 "198.18.0.1",
                                 "224.0.0.1",
                                 "255.255.255.255",
                                 "192.0.2.1",
                                 "::",
                                 "::1",
                                 "::ffff:10.0.0.1",
                                 "64:ff9b::a00:1",
                                 "2002:a00:1::",
                                 "2001::1",
                                 "2001:db8::1",
                                 "fc00::1",
                                 "fd00:ec2::254",
                                 "fe80::1",
                                 "ff02::1",
                                 "fe80::1%lo",
                                 "3fff::1",
                                 "100::1",
                                 "nonsense"};
        const char *allowed[] = {"8.8.8.8",          "172.32.0.1",
                                 "100.128.0.1",      "2001:4860:4860::8888",
                                 "64:ff9b::808:808", "2606:4700::1111"};

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
                if (http_address_text_is_public(refused[i]))
                        fail_msg("%s passed", refused[i]);
        }
        for (size_t i = 0; i < ARRAY_LENGTH(allowed); i++) {
                if (!http_address_text_is_public(allowed[i]))
                        fail_msg("%s refused", allowed[i]);
        }
}

/* All the calls to one unknown name fail, also those that waited for the first one's look-up. */
static void a_name_is_looked_up_once(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/");
        struct watch watches[20];

        request.url = "http://really-not-there.invalid/";
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                watch_init(&watches[i], fixture->ctx);
                watch_start(&watches[i], fixture, &request);
        }
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                watch_wait(&watches[i], &watches[i].done, 1);
                assert_int_equal(watches[i].err.status, STATUS_UPSTREAM);
        }
        stub_add(fixture->stub, &(struct stub_reply){.path = "/named", .body = "x"});
        request.url =
                mem_printf(fixture->ctx, "http://localhost:%u/named", stub_port(fixture->stub));
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                watch_init(&watches[i], fixture->ctx);
                watch_start(&watches[i], fixture, &request);
        }
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                watch_wait(&watches[i], &watches[i].done, 1);
                assert_int_equal(watches[i].status, 200);
        }
}

static void two_thousand_calls_at_once(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = get(fixture, "/many");
        struct watch watch;

        watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/many", .body = "0123456789", .delay_ms = 300});
        for (int i = 0; i < MANY; i++) {
                static const struct http_handlers handlers = {.data = on_data, .done = on_done};

                http_client_start(fixture->client, &request, &handlers, &watch);
        }
        watch_wait(&watch, &watch.done, MANY);
        assert_int_equal(watch.err.status, STATUS_OK);
        assert_int_equal(watch.status, 200);
        assert_int_equal(watch.data.length, 10 * MANY);
        assert_int_equal(stub_requests(fixture->stub), MANY);
}

/* Starts and cancels from several threads at the same time; every call reports exactly once. */
struct storm {
        struct fixture *fixture;
        struct watch watch;
};

static void *storm_thread(void *arg)
{
        struct storm *storm = arg;
        struct http_request request = get(storm->fixture, "/storm");

        for (int i = 0; i < 100; i++) {
                struct watch watch;

                watch_init(&watch, NULL);
                watch_start(&watch, storm->fixture, &request);
                pthread_mutex_lock(&watch.lock);
                if (i % 2 && !watch.done)
                        http_call_cancel(watch.call);
                pthread_mutex_unlock(&watch.lock);
                watch_wait(&watch, &watch.done, 1);
                buffer_release(&watch.data);
        }
        return NULL;
}

static void start_and_cancel_from_many_threads(void **state)
{
        struct fixture *fixture = *state;
        pthread_t threads[4];
        struct storm storms[4];

        stub_add(fixture->stub, &(struct stub_reply){.path = "/storm", .body = "x"});
        for (size_t i = 0; i < 4; i++) {
                struct fixture *own = mem_dup(fixture, fixture, sizeof(*fixture));

                own->ctx = own;
                storms[i].fixture = own;
                assert_int_equal(pthread_create(&threads[i], NULL, storm_thread, &storms[i]), 0);
        }
        for (size_t i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
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
                TEST(deadline_and_stall_are_kept),
                TEST(slow_is_not_stalled),
                TEST(delayed_calls_begin_later),
                TEST(cancel_takes_effect_at_once),
                TEST(cancel_of_a_delayed_or_new_call_works),
                TEST(free_cancels_what_runs),
                TEST(failures_are_told_in_plain_words),
                TEST(tls_to_a_plain_server_fails),
                TEST(private_addresses_are_refused),
                TEST(address_filter_knows_the_registries),
                TEST(a_name_is_looked_up_once),
                TEST(two_thousand_calls_at_once),
                TEST(start_and_cancel_from_many_threads),
        };
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
