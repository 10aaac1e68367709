/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.def as data, and the bucket table.
 *
 * A bound is written once, as Prometheus stores the label `le` (Go's shortest form, ".0" behind
 * whole numbers), so that rules and the embedded history match it literally. Bounds are part of the
 * contract: a change breaks quantiles over time. */
#include <assert.h>

#include "observe/metrics_internal.h"

#define PREFIX "flowgenix_"

#define BUCKET(value)                                                                              \
        {                                                                                          \
                (value), #value                                                                    \
        }
#define ROW(buckets)                                                                               \
        {                                                                                          \
                (buckets), ARRAY_LENGTH(buckets)                                                   \
        }

static const struct bucket fast[] = {
        BUCKET(0.0005), BUCKET(0.001), BUCKET(0.0025), BUCKET(0.005), BUCKET(0.01),
        BUCKET(0.025),  BUCKET(0.05),  BUCKET(0.1),    BUCKET(0.25),  BUCKET(0.5),
        BUCKET(1.0),    BUCKET(2.5),   BUCKET(5.0),    BUCKET(10.0),
};

/* Executions and language models: up to ten minutes. */
static const struct bucket slow[] = {
        BUCKET(0.005), BUCKET(0.01), BUCKET(0.025), BUCKET(0.05),  BUCKET(0.1),   BUCKET(0.25),
        BUCKET(0.5),   BUCKET(1.0),  BUCKET(2.5),   BUCKET(5.0),   BUCKET(10.0),  BUCKET(20.0),
        BUCKET(30.0),  BUCKET(60.0), BUCKET(120.0), BUCKET(300.0), BUCKET(600.0),
};

/* 1 KiB to 256 MiB by factors of four. */
static const struct bucket bytes[] = {
        BUCKET(1024.0),        BUCKET(4096.0),         BUCKET(16384.0),      BUCKET(65536.0),
        BUCKET(262144.0),      BUCKET(1.048576e+06),   BUCKET(4.194304e+06), BUCKET(1.6777216e+07),
        BUCKET(6.7108864e+07), BUCKET(2.68435456e+08),
};

static_assert(ARRAY_LENGTH(fast) <= METRIC_BUCKETS_MAX);
static_assert(ARRAY_LENGTH(slow) <= METRIC_BUCKETS_MAX);
static_assert(ARRAY_LENGTH(bytes) <= METRIC_BUCKETS_MAX);

static const struct bucket_row buckets_NONE = {0};
static const struct bucket_row buckets_FAST = ROW(fast);
static const struct bucket_row buckets_LONG = ROW(slow);
static const struct bucket_row buckets_BYTES = ROW(bytes);

const struct metric_info metric_infos[METRIC_COUNT] = {
#define X(name, type, unit, buckets, labels, help)                                                 \
        {PREFIX #name, METRIC_##type, UNIT_##unit, &buckets_##buckets, labels, help},
#include "observe/metrics.def"
#undef X
};
