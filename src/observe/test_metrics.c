/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: sums over threads, bounds of labels, gauges, buckets, exemplars, collectors.
 *
 * There is one registry a process, so each test looks at metrics that no other test touches or at
 * differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "observe/metrics.h"
#include "observe/trace.h"

#include <cmocka.h>

enum { THREADS = 4, EXPOSITION_MAX = 64 * 1024 * 1024 };

static char *scrape(const void *ctx, enum metrics_format format)
{
        struct buffer out = BUFFER_INIT(ctx, EXPOSITION_MAX);

        metrics_write(&out, format);
        assert_false(out.overflow);
        return out.data;
}

/* The text behind a sample's name and labels, NULL if there is none. */
static const char *find_sample(const char *text, const char *sample)
{
        size_t length = strlen(sample);

        for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
                if (strncmp(line, sample, length) == 0 && line[length] == ' ')
                        return line + length + 1;
        }
        return NULL;
}

static double sample_in(const char *text, const char *sample)
{
        const char *value = find_sample(text, sample);

        if (!value) {
                fail_msg("no sample %s", sample);
                return NAN;
        }
        return strtod(value, NULL);
}

static double sample_now(const char *sample)
{
        SCOPED_MEM void *ctx = mem_root();

        return sample_in(scrape(ctx, METRICS_TEXT), sample);
}

static bool absent(const char *sample)
{
        SCOPED_MEM void *ctx = mem_root();

        return !find_sample(scrape(ctx, METRICS_TEXT), sample);
}

static void run_threads(void *(*work)(void *arg), void *arg)
{
        pthread_t threads[THREADS];

        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, work, arg), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
}

static void metrics_without_labels_are_there_at_zero(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const char *text = scrape(ctx, METRICS_TEXT);

        (void)state;
        assert_true(sample_in(text, "flowgenix_db_errors_total") == 0);
        assert_true(sample_in(text, "flowgenix_users_active") == 0);
        assert_true(sample_in(text, "flowgenix_retrieval_duration_seconds_count") == 0);
        assert_true(sample_in(text, "flowgenix_retrieval_duration_seconds_sum") == 0);
        assert_true(sample_in(text, "flowgenix_retrieval_duration_seconds_bucket{le=\"+Inf\"}") ==
                    0);
        assert_null(strstr(text, "flowgenix_logins_total"));
        assert_non_null(strstr(text, "flowgenix_build_info{version=\"" FLOWGENIX_VERSION "\","));
}

static void counters_only_rise(void **state)
{
        (void)state;
        metric_add(METRIC_llm_cost_dollars_total, 0.25, "gemini", "flash");
        metric_add(METRIC_llm_cost_dollars_total, -1, "gemini", "flash");
        metric_add(METRIC_llm_cost_dollars_total, NAN, "gemini", "flash");
        metric_add(METRIC_llm_cost_dollars_total, INFINITY, "gemini", "flash");
        metric_add(METRIC_llm_cost_dollars_total, 0.5, "gemini", "flash");
        metric_add(METRIC_llm_cost_dollars_total, 0, "gemini", "pro");
        assert_true(sample_now("flowgenix_llm_cost_dollars_total{provider=\"gemini\",model="
                               "\"flash\"}") == 0.75);
        assert_true(sample_now("flowgenix_llm_cost_dollars_total{provider=\"gemini\",model="
                               "\"pro\"}") == 0);
}

static void *count_and_end(void *arg)
{
        (void)arg;
        for (int i = 0; i < 1000; i++) {
                metric_add(METRIC_node_executions_total, 1, "output", "completed");
                metric_add(METRIC_websocket_connections_active, 1);
                metric_observe(METRIC_node_execution_duration_seconds, 0.25, "output");
        }
        metric_add(METRIC_websocket_connections_active, -999);
        return NULL;
}

static void ended_threads_still_count(void **state)
{
        (void)state;
        run_threads(count_and_end, NULL);
        run_threads(count_and_end, NULL);
        count_and_end(NULL);
        const int threads = 2 * THREADS + 1;
        assert_true(sample_now("flowgenix_node_executions_total{type=\"output\",status="
                               "\"completed\"}") == threads * 1000);
        assert_true(sample_now("flowgenix_websocket_connections_active") == threads);
        assert_true(sample_now("flowgenix_node_execution_duration_seconds_count{type="
                               "\"output\"}") == threads * 1000);
        assert_true(sample_now("flowgenix_node_execution_duration_seconds_sum{type="
                               "\"output\"}") == threads * 250);
        assert_true(sample_now("flowgenix_node_execution_duration_seconds_bucket{type="
                               "\"output\",le=\"0.1\"}") == 0);
        assert_true(sample_now("flowgenix_node_execution_duration_seconds_bucket{type="
                               "\"output\",le=\"0.25\"}") == threads * 1000);
}

struct race {
        pthread_t thread;
        atomic_bool done;
        size_t rounds;
};

/* New series, old series and observations, all at once. */
static void *count_until_done(void *arg)
{
        struct race *race = arg;
        struct trace trace;
        char label[32];

        trace_begin(&trace, NULL);
        TRACE_SCOPE(&trace);
        for (; !atomic_load(&race->done) || race->rounds < 2000; race->rounds++) {
                snprintf(label, sizeof(label), "stage%zu", race->rounds % 200);
                metric_add(METRIC_web_search_requests_total, 1, "brave", label);
                metric_observe(METRIC_document_processing_duration_seconds,
                               (double)(race->rounds % 9), label);
                metric_observe(METRIC_websocket_connection_duration_seconds, 1);
        }
        return NULL;
}

static void scrapes_are_consistent_while_threads_count(void **state)
{
        const char *count = "flowgenix_websocket_connection_duration_seconds_count";
        const char *last = "flowgenix_websocket_connection_duration_seconds_bucket{le=\"+Inf\"}";
        struct race races[THREADS] = {0};
        double before = 0, rounds = 0, total = 0;

        (void)state;
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(
                        pthread_create(&races[i].thread, NULL, count_until_done, &races[i]), 0);
        for (int i = 0; i < 30; i++) {
                SCOPED_MEM void *ctx = mem_root();
                const char *text = scrape(ctx, i % 2 ? METRICS_TEXT : METRICS_OPENMETRICS);

                assert_true(sample_in(text, count) == sample_in(text, last));
                assert_true(sample_in(text, count) >= before);
                before = sample_in(text, count);
        }
        for (int i = 0; i < THREADS; i++) {
                atomic_store(&races[i].done, true);
                pthread_join(races[i].thread, NULL);
                rounds += (double)races[i].rounds;
        }
        assert_true(sample_now(count) == rounds);
        for (int i = 0; i < 200; i++) {
                char sample[120];

                snprintf(sample, sizeof(sample),
                         "flowgenix_web_search_requests_total{provider=\"brave\",status="
                         "\"stage%d\"}",
                         i);
                total += sample_now(sample);
        }
        assert_true(total == rounds);
}

static void *flood_labels(void *arg)
{
        char label[32];

        (void)arg;
        for (int i = 0; i < METRIC_SERIES_MAX + 100; i++) {
                snprintf(label, sizeof(label), "code%d", i);
                metric_add(METRIC_websocket_disconnections_total, 1, label);
        }
        return NULL;
}

static size_t count_series(const char *prefix)
{
        SCOPED_MEM void *ctx = mem_root();
        size_t count = 0;

        for (const char *line = scrape(ctx, METRICS_TEXT); *line; line = strchr(line, '\n') + 1)
                count += strncmp(line, prefix, strlen(prefix)) == 0;
        return count;
}

static void further_label_sets_count_under_other(void **state)
{
        (void)state;
        flood_labels(NULL);
        run_threads(flood_labels, NULL);
        flood_labels(NULL);
        const int times = THREADS + 2;
        assert_int_equal(count_series("flowgenix_websocket_disconnections_total{"),
                         METRIC_SERIES_MAX + 1);
        assert_true(sample_now("flowgenix_websocket_disconnections_total{code=\"other\"}") ==
                    100 * times);
        /* Known ones go on counting. */
        assert_true(sample_now("flowgenix_websocket_disconnections_total{code=\"code0\"}") ==
                    times);
        assert_true(absent("flowgenix_websocket_disconnections_total{code=\"code550\"}"));
        /* The caller's own "other" is the same series. */
        metric_add(METRIC_websocket_disconnections_total, 1, "other");
        assert_true(sample_now("flowgenix_websocket_disconnections_total{code=\"other\"}") ==
                    100 * times + 1);
        assert_int_equal(count_series("flowgenix_websocket_disconnections_total{"),
                         METRIC_SERIES_MAX + 1);
}

static void label_values_are_escaped_valid_and_bounded(void **state)
{
        char text[500], expected[700];

        (void)state;
        metric_add(METRIC_cache_requests_total, 1, "a\"b\\c\nd");
        assert_true(sample_now("flowgenix_cache_requests_total{result=\"a\\\"b\\\\c\\nd\"}") == 1);
        /* What becomes equal is one series, not two lines of one name. */
        metric_add(METRIC_cache_requests_total, 1, "bad\xFF");
        metric_add(METRIC_cache_requests_total, 1, "bad\xFE");
        metric_add(METRIC_cache_requests_total, 1, "bad\xEF\xBF\xBD");
        assert_true(sample_now("flowgenix_cache_requests_total{result=\"bad\xEF\xBF\xBD\"}") == 3);
        metric_add(METRIC_cache_requests_total, 1, "");
        assert_true(sample_now("flowgenix_cache_requests_total{result=\"\"}") == 1);
        for (size_t i = 0; i + 1 < sizeof(text); i += 2)
                memcpy(text + i, "\xC3\xA9", 2);
        text[498] = '\0';
        metric_add(METRIC_cache_requests_total, 1, text);
        text[300] = '\0';
        metric_add(METRIC_cache_requests_total, 1, text);
        text[200] = '\0';
        snprintf(expected, sizeof(expected), "flowgenix_cache_requests_total{result=\"%s\"}", text);
        assert_true(sample_now(expected) == 2);
}

static void *add_to_gauge(void *arg)
{
        (void)arg;
        metric_add(METRIC_workflow_executions_queued, 5);
        metric_add(METRIC_workflow_executions_queued, -2);
        return NULL;
}

static void gauges_are_set_and_moved(void **state)
{
        (void)state;
        metric_set(METRIC_workflow_executions_queued, 100);
        run_threads(add_to_gauge, NULL);
        add_to_gauge(NULL);
        assert_true(sample_now("flowgenix_workflow_executions_queued") == 100 + 3 * (THREADS + 1));
        metric_set(METRIC_workflow_executions_queued, 7);
        assert_true(sample_now("flowgenix_workflow_executions_queued") == 7);
        add_to_gauge(NULL);
        assert_true(sample_now("flowgenix_workflow_executions_queued") == 10);
        metric_set(METRIC_workflow_executions_queued, -1.5);
        assert_true(sample_now("flowgenix_workflow_executions_queued") == -1.5);
        metric_set(METRIC_db_pool_connections, 3, "idle");
        metric_set(METRIC_db_pool_connections, 4, "idle");
        assert_true(sample_now("flowgenix_db_pool_connections{state=\"idle\"}") == 4);
        metric_set(METRIC_db_pool_connections, INFINITY, "strange");
        assert_true(isinf(sample_now("flowgenix_db_pool_connections{state=\"strange\"}")));
}

static void a_bound_belongs_to_its_bucket(void **state)
{
        const char *name = "flowgenix_document_upload_bytes";
        const struct {
                const char *bound;
                double below; /* or equal, of the values observed */
        } expected[] = {{"1024.0", 2},       {"4096.0", 3},         {"65536.0", 3},
                        {"1.048576e+06", 4}, {"2.68435456e+08", 5}, {"+Inf", 6}};
        char sample[120];

        (void)state;
        metric_observe(METRIC_document_upload_bytes, 0);
        metric_observe(METRIC_document_upload_bytes, 1024);
        metric_observe(METRIC_document_upload_bytes, 1025);
        metric_observe(METRIC_document_upload_bytes, 1 << 20);
        metric_observe(METRIC_document_upload_bytes, 1 << 28);
        metric_observe(METRIC_document_upload_bytes, (1 << 28) + 1);
        metric_observe(METRIC_document_upload_bytes, NAN);
        for (size_t i = 0; i < ARRAY_LENGTH(expected); i++) {
                snprintf(sample, sizeof(sample), "%s_bucket{le=\"%s\"}", name, expected[i].bound);
                assert_true(sample_now(sample) == expected[i].below);
        }
        snprintf(sample, sizeof(sample), "%s_count", name);
        assert_true(sample_now(sample) == 6);
        snprintf(sample, sizeof(sample), "%s_sum", name);
        assert_true(sample_now(sample) == 0 + 1024 + 1025 + (1 << 20) + (1 << 28) + (1 << 28) + 1);
}

static void *observe_with_trace(void *arg)
{
        TRACE_SCOPE(arg);
        metric_observe(METRIC_db_pool_wait_seconds, 0.002);
        metric_observe(METRIC_db_pool_wait_seconds, 100);
        return NULL;
}

static void check_exemplar(const char *text, const char *sample, const struct trace *trace,
                           double value)
{
        const char *behind = strstr(find_sample(text, sample), " # {trace_id=\"");
        char *end;

        assert_non_null(behind);
        behind += strlen(" # {trace_id=\"");
        assert_memory_equal(behind, trace->trace_id, 32);
        assert_memory_equal(behind + 32, "\"} ", 3);
        assert_true(strtod(behind + 35, &end) == value);
        assert_true(fabs(strtod(end, &end) - (double)clock_wall_ms() / 1000) < 60);
        assert_int_equal(*end, '\n');
}

static void buckets_have_exemplars_of_the_newest_trace(void **state)
{
        const char *bucket = "flowgenix_db_pool_wait_seconds_bucket{le=\"0.0025\"}";
        const char *last = "flowgenix_db_pool_wait_seconds_bucket{le=\"+Inf\"}";
        SCOPED_MEM void *ctx = mem_root();
        struct trace first, second;
        pthread_t thread;
        (void)state;
        metric_observe(METRIC_db_pool_wait_seconds, 0.002);
        assert_null(strstr(scrape(ctx, METRICS_OPENMETRICS), "db_pool_wait_seconds_bucket{le=\"0.00"
                                                             "25\"} 1 #"));
        trace_begin(&first, NULL);
        trace_begin(&second, NULL);
        observe_with_trace(&first);
        /* Exemplars are told apart by their milliseconds. */
        for (int64_t now = clock_wall_ms(); clock_wall_ms() == now;)
                ;
        assert_int_equal(pthread_create(&thread, NULL, observe_with_trace, &second), 0);
        pthread_join(thread, NULL);
        const char *text = scrape(ctx, METRICS_OPENMETRICS);
        check_exemplar(text, bucket, &second, 0.002);
        check_exemplar(text, last, &second, 100);
        assert_null(memchr(find_sample(text, "flowgenix_db_pool_wait_seconds_bucket{le=\"5.0\"}"),
                           '#', 5));
        /* Where they are a syntax error. */
        text = scrape(ctx, METRICS_TEXT);
        assert_null(strstr(text, second.trace_id));
        assert_null(strstr(text, "} # "));
}

static void collect(void *arg)
{
        metric_set(METRIC_users_active, ++*(int *)arg);
}

static void collectors_run_at_each_scrape(void **state)
{
        int one = 0, two = 100;

        (void)state;
        metrics_on_scrape(collect, &one);
        assert_true(sample_now("flowgenix_users_active") == 1);
        metrics_on_scrape(collect, &two);
        assert_true(sample_now("flowgenix_users_active") == 101);
        metrics_off_scrape(collect, &two);
        assert_true(sample_now("flowgenix_users_active") == 3);
        metrics_off_scrape(collect, &one);
        assert_true(sample_now("flowgenix_users_active") == 3);
        assert_int_equal(one, 3);
        assert_int_equal(two, 101);
}

static void process_figures_are_those_of_this_process(void **state)
{
        double now = (double)clock_wall_ms() / 1000, cpu = sample_now("process_cpu_seconds_total");
        double files = sample_now("process_open_fds");
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        (void)state;
        assert_true(sample_now("process_open_fds") == files + 1);
        close(fd);
        assert_in_range(sample_now("process_resident_memory_bytes"), 1 << 20, 1 << 30);
        assert_true(sample_now("process_virtual_memory_bytes") >
                    sample_now("process_resident_memory_bytes"));
        assert_true(sample_now("process_max_fds") > files);
        assert_true(sample_now("process_threads") >= 1);
        assert_true(sample_now("process_start_time_seconds") <= now + 2);
        assert_true(sample_now("process_start_time_seconds") > now - 600);
        /* Three ticks of the kernel's accounting. */
        for (clock_t start = clock(); clock() < start + 3 * CLOCKS_PER_SEC / 100;)
                ;
        assert_true(sample_now("process_cpu_seconds_total") > cpu);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(metrics_without_labels_are_there_at_zero),
                cmocka_unit_test(counters_only_rise),
                cmocka_unit_test(ended_threads_still_count),
                cmocka_unit_test(scrapes_are_consistent_while_threads_count),
                cmocka_unit_test(further_label_sets_count_under_other),
                cmocka_unit_test(label_values_are_escaped_valid_and_bounded),
                cmocka_unit_test(gauges_are_set_and_moved),
                cmocka_unit_test(a_bound_belongs_to_its_bucket),
                cmocka_unit_test(buckets_have_exemplars_of_the_newest_trace),
                cmocka_unit_test(collectors_run_at_each_scrape),
                cmocka_unit_test(process_figures_are_those_of_this_process),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
