/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that takes lines from the ring to the sink.
 *
 * Rules: a caller never waits for the disk, except WARN and ERROR for a full ring, briefly; nobody
 * polls. The writer has three states. Idle, it sleeps until anything comes. Awake, it writes what
 * there is. Then it lingers for LINGER_US so that the next lines cost their callers no wake-up and
 * the disk no write each; WARN, ERROR, a flush or a half-full ring end that at once. */
#include "observe/log_writer.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "observe/log_format.h"
#include "observe/log_ring.h"
#include "observe/log_sink.h"
#include "observe/metrics.h"

enum {
        LINGER_US = 5000,
        ROOM_WAIT_US = 1000000,
        BATCH_BYTES = 64 * 1024,
        BATCH_LINES = 512,
        LEVELS = 4
};

/* The last eighth of the ring is for WARN and ERROR, so that a flood of others cannot starve them.
 */
enum { RING_COMMON = LOG_RING_SIZE - LOG_RING_SIZE / 8, RING_URGENT = LOG_RING_SIZE / 2 };

enum mode { AWAKE, LINGERING, IDLE };

static struct log_ring ring = LOG_RING_INIT;
static _Alignas(64) _Atomic uint32_t mode = AWAKE; /* futex of the writer */
static _Alignas(64) _Atomic uint32_t progress;     /* futex of those who wait for the writer */
static _Atomic uint32_t waiting;                   /* how many do */
static _Atomic uint64_t written;                   /* ring position that the sink has had */
static _Atomic uint64_t lost;                      /* lines dropped and not yet told of */
static _Atomic bool stalled;                       /* somebody waited for room in vain since */
static _Atomic bool reopen_wanted;

/* The writer thread's own. */
static struct {
        pthread_t thread;
        struct log_sink sink;
        bool write_failed; /* the last one did, and it was told of */
        bool file_failed;  /* the same of rotating or reopening */
        size_t length, lines;
        char batch[BATCH_BYTES];
        struct {
                uint32_t length;
                enum log_level level;
        } line[BATCH_LINES];
} writer;

static void futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t limit_us)
{
        struct timespec limit = {.tv_sec = limit_us / 1000000,
                                 .tv_nsec = (long)(limit_us % 1000000) * 1000};

        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, limit_us < 0 ? NULL : &limit, NULL,
                0);
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void wake_writer(void)
{
        if (atomic_exchange(&mode, AWAKE) != AWAKE)
                futex_wake(&mode, 1);
}

void log_write_stderr(const char *line, size_t length)
{
        while (length > 0) {
                ssize_t n = write(STDERR_FILENO, line, length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return;
                line += n;
                length -= (size_t)n;
        }
}

/* --- Producers ------------------------------------------------------------------------------- */
static void count_dropped(enum log_level level)
{
        atomic_fetch_add(&lost, 1);
        metric_add(METRIC_log_records_dropped_total, 1, log_level_name(level));
}

/* Waits for room, but one after the other for a disk that does not answer would stop the server:
 * once a wait was in vain, nobody waits until the writer moves. */
static enum log_ring_result push_patiently(enum log_level level, const char *line, size_t length,
                                           size_t *used)
{
        int64_t deadline = clock_monotonic_us() + ROOM_WAIT_US, left;
        enum log_ring_result result;

        atomic_fetch_add(&waiting, 1);
        do {
                uint32_t seen = atomic_load(&progress);

                result = log_ring_push(&ring, line, length, level, LOG_RING_SIZE, used);
                left = atomic_load(&stalled) ? 0 : deadline - clock_monotonic_us();
                if (result == LOG_RING_FULL && left > 0) {
                        wake_writer();
                        futex_wait(&progress, seen, left);
                }
        } while (result == LOG_RING_FULL && left > 0);
        if (result == LOG_RING_FULL)
                atomic_store(&stalled, true);
        atomic_fetch_sub(&waiting, 1);
        return result;
}

bool log_writer_push(enum log_level level, const char *line, size_t length)
{
        bool urgent = level >= LOG_LEVEL_WARN;
        size_t used = 0;
        enum log_ring_result result = log_ring_push(&ring, line, length, level,
                                                    urgent ? LOG_RING_SIZE : RING_COMMON, &used);

        if (result == LOG_RING_FULL && urgent)
                result = push_patiently(level, line, length, &used);
        if (result == LOG_RING_CLOSED)
                return false;
        if (result == LOG_RING_FULL) {
                count_dropped(level);
                /* Not in the log, but not gone either. */
                if (urgent)
                        log_write_stderr(line, length);
                return true;
        }
        uint32_t now = atomic_load(&mode);
        if (now == IDLE || (now == LINGERING && (urgent || used > RING_URGENT)))
                wake_writer();
        return true;
}

void log_writer_flush(void)
{
        uint64_t target = log_ring_position(&ring);

        atomic_fetch_add(&waiting, 1);
        for (;;) {
                uint32_t seen = atomic_load(&progress);

                if (atomic_load(&written) >= target)
                        break;
                wake_writer();
                futex_wait(&progress, seen, -1);
        }
        atomic_fetch_sub(&waiting, 1);
}

void log_writer_reopen(void)
{
        int saved = errno;

        atomic_store(&reopen_wanted, true);
        wake_writer();
        errno = saved;
}

/* --- The writer ------------------------------------------------------------------------------ */
static void tell_progress(void)
{
        atomic_store(&stalled, false);
        atomic_fetch_add(&progress, 1);
        if (atomic_load(&waiting))
                futex_wake(&progress, INT_MAX);
}

/* A failing disk is told of once, on the only way that is left. */
static void tell_failure(bool *failed, const struct error *err)
{
        char line[LOG_LINE_MAX];

        metric_add(METRIC_log_write_errors_total, 1);
        if (*failed)
                return;
        *failed = true;
        log_write_stderr(line, log_format(line, LOG_LEVEL_WARN, LOG_application_error,
                                          "log records cannot be written", err, NULL, 0));
}

/* Counts the lines of the batch; those past `kept` bytes are dropped, WARN and ERROR to stderr. */
static void account(size_t kept)
{
        double records[LEVELS] = {0};
        size_t at = 0;

        for (size_t i = 0; i < writer.lines; i++) {
                enum log_level level = writer.line[i].level;
                const char *line = writer.batch + at;

                at += writer.line[i].length;
                if (at <= kept) {
                        records[level]++;
                        continue;
                }
                count_dropped(level);
                if (level >= LOG_LEVEL_WARN)
                        log_write_stderr(line, writer.line[i].length);
        }
        for (unsigned level = 0; level < LEVELS; level++) {
                if (records[level] > 0)
                        metric_add(METRIC_log_records_total, records[level], log_level_name(level));
        }
}

static void file_changed(enum status status, const struct error *err)
{
        if (status)
                tell_failure(&writer.file_failed, err);
        else
                writer.file_failed = false;
}

static void reopen(void)
{
        struct error err = ERROR_INIT;

        if (atomic_exchange(&reopen_wanted, false))
                file_changed(log_sink_reopen(&writer.sink, &err), &err);
}

static void write_batch(void)
{
        struct error err = ERROR_INIT;
        size_t kept;

        if (!writer.lines)
                return;
        /* Here, so that a line logged after log_reopen() is never in the old file. */
        reopen();
        if (log_sink_write(&writer.sink, writer.batch, writer.length, &kept, &err))
                tell_failure(&writer.write_failed, &err);
        else
                writer.write_failed = false;
        account(kept);
        writer.length = writer.lines = 0;
}

static void rotate(void)
{
        struct error err = ERROR_INIT;

        write_batch();
        if (writer.sink.size > 0)
                file_changed(log_sink_rotate(&writer.sink, &err), &err);
}

/* The line at the end of the batch is part of it if the file has room, else of the next. */
static void add_line(size_t length, enum log_level level)
{
        if (writer.length + length > log_sink_room(&writer.sink)) {
                const char *line = writer.batch + writer.length;

                rotate();
                memmove(writer.batch, line, length);
        }
        writer.line[writer.lines].length = (uint32_t)length;
        writer.line[writer.lines++].level = level;
        writer.length += length;
}

/* Fills one batch from the ring, frees its room there, writes it. False if there was nothing. */
static bool move_batch(void)
{
        unsigned tag;
        size_t length;

        while (writer.lines < BATCH_LINES &&
               (length = log_ring_pop(&ring, writer.batch + writer.length,
                                      BATCH_BYTES - writer.length, &tag)))
                add_line(length, (enum log_level)tag);
        if (!writer.lines)
                return false;
        log_ring_release(&ring);
        tell_progress();
        write_batch();
        atomic_store(&written, ring.read);
        tell_progress();
        return true;
}

/* So that whoever reads only the log knows of its gaps. */
static void tell_lost(void)
{
        uint64_t count = atomic_exchange(&lost, 0);

        if (!count)
                return;
        size_t length = log_format(writer.batch, LOG_LEVEL_WARN, LOG_application_error,
                                   "log records were dropped", NULL,
                                   (const struct log_field[]){LOG_INT("dropped", count)}, 1);
        add_line(length, LOG_LEVEL_WARN);
        write_batch();
}

static void drain(void)
{
        reopen();
        while (move_batch())
                ;
        /* A line about a full disk would be lost to it as well. */
        if (!writer.write_failed)
                tell_lost();
}

/* Whether there is work in spite of which the writer must not rest. A claimed but incomplete record
 * is none: its producer wakes the writer. */
static bool wanted(enum mode asleep)
{
        if (atomic_load(&reopen_wanted))
                return true;
        if (asleep == LINGERING)
                return log_ring_closed(&ring) || atomic_load(&waiting);
        return log_ring_ready(&ring) || (log_ring_closed(&ring) && log_ring_drained(&ring));
}

static void rest(enum mode asleep, int64_t limit_us)
{
        /* Announce first, look second: see log_ring_push. */
        atomic_store(&mode, asleep);
        if (!wanted(asleep))
                futex_wait(&mode, asleep, limit_us);
        atomic_store(&mode, AWAKE);
}

static void *work(void *arg)
{
        while (!log_ring_closed(&ring) || !log_ring_drained(&ring)) {
                drain();
                rest(LINGERING, LINGER_US);
                if (!log_ring_ready(&ring))
                        rest(IDLE, -1);
        }
        drain();
        return arg;
}

enum status log_writer_start(const struct log_options *options, struct error *err)
{
        sigset_t all, before;
        int failed;

        if (log_sink_open(&writer.sink, options, err))
                return err->status;
        writer.write_failed = writer.file_failed = false;
        log_ring_open(&ring);
        /* Signals belong to the main thread; SIGPIPE and SIGXFSZ become write errors here. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(&writer.thread, NULL, work, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!failed) {
                pthread_setname_np(writer.thread, "log");
                return STATUS_OK;
        }
        log_ring_close(&ring);
        log_sink_close(&writer.sink);
        return error_set(err, STATUS_UNAVAILABLE, "the log writer cannot start: %s",
                         strerror(failed));
}

void log_writer_stop(void)
{
        log_ring_close(&ring);
        wake_writer();
        pthread_join(writer.thread, NULL);
        log_sink_close(&writer.sink);
}
