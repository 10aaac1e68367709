/* SPDX-License-Identifier: Apache-2.0 */
/* What observing costs the observed: a log call, a metric call, a scrape.
 *
 * Log lines are timed in bursts that the ring can hold, as a server that logs faster than a disk
 * for long is a different problem; the lines dropped in spite of that are printed, and the
 * figure is worth nothing unless there are none. Every result is one line: name value unit. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/trace.h"

enum { BURSTS = 200, BURST_LINES = 1000, CALLS = 2000000, SCRAPES = 50, THREADS_MAX = 2 };
enum { EXPOSITION_MAX = 64 * 1024 * 1024 };

struct worker {
        pthread_t thread;
        pthread_barrier_t *start;
        void (*work)(size_t count);
        size_t count;
        int64_t spent_us;
};

static void result(const char *name, double value, const char *unit)
{
        printf("%s %.1f %s\n", name, value, unit);
}

static void log_lines(size_t count)
{
        for (size_t i = 0; i < count; i++)
                log_info(LOG_http_request, "request served", LOG_STR("method", "GET"),
                         LOG_STR("route", "/api/v1/workflows/{id}"), LOG_INT("status", 200),
                         LOG_REAL("duration_ms", 1.25), LOG_INT("response_bytes", 4321));
}

static void add_labelled(size_t count)
{
        for (size_t i = 0; i < count; i++)
                metric_add(METRIC_http_requests_total, 1, "GET", "/api/v1/workflows/{id}", "200");
}

static void add_plain(size_t count)
{
        for (size_t i = 0; i < count; i++)
                metric_add(METRIC_http_requests_in_flight, 1);
}

static void observe_labelled(size_t count)
{
        for (size_t i = 0; i < count; i++)
                metric_observe(METRIC_http_request_duration_seconds, 0.004, "GET",
                               "/api/v1/workflows/{id}");
}

static void *run_worker(void *arg)
{
        struct worker *worker = arg;
        struct trace trace;

        trace_begin(&trace, NULL);
        trace_set(trace.user_id, trace.request_id);
        TRACE_SCOPE(&trace);
        worker->work(1);
        pthread_barrier_wait(worker->start);
        int64_t start = clock_monotonic_us();
        worker->work(worker->count);
        worker->spent_us = clock_monotonic_us() - start;
        return NULL;
}

/* Nanoseconds a call, the mean of `threads` threads that work at the same time. */
static double time_calls(void (*work)(size_t count), size_t threads, size_t count)
{
        struct worker workers[THREADS_MAX];
        pthread_barrier_t start;
        double spent = 0;

        pthread_barrier_init(&start, NULL, (unsigned)threads);
        for (size_t i = 0; i < threads; i++) {
                workers[i] = (struct worker){.start = &start, .work = work, .count = count};
                pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]);
        }
        for (size_t i = 0; i < threads; i++) {
                pthread_join(workers[i].thread, NULL);
                spent += (double)workers[i].spent_us;
        }
        pthread_barrier_destroy(&start);
        return spent * 1000 / (double)(threads * count);
}

static int by_value(const void *a, const void *b)
{
        double left = *(const double *)a, right = *(const double *)b;

        return (left > right) - (left < right);
}

/* The median burst: others use the machine too. */
static double time_log_bursts(size_t threads)
{
        double spent[BURSTS];

        for (int i = 0; i < BURSTS; i++) {
                spent[i] = time_calls(log_lines, threads, BURST_LINES / threads);
                log_flush();
        }
        qsort(spent, BURSTS, sizeof(spent[0]), by_value);
        return spent[BURSTS / 2];
}

/* The sum of the samples, with labels, of one metric. */
static double metric_sum(const char *name)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer out = BUFFER_INIT(ctx, EXPOSITION_MAX);
        double sum = 0;

        metrics_write(&out, METRICS_TEXT);
        for (const char *line = out.data; *line; line = strchr(line, '\n') + 1) {
                if (strncmp(line, name, strlen(name)) == 0)
                        sum += strtod(strstr(line, "} ") + 2, NULL);
        }
        return sum;
}

static void bench_log(void)
{
        char folder[] = "/tmp/bench_observe.XXXXXX", file[64], rotated[72];
        struct error err = ERROR_INIT;

        if (!mkdtemp(folder))
                exit(1);
        snprintf(file, sizeof(file), "%s/log", folder);
        snprintf(rotated, sizeof(rotated), "%s.1", file);
        const struct log_options options = {
                .file = file, .level = LOG_LEVEL_INFO, .rotate_bytes = 64 << 20, .rotate_keep = 1};
        if (log_start(&options, &err)) {
                fprintf(stderr, "%s\n", err.message);
                exit(1);
        }
        result("log_call_1_thread", time_log_bursts(1), "ns");
        result("log_call_2_threads", time_log_bursts(2), "ns");
        log_set_level(LOG_LEVEL_ERROR);
        result("log_call_below_level", time_calls(log_lines, 1, CALLS), "ns");
        log_stop();
        result("log_lines_dropped", metric_sum("flowgenix_log_records_dropped_total{"), "lines");
        unlink(rotated);
        unlink(file);
        rmdir(folder);
}

static void bench_metrics(void)
{
        result("metric_add_1_thread", time_calls(add_labelled, 1, CALLS), "ns");
        result("metric_add_2_threads", time_calls(add_labelled, 2, CALLS), "ns");
        result("metric_add_no_labels", time_calls(add_plain, 1, CALLS), "ns");
        result("metric_observe_1_thread", time_calls(observe_labelled, 1, CALLS), "ns");
        result("metric_observe_2_threads", time_calls(observe_labelled, 2, CALLS), "ns");
}

static size_t scrape(struct buffer *out, enum metrics_format format)
{
        size_t series = 0;

        buffer_clear(out);
        metrics_write(out, format);
        for (const char *at = buffer_string(out); *at; at = strchr(at, '\n') + 1)
                series += *at != '#';
        return series;
}

static void time_scrape(const char *name, enum metrics_format format)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer out = BUFFER_INIT(ctx, EXPOSITION_MAX);
        char text[64];

        size_t series = scrape(&out, format);
        int64_t start = clock_monotonic_us();
        for (int i = 0; i < SCRAPES; i++) {
                buffer_clear(&out);
                metrics_write(&out, format);
        }
        double each = (double)(clock_monotonic_us() - start) / SCRAPES;
        snprintf(text, sizeof(text), "%s_series", name);
        result(text, (double)series, "series");
        snprintf(text, sizeof(text), "%s_bytes", name);
        result(text, (double)out.length, "bytes");
        result(name, each, "us");
}

/* Series as a server has them: two counters and two histograms, of 17 and 20 lines, a route. */
static void fill(size_t routes, const char *name)
{
        char route[64];

        for (size_t i = 0; i < routes; i++) {
                snprintf(route, sizeof(route), "/api/v1/%s/%zu/{id}", name, i);
                metric_add(METRIC_http_requests_total, 1, "GET", route, "200");
                metric_add(METRIC_llm_cost_dollars_total, 0.0123, "gemini", route);
                metric_observe(METRIC_http_request_duration_seconds, 0.0042, "GET", route);
                metric_observe(METRIC_llm_request_duration_seconds, 3.21, "gemini", route);
        }
}

int main(void)
{
        struct trace trace;

        trace_begin(&trace, NULL);
        TRACE_SCOPE(&trace);
        bench_log();
        bench_metrics();
        fill(50, "few");
        time_scrape("metrics_write_2000", METRICS_TEXT);
        time_scrape("metrics_write_2000_openmetrics", METRICS_OPENMETRICS);
        fill(400, "many");
        time_scrape("metrics_write_many", METRICS_TEXT);
        return 0;
}
