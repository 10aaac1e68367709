/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.def as data, and the bucket table.
 *
 * A bound is written once, as Prometheus stores the label `le` (Go's shortest form, ".0" behind
 * whole numbers), so that rules and the embedded history match it literally. Bounds are part of the
 * contract: a change breaks quantiles over time. */
#include "observe/metrics_internal.h"

#define PREFIX "flowgenix_"

#define FAST(X)                                                                                    \
        X(0.0005)                                                                                  \
        X(0.001)                                                                                   \
        X(0.0025) X(0.005) X(0.01) X(0.025) X(0.05) X(0.1) X(0.25) X(0.5) X(1.0) X(2.5) X(5.0)     \
                X(10.0)
/* Executions and language models: up to ten minutes. */
#define LONG(X)                                                                                    \
        X(0.005)                                                                                   \
        X(0.01)                                                                                    \
        X(0.025) X(0.05) X(0.1) X(0.25) X(0.5) X(1.0) X(2.5) X(5.0) X(10.0) X(20.0) X(30.0)        \
                X(60.0) X(120.0) X(300.0) X(600.0)
/* 1 KiB to 256 MiB by factors of four. */
#define BYTES(X)                                                                                   \
        X(1024.0)                                                                                  \
        X(4096.0)                                                                                  \
        X(16384.0) X(65536.0) X(262144.0) X(1.048576e+06) X(4.194304e+06) X(1.6777216e+07)         \
                X(6.7108864e+07) X(2.68435456e+08)

#define BOUND(value) value,
#define TEXT(value)  #value,
#define COUNT(value) +1

static const struct bucket_row buckets_NONE = {0};
static const struct bucket_row buckets_FAST = {0 FAST(COUNT), {FAST(BOUND)}, {FAST(TEXT)}};
static const struct bucket_row buckets_LONG = {0 LONG(COUNT), {LONG(BOUND)}, {LONG(TEXT)}};
static const struct bucket_row buckets_BYTES = {0 BYTES(COUNT), {BYTES(BOUND)}, {BYTES(TEXT)}};

const struct metric_info metric_infos[METRIC_COUNT] = {
#define X(name, type, unit, buckets, labels, help)                                                 \
        {PREFIX #name, METRIC_##type, UNIT_##unit, &buckets_##buckets, labels, help},
#include "observe/metrics.def"
#undef X
};
