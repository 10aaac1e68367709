/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logs: the level, and the way of a record from the caller to the writer. */
#include "observe/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>

#include "observe/log_format.h"
#include "observe/log_writer.h"
#include "observe/metrics.h"

static _Atomic int minimum = LOG_LEVEL_INFO;

/* Guards starting and stopping, not logging. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;

/* Alerts on rates need every level to be there from the start. */
static void declare_metrics(void)
{
        for (enum log_level level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
                metric_add(METRIC_log_records_total, 0, log_level_name(level));
                metric_add(METRIC_log_records_dropped_total, 0, log_level_name(level));
        }
}

static enum status start(const struct log_options *options, struct error *err)
{
        if (started)
                return error_set(err, STATUS_CONFLICT, "the log was started already");
        if (log_writer_start(options, err))
                return err->status;
        started = true;
        log_set_level(options->level);
        return STATUS_OK;
}

enum status log_start(const struct log_options *options, struct error *err)
{
        declare_metrics();
        pthread_mutex_lock(&lock);
        enum status status = start(options, err);
        pthread_mutex_unlock(&lock);
        return status;
}

void log_stop(void)
{
        pthread_mutex_lock(&lock);
        if (started)
                log_writer_stop();
        started = false;
        pthread_mutex_unlock(&lock);
}

void log_flush(void)
{
        log_writer_flush();
}

void log_reopen(void)
{
        log_writer_reopen();
}

void log_set_level(enum log_level level)
{
        atomic_store_explicit(&minimum, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
        return (int)level >= atomic_load_explicit(&minimum, memory_order_relaxed);
}

enum status log_level_parse(const char *text, enum log_level *ret, struct error *err)
{
        for (enum log_level level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
                if (strcasecmp(text, log_level_name(level)) == 0) {
                        *ret = level;
                        return STATUS_OK;
                }
        }
        return error_set(err, STATUS_INVALID,
                         "'%.20s' is not a log level; use DEBUG, INFO, WARN or ERROR", text);
}

void log_write(enum log_level level, enum log_event event, const char *message,
               const struct error *err, const struct log_field *fields, size_t count)
{
        char line[LOG_LINE_MAX];

        if (!log_enabled(level))
                return;
        size_t length = log_format(line, level, event, message, err, fields, count);
        if (log_writer_push(level, line, length))
                return;
        metric_add(METRIC_log_records_total, 1, log_level_name(level));
        log_write_stderr(line, length);
}
