/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics registry: from label values to a series, from a series to this thread's cell.
 *
 * The hot path takes no lock and writes no memory that another thread writes: a look-up in an index
 * that only grows, then a store to the thread's own cell. Everything that happens once (a new label
 * set, a thread's first touch of a series, a thread's end) takes the registry lock. */
#include "observe/metrics.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "observe/metrics_internal.h"
#include "observe/trace.h"

/* Twice the maximum, so that probes stay short. */
enum { INDEX_SIZE = 1024, CHUNK_BYTES = 4096 };
static_assert(INDEX_SIZE >= 2 * METRIC_SERIES_MAX && (INDEX_SIZE & (INDEX_SIZE - 1)) == 0);

static struct {
        pthread_mutex_t lock;
        pthread_key_t key;
        size_t label_counts[METRIC_COUNT];
        size_t series_counts[METRIC_COUNT];
        size_t ids;
        struct series *first[METRIC_COUNT], **last[METRIC_COUNT];
        /* Where further label sets count; NULL until the metric is full. */
        _Atomic(struct series *) other[METRIC_COUNT];
        _Atomic(struct series *) index[METRIC_COUNT][INDEX_SIZE];
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* One thread's cells. They lie in chunks of its own, so no cache line is shared. */
struct shard {
        struct cell **cells; /* by series id; NULL where the thread never was */
        size_t count;
        char *chunk;
        size_t chunk_left;
};

static _Thread_local struct shard *this_shard;

/* Label values with their lengths and hash. */
struct label_set {
        size_t count;
        const char *values[METRIC_LABELS_MAX];
        size_t lengths[METRIC_LABELS_MAX];
        uint64_t hash;
};

void metrics_lock(void)
{
        pthread_mutex_lock(&registry.lock);
}

void metrics_unlock(void)
{
        pthread_mutex_unlock(&registry.lock);
}

const struct series *metrics_first(enum metric metric)
{
        return registry.first[metric];
}

/* --- Series ---------------------------------------------------------------------------------- */
static uint64_t hash_text(uint64_t hash, const char *text, size_t length)
{
        const uint64_t factor = 0x9E3779B97F4A7C15;
        uint64_t word;

        for (; length >= sizeof(word); text += sizeof(word), length -= sizeof(word)) {
                memcpy(&word, text, sizeof(word));
                hash = (hash ^ word) * factor;
                hash ^= hash >> 32;
        }
        word = 0;
        memcpy(&word, text, length);
        hash = (hash ^ word ^ (uint64_t)(length + 1) << 56) * factor;
        return hash ^ hash >> 32;
}

static struct label_set label_set(enum metric metric, const char *const labels[])
{
        struct label_set set = {.count = registry.label_counts[metric], .values = {"", "", "", ""}};

        for (size_t i = 0; i < set.count; i++) {
                assert(labels[i] && "fewer label values than metrics.def declares");
                set.values[i] = labels[i];
                set.lengths[i] = strlen(labels[i]);
                set.hash = hash_text(set.hash, labels[i], set.lengths[i]);
        }
        assert(!labels[set.count] && "more label values than metrics.def declares");
        return set;
}

static bool same_labels(const struct series *series, const struct label_set *set)
{
        const char *value = series->values;

        for (size_t i = 0; i < set->count; i++) {
                if (strcmp(value, set->values[i]) != 0)
                        return false;
                value += set->lengths[i] + 1;
        }
        return true;
}

/* The place of a label set in the index: where it is, or where it would go. */
static _Atomic(struct series *) *find(enum metric metric, const struct label_set *set)
{
        for (uint64_t at = set->hash;; at++) {
                _Atomic(struct series *) *place = &registry.index[metric][at % INDEX_SIZE];
                struct series *series = atomic_load_explicit(place, memory_order_acquire);

                if (!series || (series->hash == set->hash && same_labels(series, set)))
                        return place;
        }
}

static void append_escaped(struct buffer *out, const char *value)
{
        for (; *value; value++) {
                if (*value == '\n')
                        buffer_append(out, "\\n", 2);
                else if (*value == '"' || *value == '\\')
                        buffer_append(out, (const char[]){'\\', *value}, 2);
                else
                        buffer_char(out, *value);
        }
}

/* `method="GET",route="/x"` from the comma list of names and the values. */
static char *render_labels(const void *ctx, const char *names, const struct label_set *set)
{
        struct buffer out = BUFFER_INIT(ctx, LABELS_TEXT_MAX);

        for (size_t i = 0; i < set->count; i++) {
                size_t length = strcspn(names, ",");

                buffer_append(&out, names, length);
                buffer_append(&out, "=\"", 2);
                append_escaped(&out, set->values[i]);
                buffer_text(&out, i + 1 < set->count ? "\"," : "\"");
                names += length + 1;
        }
        return out.data ? out.data : mem_strdup(ctx, "");
}

static char *join_values(const void *ctx, const struct label_set *set)
{
        struct buffer out = BUFFER_INIT(ctx, LABELS_TEXT_MAX);

        for (size_t i = 0; i < set->count; i++)
                buffer_append(&out, set->values[i], set->lengths[i] + 1);
        return out.data;
}

/* Under the lock. Not yet in the index. */
static struct series *series_new(enum metric metric, const struct label_set *set)
{
        struct series *series = mem_new(NULL, struct series);

        series->id = registry.ids++;
        series->metric = metric;
        series->hash = set->hash;
        series->values = join_values(series, set);
        series->labels = render_labels(series, metric_infos[metric].labels, set);
        series->cells = mem_zero_(series, cell_size(metric), 1, "struct cell");
        series->cells->series = series;
        *registry.last[metric] = series;
        registry.last[metric] = &series->next;
        return series;
}

static struct series *other_series(enum metric metric)
{
        static const char *const others[] = {"other", "other", "other", "other", NULL};
        static_assert(ARRAY_LENGTH(others) == METRIC_LABELS_MAX + 1);
        struct series *other = atomic_load_explicit(&registry.other[metric], memory_order_relaxed);

        if (other)
                return other;
        /* A caller may have counted under these very labels before. */
        struct label_set set =
                label_set(metric, others + METRIC_LABELS_MAX - registry.label_counts[metric]);
        other = atomic_load_explicit(find(metric, &set), memory_order_relaxed);
        if (!other)
                other = series_new(metric, &set);
        atomic_store_explicit(&registry.other[metric], other, memory_order_release);
        return other;
}

static struct series *find_or_add(enum metric metric, const struct label_set *set)
{
        metrics_lock();
        _Atomic(struct series *) *place = find(metric, set);
        struct series *series = atomic_load_explicit(place, memory_order_relaxed);

        if (!series && registry.series_counts[metric] == METRIC_SERIES_MAX) {
                series = other_series(metric);
        } else if (!series) {
                series = series_new(metric, set);
                registry.series_counts[metric]++;
                atomic_store_explicit(place, series, memory_order_release);
        }
        metrics_unlock();
        return series;
}

/* A label value as the exposition may have it: valid UTF-8 of bounded length. */
static void clean_value(char out[LABEL_VALUE_MAX + 1], const char *value, size_t length)
{
        size_t used = 0;

        for (size_t i = 0; i < length;) {
                size_t step = utf8_sequence(value + i, length - i), size = step ? step : 3;

                if (used + size > LABEL_VALUE_MAX)
                        break;
                memcpy(out + used, step ? value + i : "\xEF\xBF\xBD", size);
                used += size;
                i += step ? step : 1;
        }
        out[used] = '\0';
}

/* The index has only clean values: others, and new ones, come here. */
static struct series *resolve_slowly(enum metric metric, const char *const labels[])
{
        char clean[METRIC_LABELS_MAX][LABEL_VALUE_MAX + 1];
        const char *values[METRIC_LABELS_MAX + 1] = {0};

        for (size_t i = 0; i < registry.label_counts[metric]; i++) {
                clean_value(clean[i], labels[i], strlen(labels[i]));
                values[i] = clean[i];
        }
        struct label_set set = label_set(metric, values);
        struct series *series = atomic_load_explicit(find(metric, &set), memory_order_acquire);
        if (!series)
                series = atomic_load_explicit(&registry.other[metric], memory_order_acquire);
        return series ? series : find_or_add(metric, &set);
}

static struct series *resolve(enum metric metric, const char *const labels[])
{
        struct label_set set = label_set(metric, labels);

        if (!set.count)
                return registry.first[metric];
        struct series *series = atomic_load_explicit(find(metric, &set), memory_order_acquire);
        return series ? series : resolve_slowly(metric, labels);
}

/* --- Shards and cells ------------------------------------------------------------------------ */
static void unlink_cell(struct cell *cell)
{
        struct cell **at = &cell->series->cells;

        while (*at != cell)
                at = &(*at)->next;
        *at = cell->next;
}

static struct cell *base_cell(const struct series *series)
{
        struct cell *cell = series->cells;

        while (cell->next)
                cell = cell->next;
        return cell;
}

/* At the end of a thread. */
static void shard_end(void *arg)
{
        struct shard *shard = arg;

        this_shard = NULL;
        metrics_lock();
        for (size_t i = 0; i < shard->count; i++) {
                if (shard->cells[i]) {
                        cell_fold(base_cell(shard->cells[i]->series), shard->cells[i]);
                        unlink_cell(shard->cells[i]);
                }
        }
        metrics_unlock();
        mem_free(shard);
}

static size_t count_labels(const char *names)
{
        size_t count = *names ? 1 : 0;

        for (; *names; names++)
                count += *names == ',';
        return count;
}

static void registry_init(void)
{
        const struct label_set none = {0};

        pthread_key_create(&registry.key, shard_end);
        for (size_t i = 0; i < METRIC_COUNT; i++) {
                registry.label_counts[i] = count_labels(metric_infos[i].labels);
                registry.last[i] = &registry.first[i];
                assert(registry.label_counts[i] <= METRIC_LABELS_MAX);
                if (!registry.label_counts[i])
                        series_new((enum metric)i, &none);
        }
}

static void ready(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, registry_init);
}

static struct shard *shard_new(void)
{
        ready();
        this_shard = mem_new(NULL, struct shard);
        pthread_setspecific(registry.key, this_shard);
        return this_shard;
}

static struct shard *shard_get(void)
{
        return this_shard ? this_shard : shard_new();
}

/* Zeroed memory that lives as long as the thread. */
static void *shard_take(struct shard *shard, size_t size)
{
        size = (size + 15) & ~(size_t)15;
        if (size > shard->chunk_left) {
                shard->chunk_left = size > CHUNK_BYTES ? size : CHUNK_BYTES;
                shard->chunk = mem_array(shard, char, shard->chunk_left);
        }
        void *memory = shard->chunk;
        shard->chunk += size;
        shard->chunk_left -= size;
        return memory;
}

static void grow_cells(struct shard *shard, size_t id)
{
        size_t count = shard->count ? shard->count : 64;

        while (count <= id)
                count *= 2;
        shard->cells = mem_resize(shard, shard->cells, struct cell *, count);
        memset(shard->cells + shard->count, 0, (count - shard->count) * sizeof(struct cell *));
        shard->count = count;
}

static struct cell *cell_new(struct shard *shard, struct series *series)
{
        struct cell *cell = shard_take(shard, cell_size(series->metric));

        if (series->id >= shard->count)
                grow_cells(shard, series->id);
        shard->cells[series->id] = cell;
        cell->series = series;
        metrics_lock();
        cell->next = series->cells;
        series->cells = cell;
        metrics_unlock();
        return cell;
}

static struct cell *cell_get(struct shard *shard, struct series *series)
{
        if (series->id < shard->count && shard->cells[series->id])
                return shard->cells[series->id];
        return cell_new(shard, series);
}

/* --- What callers see ------------------------------------------------------------------------ */
static void add(_Atomic double *sum, double value)
{
        atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + value,
                              memory_order_relaxed);
}

void metric_add_(enum metric metric, double value, const char *const labels[])
{
        struct shard *shard = shard_get();

        assert(metric_infos[metric].type != METRIC_HISTOGRAM);
        /* A counter that falls or is no number breaks rate(); the rest of the scrape with it. */
        if (!isfinite(value) || (value < 0 && metric_infos[metric].type == METRIC_COUNTER))
                return;
        add(&cell_get(shard, resolve(metric, labels))->sum, value);
}

static void keep_exemplar(struct shard *shard, struct cell *cell, size_t bucket, double value)
{
        const struct trace *trace = trace_current();
        struct exemplar *exemplars = atomic_load_explicit(&cell->exemplars, memory_order_relaxed);

        if (!trace || strnlen(trace->trace_id, TRACE_ID_SIZE) != TRACE_ID_SIZE - 1)
                return;
        if (!exemplars) {
                size_t count = metric_infos[cell->series->metric].row->count + 1;

                exemplars = shard_take(shard, count * sizeof(*exemplars));
                atomic_store_explicit(&cell->exemplars, exemplars, memory_order_release);
        }
        exemplar_set(&exemplars[bucket], value, trace->trace_id);
}

void metric_observe_(enum metric metric, double value, const char *const labels[])
{
        const struct bucket_row *row = metric_infos[metric].row;
        struct shard *shard = shard_get();
        size_t bucket = 0;

        assert(metric_infos[metric].type == METRIC_HISTOGRAM);
        if (!isfinite(value))
                return;
        struct cell *cell = cell_get(shard, resolve(metric, labels));
        while (bucket < row->count && value > row->buckets[bucket].bound)
                bucket++;
        uint64_t before = atomic_load_explicit(&cell->counts[bucket], memory_order_relaxed);
        atomic_store_explicit(&cell->counts[bucket], before + 1, memory_order_relaxed);
        add(&cell->sum, value);
        keep_exemplar(shard, cell, bucket, value);
}

void metric_set_(enum metric metric, double value, const char *const labels[])
{
        ready();
        assert(metric_infos[metric].type == METRIC_GAUGE);
        struct series *series = resolve(metric, labels);
        metrics_lock();
        series_set(series, value);
        metrics_unlock();
}

double metric_seconds_since(int64_t start_us)
{
        return (double)(clock_monotonic_us() - start_us) / 1e6;
}
