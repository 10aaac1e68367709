/* SPDX-License-Identifier: Apache-2.0 */
/* Cells: summing what threads counted, taking over what ended threads leave, and exemplars.
 *
 * A cell has one writer, so its figures are atomic only to be readable meanwhile: plain loads and
 * stores for the machine, no lock prefix. A histogram's count is the sum of its buckets, so that a
 * scrape never sees fewer than its +Inf bucket says. */
#include <string.h>

#include "base/clock.h"
#include "observe/metrics_internal.h"

#define READ(place)         atomic_load_explicit(&(place), memory_order_relaxed)
#define WRITE(place, value) atomic_store_explicit(&(place), (value), memory_order_relaxed)

static size_t counts_of(enum metric metric)
{
        const struct metric_info *info = &metric_infos[metric];

        return info->type == METRIC_HISTOGRAM ? info->row->count + 1 : 0;
}

size_t cell_size(enum metric metric)
{
        return sizeof(struct cell) + counts_of(metric) * sizeof(uint64_t);
}

/* Each store releases the odd version before it, each load of the reader acquires: a reader that
 * saw a new part also sees that the version moved. */
void exemplar_set(struct exemplar *exemplar, double value, const char *trace_id)
{
        uint32_t version = READ(exemplar->version);
        uint64_t words[4];

        memcpy(words, trace_id, sizeof(words));
        WRITE(exemplar->version, version + 1);
        atomic_store_explicit(&exemplar->wall_ms, clock_wall_ms(), memory_order_release);
        atomic_store_explicit(&exemplar->value, value, memory_order_release);
        for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
                atomic_store_explicit(&exemplar->trace_id[i], words[i], memory_order_release);
        atomic_store_explicit(&exemplar->version, version + 2, memory_order_release);
}

/* False if there is none or its thread is writing it: the one before is then as good as any. */
static bool exemplar_get(const struct exemplar *exemplar, struct exemplar_copy *ret)
{
        uint32_t version = atomic_load_explicit(&exemplar->version, memory_order_acquire);
        uint64_t words[4];

        ret->wall_ms = atomic_load_explicit(&exemplar->wall_ms, memory_order_acquire);
        ret->value = atomic_load_explicit(&exemplar->value, memory_order_acquire);
        for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
                words[i] = atomic_load_explicit(&exemplar->trace_id[i], memory_order_acquire);
        memcpy(ret->trace_id, words, sizeof(words));
        return ret->wall_ms && version % 2 == 0 && READ(exemplar->version) == version;
}

static void newest_exemplars(const struct cell *cell, size_t count, struct exemplar_copy *newest)
{
        const struct exemplar *exemplars =
                atomic_load_explicit(&cell->exemplars, memory_order_acquire);
        struct exemplar_copy one;

        for (size_t i = 0; exemplars && i < count; i++) {
                if (exemplar_get(&exemplars[i], &one) && one.wall_ms > newest[i].wall_ms)
                        newest[i] = one;
        }
}

static void fold_exemplars(struct cell *base, const struct cell *ended, size_t count)
{
        struct exemplar *kept = READ(base->exemplars);
        struct exemplar_copy newest[METRIC_BUCKETS_MAX + 1] = {0};

        if (!READ(ended->exemplars))
                return;
        if (!kept) {
                kept = mem_array(base->series, struct exemplar, count);
                WRITE(base->exemplars, kept);
        }
        newest_exemplars(base, count, newest);
        newest_exemplars(ended, count, newest);
        for (size_t i = 0; i < count; i++) {
                uint64_t words[4];

                memcpy(words, newest[i].trace_id, sizeof(words));
                WRITE(kept[i].wall_ms, newest[i].wall_ms);
                WRITE(kept[i].value, newest[i].value);
                for (size_t word = 0; word < ARRAY_LENGTH(words); word++)
                        WRITE(kept[i].trace_id[word], words[word]);
        }
}

void cell_fold(struct cell *base, const struct cell *ended)
{
        size_t count = counts_of(base->series->metric);

        WRITE(base->sum, READ(base->sum) + READ(ended->sum));
        for (size_t i = 0; i < count; i++)
                WRITE(base->counts[i], READ(base->counts[i]) + READ(ended->counts[i]));
        fold_exemplars(base, ended, count);
}

void series_sum(const struct series *series, bool exemplars, struct series_totals *ret)
{
        size_t count = counts_of(series->metric);

        ret->sum = 0;
        memset(ret->counts, 0, count * sizeof(ret->counts[0]));
        if (exemplars)
                memset(ret->exemplars, 0, count * sizeof(ret->exemplars[0]));
        for (const struct cell *cell = series->cells; cell; cell = cell->next) {
                ret->sum += READ(cell->sum);
                for (size_t i = 0; i < count; i++)
                        ret->counts[i] += READ(cell->counts[i]);
                if (exemplars)
                        newest_exemplars(cell, count, ret->exemplars);
        }
}

void series_set(const struct series *series, double value)
{
        struct cell *cell = series->cells;

        for (; cell->next; cell = cell->next)
                value -= READ(cell->sum);
        WRITE(cell->sum, value);
}
