/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry (metrics.c) and the exposition (metrics_write.c) share.
 *
 * A series is one label set of one metric. Its figures are the sum of its cells: one for each
 * thread that touched it, written by that thread alone, and a base cell that takes over what ended
 * threads leave. Series are never removed; cells come and go under the registry lock. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "observe/metrics.h"

enum { METRIC_BUCKETS_MAX = 17, LABEL_VALUE_MAX = 200 };
/* All labels of a series, names and escapes included. */
enum { LABELS_TEXT_MAX = METRIC_LABELS_MAX * (2 * LABEL_VALUE_MAX + 64) };
enum metric_unit { UNIT_NONE, UNIT_SECONDS, UNIT_BYTES };

struct bucket {
        double bound;
        const char *text; /* value of `le` */
};

struct bucket_row {
        const struct bucket *buckets; /* +Inf is understood */
        size_t count;
};

struct metric_info {
        const char *name; /* with its prefix */
        enum metric_type type;
        enum metric_unit unit;
        const struct bucket_row *row;
        const char *labels;
        const char *help;
};

extern const struct metric_info metric_infos[METRIC_COUNT];

/* The last observation of a bucket that had a trace. `version` is odd while its thread writes, so
 * that a reader can tell a torn one. */
struct exemplar {
        _Atomic uint32_t version;
        _Atomic int64_t wall_ms; /* 0: none */
        _Atomic double value;
        _Atomic uint64_t trace_id[4]; /* the 32 characters */
};

struct cell {
        struct cell *next; /* of the same series; the base cell is last */
        struct series *series;
        _Atomic double sum; /* counters and gauges: the value */
        _Atomic(struct exemplar *)
                exemplars;         /* one a bucket and one for +Inf; NULL before the first */
        _Atomic uint64_t counts[]; /* not cumulative; the same number */
};

struct series {
        struct series *next; /* of the same metric, in order of first use */
        size_t id;           /* index of its cell in every thread */
        uint64_t hash;
        enum metric metric;
        const char *values; /* one after the other, each with its NUL */
        const char *labels; /* `method="GET",route="/x"`, escaped */
        struct cell *cells;
};

struct exemplar_copy {
        int64_t wall_ms;
        double value;
        char trace_id[32];
};

struct series_totals {
        double sum;
        uint64_t counts[METRIC_BUCKETS_MAX + 1];
        struct exemplar_copy exemplars[METRIC_BUCKETS_MAX + 1];
};

/* --- Cells (metrics_cell.c); all but the first two under the registry lock -------------------- */
size_t cell_size(enum metric metric);
/* Keeps an observation with its trace (32 characters); the cell's own thread. */
void exemplar_set(struct exemplar *exemplar, double value, const char *trace_id);
/* Adds what an ended thread counted to the base cell. */
void cell_fold(struct cell *base, const struct cell *ended);
/* All figures of a series now; exemplars only if asked for. */
void series_sum(const struct series *series, bool exemplars, struct series_totals *ret);
/* Makes the sum of a gauge's cells `value`. */
void series_set(const struct series *series, double value);

/* --- Registry (metrics.c) --------------------------------------------------------------------- */
void metrics_lock(void);
void metrics_unlock(void);
/* The first series of a metric, NULL if it was never used. Under the lock. */
const struct series *metrics_first(enum metric metric);

/* --- Exposition (metrics_write.c, metrics_process.c) ------------------------------------------ */
/* The metadata of a family; `name` is that of a counter's sample, with _total. */
void metrics_write_head(struct buffer *out, enum metrics_format format,
                        const struct metric_info *info);
/* The process_* families of the client library standard; what cannot be read is left out. */
void metrics_write_process(struct buffer *out, enum metrics_format format);
