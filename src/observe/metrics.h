/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: counters, gauges and histograms declared once in metrics.def.
 *
 * Counters and histograms live in per-thread slots without locks and are summed at scrape. Labels
 * are bounded: past METRIC_SERIES_MAX label sets of one metric, further ones count under "other",
 * and a value is cut at 200 bytes. A counter ignores what is negative or no finite number.
 * metric_add(METRIC_http_requests_total, 1, "GET", route, "200"): as many label values as the
 * table declares, checked by assert. Any thread. */
#pragma once

#include "base/buffer.h"

/* C23 lets a call give nothing for "..."; clang 14 still calls that an extension. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_SERIES_MAX = 500, METRIC_LABELS_MAX = 4 };

enum metric {
#define X(name, type, unit, buckets, labels, help) METRIC_##name,
#include "observe/metrics.def"
#undef X
        METRIC_COUNT,
};

/* Adds to a counter or gauge. */
#define metric_add(metric, value, ...)                                                             \
        metric_add_((metric), (value), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
/* Observes a histogram value (seconds, bytes); keeps the current trace id as exemplar. */
#define metric_observe(metric, value, ...)                                                         \
        metric_observe_((metric), (value), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
/* Sets a gauge. */
#define metric_set(metric, value, ...)                                                             \
        metric_set_((metric), (value), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

void metric_add_(enum metric metric, double value, const char *const labels[]);
void metric_observe_(enum metric metric, double value, const char *const labels[]);
void metric_set_(enum metric metric, double value, const char *const labels[]);

/* Seconds since `start_us` of clock_monotonic_us(). */
double metric_seconds_since(int64_t start_us);

/* `collect` runs at each scrape, to metric_set() gauges whose truth lives elsewhere (pool sizes,
 * queue lengths). Registered once at start-up. */
typedef void metric_collect_fn(void *arg);
void metrics_on_scrape(metric_collect_fn *collect, void *arg);
/* Undoes it; no call of it is running afterwards. */
void metrics_off_scrape(metric_collect_fn *collect, void *arg);

enum metrics_format { METRICS_TEXT, METRICS_OPENMETRICS };

/* The exposition: Prometheus text 0.0.4, or OpenMetrics 1.0 with exemplars and "# EOF". */
void metrics_write(struct buffer *out, enum metrics_format format);
/* Chooses by an Accept header (may be NULL) and gives the content type to answer with. */
enum metrics_format metrics_negotiate(const char *accept, const char **ret_content_type);
