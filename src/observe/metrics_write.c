/* SPDX-License-Identifier: Apache-2.0 */
/* The exposition: Prometheus text 0.0.4 and OpenMetrics 1.0.
 *
 * Both from one pass over the registry. They differ where mixing them up breaks a scrape: in
 * OpenMetrics a counter's family has no _total, metadata has a unit and another order, buckets may
 * have exemplars, and "# EOF" ends it. */
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "observe/decimal.h"
#include "observe/metrics.h"
#include "observe/metrics_internal.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* Name, labels (each character escaped), bound, figure and exemplar of the longest line. */
enum { LINE_SIZE = 4096, COLLECT_MAX = 32 };
static_assert(LINE_SIZE > LABELS_TEXT_MAX + 512);

/* One scrape at a time: collectors need not be reentrant. Taken before the registry lock. */
static pthread_mutex_t scrape_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
        metric_collect_fn *collect;
        void *arg;
} collectors[COLLECT_MAX];
static size_t collector_count;

struct line {
        char text[LINE_SIZE];
        size_t length;
};

static void put(struct line *line, const char *text, size_t length)
{
        memcpy(line->text + line->length, text, length);
        line->length += length;
}

#define PUT(line, literal) put((line), (literal), sizeof(literal) - 1)

static void put_text(struct line *line, const char *text)
{
        put(line, text, strlen(text));
}

static void put_count(struct line *line, uint64_t value)
{
        line->length += decimal_unsigned(line->text + line->length, value);
}

static void put_real(struct line *line, double value)
{
        line->length += decimal_real(line->text + line->length, value);
}

static void end_line(struct buffer *out, struct line *line)
{
        PUT(line, "\n");
        buffer_append(out, line->text, line->length);
}

static bool ends_with(const char *text, size_t length, const char *ending)
{
        size_t ending_length = strlen(ending);

        return length > ending_length &&
               memcmp(text + length - ending_length, ending, ending_length) == 0;
}

static const char *type_name(enum metric_type type)
{
        switch (type) {
        case METRIC_COUNTER:
                return "counter";
        case METRIC_GAUGE:
                return "gauge";
        case METRIC_HISTOGRAM:
                return "histogram";
        }
        return "unknown";
}

/* The unit as a name ends in it, or NULL. */
static const char *unit_suffix(enum metric_unit unit)
{
        switch (unit) {
        case UNIT_NONE:
                return NULL;
        case UNIT_SECONDS:
                return "_seconds";
        case UNIT_BYTES:
                return "_bytes";
        }
        return NULL;
}

static void write_metadata(struct buffer *out, const char *kind, const char *family, size_t length,
                           const char *text)
{
        struct line line;

        line.length = 0;
        PUT(&line, "# ");
        put_text(&line, kind);
        PUT(&line, " ");
        put(&line, family, length);
        PUT(&line, " ");
        put_text(&line, text);
        end_line(out, &line);
}

void metrics_write_head(struct buffer *out, enum metrics_format format,
                        const struct metric_info *info)
{
        size_t length = strlen(info->name);
        const char *unit = unit_suffix(info->unit);

        if (format == METRICS_TEXT) {
                write_metadata(out, "HELP", info->name, length, info->help);
                write_metadata(out, "TYPE", info->name, length, type_name(info->type));
                return;
        }
        if (info->type == METRIC_COUNTER && ends_with(info->name, length, "_total"))
                length -= sizeof("_total") - 1;
        write_metadata(out, "TYPE", info->name, length, type_name(info->type));
        if (unit && ends_with(info->name, length, unit))
                write_metadata(out, "UNIT", info->name, length, unit + 1);
        write_metadata(out, "HELP", info->name, length, info->help);
}

static void put_exemplar(struct line *line, const struct exemplar_copy *exemplar)
{
        if (!exemplar->wall_ms)
                return;
        PUT(line, " # {trace_id=\"");
        put(line, exemplar->trace_id, sizeof(exemplar->trace_id));
        PUT(line, "\"} ");
        put_real(line, exemplar->value);
        PUT(line, " ");
        put_real(line, (double)exemplar->wall_ms / 1000);
}

/* The lines of the buckets differ only behind `le="`; what is before it is written once. */
static uint64_t write_buckets(struct buffer *out, const struct metric_info *info,
                              const struct series *series, const struct series_totals *totals,
                              bool exemplars)
{
        struct line line;
        uint64_t cumulative = 0;

        line.length = 0;
        put_text(&line, info->name);
        PUT(&line, "_bucket{");
        put_text(&line, series->labels);
        if (series->labels[0])
                PUT(&line, ",");
        PUT(&line, "le=\"");
        size_t before = line.length;
        for (size_t i = 0; i <= info->row->count; i++) {
                cumulative += totals->counts[i];
                line.length = before;
                put_text(&line, i < info->row->count ? info->row->buckets[i].text : "+Inf");
                PUT(&line, "\"} ");
                put_count(&line, cumulative);
                if (exemplars)
                        put_exemplar(&line, &totals->exemplars[i]);
                end_line(out, &line);
        }
        return cumulative;
}

/* `name{labels} ` */
static void begin_line(struct line *line, const struct metric_info *info, const char *suffix,
                       const struct series *series)
{
        line->length = 0;
        put_text(line, info->name);
        put_text(line, suffix);
        if (series->labels[0]) {
                PUT(line, "{");
                put_text(line, series->labels);
                PUT(line, "}");
        }
        PUT(line, " ");
}

static void write_value(struct buffer *out, const struct metric_info *info,
                        const struct series *series, const struct series_totals *totals)
{
        struct line line;

        begin_line(&line, info, "", series);
        put_real(&line, totals->sum);
        end_line(out, &line);
}

static void write_histogram(struct buffer *out, const struct metric_info *info,
                            const struct series *series, const struct series_totals *totals,
                            bool exemplars)
{
        struct line line;
        uint64_t count = write_buckets(out, info, series, totals, exemplars);

        begin_line(&line, info, "_sum", series);
        put_real(&line, totals->sum);
        end_line(out, &line);
        begin_line(&line, info, "_count", series);
        put_count(&line, count);
        end_line(out, &line);
}

/* Under the registry lock. Metrics that were never used have no series and no metadata. */
static void write_metric(struct buffer *out, enum metrics_format format, enum metric metric)
{
        const struct metric_info *info = &metric_infos[metric];
        const struct series *series = metrics_first(metric);
        bool exemplars = format == METRICS_OPENMETRICS;
        struct series_totals totals;

        if (series)
                metrics_write_head(out, format, info);
        for (; series; series = series->next) {
                series_sum(series, exemplars, &totals);
                if (info->type == METRIC_HISTOGRAM)
                        write_histogram(out, info, series, &totals, exemplars);
                else
                        write_value(out, info, series, &totals);
        }
}

void metrics_on_scrape(metric_collect_fn *collect, void *arg)
{
        pthread_mutex_lock(&scrape_lock);
        assert(collector_count < COLLECT_MAX);
        collectors[collector_count].collect = collect;
        collectors[collector_count++].arg = arg;
        pthread_mutex_unlock(&scrape_lock);
}

void metrics_off_scrape(metric_collect_fn *collect, void *arg)
{
        size_t kept = 0;

        pthread_mutex_lock(&scrape_lock);
        for (size_t i = 0; i < collector_count; i++) {
                if (collectors[i].collect != collect || collectors[i].arg != arg)
                        collectors[kept++] = collectors[i];
        }
        collector_count = kept;
        pthread_mutex_unlock(&scrape_lock);
}

void metrics_write(struct buffer *out, enum metrics_format format)
{
        pthread_mutex_lock(&scrape_lock);
        for (size_t i = 0; i < collector_count; i++)
                collectors[i].collect(collectors[i].arg);
        metric_set(METRIC_build_info, 1, FLOWGENIX_VERSION, COMPILER);
        metrics_lock();
        for (size_t i = 0; i < METRIC_COUNT; i++)
                write_metric(out, format, (enum metric)i);
        metrics_unlock();
        pthread_mutex_unlock(&scrape_lock);
        metrics_write_process(out, format);
        if (format == METRICS_OPENMETRICS)
                buffer_text(out, "# EOF\n");
}
