/* SPDX-License-Identifier: Apache-2.0 */
/* Time, cancelling, refusals, and many calls at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "net/client_internal.h"
#include "net/test_client_fixture.h"

#include <cmocka.h>

enum { MANY = 2000 };

static void deadline_and_stall_are_kept(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/hang");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub,
                 &(struct stub_reply){
                         .path = "/hang", .body = "abcdef", .stop_after = 3, .hang = true});
        request.timeout_ms = 150;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM_TIMEOUT);
        assert_non_null(strstr(err.message, "within 0.15 s"));
        assert_true(result.total_us >= 150000 && result.total_us < 2000000);
        request.timeout_ms = 60000;
        request.stall_timeout_ms = 100;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM_TIMEOUT);
        assert_non_null(strstr(err.message, "sent nothing for 0.1 s"));
        assert_true(stub_wait_hangups(fixture->stub, 2));
}

/* Bytes that keep coming push the stall limit away: 300 pieces 1 ms apart, limit 200 ms. */
static void slow_is_not_stalled(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/slow");
        struct http_result result;
        struct error err;
        char text[600];

        memset(text, 'a', sizeof(text));
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/slow", .body = text, .length = 600, .piece = 2});
        request.stall_timeout_ms = 200;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_int_equal(result.body_length, 600);
        assert_true(result.total_us > 250000);
}

static void delayed_calls_begin_later(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/later");
        struct http_result result;
        struct error err;
        int64_t start_us = clock_monotonic_us();

        stub_add(fixture->stub, &(struct stub_reply){.path = "/later", .body = "x"});
        request.delay_ms = 120;
        request.timeout_ms = 100;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        assert_true(clock_monotonic_us() - start_us >= 120000);
        assert_true(result.total_us < 100000);
}

static void cancel_takes_effect_at_once(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/hang");
        struct watch watch;
        int64_t asked_us;

        client_watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub, &(struct stub_reply){.path = "/hang",
                                                     .body = "abcdef",
                                                     .framing = STUB_CHUNKED,
                                                     .stop_after = 3,
                                                     .hang = true});
        client_watch_start(&watch, fixture, &request);
        client_watch_wait(&watch, &watch.pieces, 1);
        asked_us = clock_monotonic_us();
        http_call_cancel(watch.call);
        client_watch_wait(&watch, &watch.done, 1);
        assert_true(clock_monotonic_us() - asked_us < 100000);
        assert_int_equal(watch.err.status, STATUS_CANCELLED);
        assert_true(stub_wait_hangups(fixture->stub, 1));
}

static void cancel_of_a_delayed_or_new_call_works(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/x");
        struct watch watch;

        for (int i = 0; i < 50; i++) {
                client_watch_init(&watch, fixture->ctx);
                request.delay_ms = i % 2 ? 0 : 60000;
                stub_add(fixture->stub,
                         &(struct stub_reply){.path = "/x", .body = "never", .hang = true});
                client_watch_start(&watch, fixture, &request);
                /* The watch's lock keeps done from returning between the two. */
                pthread_mutex_lock(&watch.lock);
                http_call_cancel(watch.call);
                http_call_cancel(watch.call);
                pthread_mutex_unlock(&watch.lock);
                client_watch_wait(&watch, &watch.done, 1);
                assert_int_equal(watch.err.status, STATUS_CANCELLED);
        }
}

static void free_cancels_what_runs(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/hang");
        struct watch watches[5];

        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/hang", .body = "never", .hang = true});
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                client_watch_init(&watches[i], fixture->ctx);
                request.delay_ms = i == 4 ? 60000 : 0;
                client_watch_start(&watches[i], fixture, &request);
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
        struct http_request request = client_get(fixture, "/x?key=secret");
        struct http_result result;
        struct error err;

        request.url = "http://no-such-host.invalid/x?key=secret";
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_string_equal(err.message, "could not resolve host no-such-host.invalid:80");
        request.url = "http://127.0.0.1:1/x?key=secret";
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_UPSTREAM);
        assert_string_equal(err.message, "connection refused by 127.0.0.1:1: is it running?");
        request.url = "file:///etc/passwd";
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_INVALID);
        request.url = "not a url secret";
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_INVALID);
        assert_null(strstr(err.message, "secret"));
        request = client_get(fixture, "/x");
        request.headers = bad_header;
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_INVALID);
        assert_null(strstr(err.message, "secret"));
        assert_int_equal(stub_requests(fixture->stub), 0);
}

static void tls_to_a_plain_server_fails(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/");
        struct http_result result;
        struct error err;

        stub_add(fixture->stub, &(struct stub_reply){.path = "", .body = "x", .framing = STUB_RAW});
        request.url = mem_printf(fixture->ctx, "https://127.0.0.1:%u/", stub_port(fixture->stub));
        request.timeout_ms = 300;
        assert_true(client_fetch(fixture, &request, &result, &err) != STATUS_OK);
}

static void private_addresses_are_refused(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/");
        struct http_result result;
        struct error err;
        const char *hosts[] = {"127.0.0.1",  "localhost", "0x7f.1",
                               "2130706433", "[::1]",     "[::ffff:127.0.0.1]"};

        stub_add(fixture->stub, &(struct stub_reply){.path = "/", .body = "x"});
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_OK);
        request.private_addresses = false;
        for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
                request.url = mem_printf(fixture->ctx, "http://%s:%u/", hosts[i],
                                         stub_port(fixture->stub));
                assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_FORBIDDEN);
                assert_non_null(strstr(err.message, "private address"));
        }
        request.url =
                mem_printf(fixture->ctx, "http://me:pw@127.0.0.1:%u/", stub_port(fixture->stub));
        assert_int_equal(client_fetch(fixture, &request, &result, &err), STATUS_INVALID);
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
        struct http_request request = client_get(fixture, "/");
        struct watch watches[20];

        request.url = "http://really-not-there.invalid/";
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                client_watch_init(&watches[i], fixture->ctx);
                client_watch_start(&watches[i], fixture, &request);
        }
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                client_watch_wait(&watches[i], &watches[i].done, 1);
                assert_int_equal(watches[i].err.status, STATUS_UPSTREAM);
        }
        stub_add(fixture->stub, &(struct stub_reply){.path = "/named", .body = "x"});
        request.url =
                mem_printf(fixture->ctx, "http://localhost:%u/named", stub_port(fixture->stub));
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                client_watch_init(&watches[i], fixture->ctx);
                client_watch_start(&watches[i], fixture, &request);
        }
        for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
                client_watch_wait(&watches[i], &watches[i].done, 1);
                assert_int_equal(watches[i].status, 200);
        }
}

static void two_thousand_calls_at_once(void **state)
{
        struct fixture *fixture = *state;
        struct http_request request = client_get(fixture, "/many");
        struct watch watch;

        client_watch_init(&watch, fixture->ctx);
        stub_add(fixture->stub,
                 &(struct stub_reply){.path = "/many", .body = "0123456789", .delay_ms = 300});
        for (int i = 0; i < MANY; i++) {
                http_client_start(fixture->client, &request, &client_watch_handlers, &watch);
        }
        client_watch_wait(&watch, &watch.done, MANY);
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
        struct http_request request = client_get(storm->fixture, "/storm");

        for (int i = 0; i < 100; i++) {
                struct watch watch;

                client_watch_init(&watch, NULL);
                client_watch_start(&watch, storm->fixture, &request);
                pthread_mutex_lock(&watch.lock);
                if (i % 2 && !watch.done)
                        http_call_cancel(watch.call);
                pthread_mutex_unlock(&watch.lock);
                client_watch_wait(&watch, &watch.done, 1);
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, client_set_up, client_tear_down)
        const struct CMUnitTest tests[] = {
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
