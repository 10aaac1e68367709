/* SPDX-License-Identifier: Apache-2.0 */
/* Where log lines go: stdout, or a file with rotation. */
#include "observe/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A crash or a full disk may have left half a line; ours must not be glued to it. */
static bool ends_torn(const char *file, off_t size)
{
        SCOPED_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
        char last = '\n';

        return fd >= 0 && size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

static enum status open_file(struct log_sink *sink, struct error *err)
{
        struct stat info;
        int fd = open(sink->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

        if (fd < 0)
                return error_set(err, STATUS_UNAVAILABLE, "log file %s cannot be opened: %s",
                                 sink->file, strerror(errno));
        if (sink->fd >= 0)
                close(sink->fd);
        sink->fd = fd;
        sink->regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
        sink->size = sink->regular ? (uint64_t)info.st_size : 0;
        sink->rotate_at = sink->rotate_bytes;
        sink->torn = sink->regular && ends_torn(sink->file, info.st_size);
        return STATUS_OK;
}

enum status log_sink_open(struct log_sink *sink, const struct log_options *options,
                          struct error *err)
{
        *sink = (struct log_sink){
                .fd = -1,
                .file = mem_strdup(NULL, options->file),
                .rotate_bytes = options->rotate_bytes,
                .rotate_keep = options->rotate_keep,
        };
        if (!sink->file) {
                sink->fd = STDOUT_FILENO;
                return STATUS_OK;
        }
        if (open_file(sink, err))
                sink->file = mem_free(sink->file);
        return sink->file ? STATUS_OK : err->status;
}

void log_sink_close(struct log_sink *sink)
{
        if (sink->file)
                close(sink->fd);
        sink->file = mem_free(sink->file);
        sink->fd = -1;
}

size_t log_sink_room(const struct log_sink *sink)
{
        if (!sink->regular || !sink->rotate_bytes)
                return SIZE_MAX;
        return sink->size < sink->rotate_at ? (size_t)(sink->rotate_at - sink->size) : 0;
}

/* Everything, or an error number with what was written until then. */
static int write_all(int fd, const char *data, size_t length, size_t *ret_written)
{
        size_t done = 0;

        while (done < length) {
                ssize_t n = write(fd, data + done, length - done);

                if (n >= 0) {
                        done += (size_t)n;
                } else if (errno == EAGAIN) {
                        poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
                } else if (errno != EINTR) {
                        break;
                }
        }
        *ret_written = done;
        return done < length ? errno : 0;
}

static size_t whole_lines(const char *data, size_t length)
{
        const char *newline = length ? memrchr(data, '\n', length) : NULL;

        return newline ? (size_t)(newline - data) + 1 : 0;
}

/* Takes the beginning of a line back out of the file; if that cannot be done, the next write ends
 * the line first. The size is asked for, as something else may have truncated the file. */
static void remove_torn_line(struct log_sink *sink, size_t torn)
{
        struct stat info;

        if (!torn)
                return;
        if (sink->regular && fstat(sink->fd, &info) == 0 && info.st_size >= (off_t)torn &&
            ftruncate(sink->fd, info.st_size - (off_t)torn) == 0)
                sink->size = (uint64_t)info.st_size - torn;
        else
                sink->torn = true;
}

enum status log_sink_write(struct log_sink *sink, const char *data, size_t length,
                           size_t *ret_written, struct error *err)
{
        size_t written = 0;
        int failure = 0;

        if (sink->torn)
                failure = write_all(sink->fd, "\n", 1, &written);
        sink->size += sink->regular ? written : 0;
        written = 0;
        if (!failure) {
                sink->torn = false;
                failure = write_all(sink->fd, data, length, &written);
                sink->size += sink->regular ? written : 0;
        }
        *ret_written = failure ? whole_lines(data, written) : written;
        if (!failure)
                return STATUS_OK;
        remove_torn_line(sink, written - *ret_written);
        return error_set(err, STATUS_UNAVAILABLE, "%s cannot be written: %s",
                         sink->file ? sink->file : "stdout", strerror(failure));
}

/* FILE.keep is replaced, FILE.1 becomes free. Missing numbers are no failure. */
static void shift_kept(const struct log_sink *sink)
{
        SCOPED_MEM void *ctx = mem_root();

        for (unsigned n = sink->rotate_keep; n > 1; n--)
                rename(mem_printf(ctx, "%s.%u", sink->file, n - 1),
                       mem_printf(ctx, "%s.%u", sink->file, n));
}

static enum status move_away(const struct log_sink *sink, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        int failed;

        if (sink->rotate_keep) {
                shift_kept(sink);
                failed = rename(sink->file, mem_printf(ctx, "%s.1", sink->file));
        } else {
                failed = unlink(sink->file);
        }
        /* Already gone is as good as moved. */
        if (failed && errno != ENOENT)
                return error_set(err, STATUS_UNAVAILABLE, "log file %s cannot be rotated: %s",
                                 sink->file, strerror(errno));
        return STATUS_OK;
}

enum status log_sink_rotate(struct log_sink *sink, struct error *err)
{
        if (move_away(sink, err) == STATUS_OK && open_file(sink, err) == STATUS_OK)
                return STATUS_OK;
        sink->rotate_at = sink->size + sink->rotate_bytes;
        return err->status;
}

enum status log_sink_reopen(struct log_sink *sink, struct error *err)
{
        return sink->file ? open_file(sink, err) : STATUS_OK;
}
