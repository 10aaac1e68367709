/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with a log in it, for tests. */
#include "observe/test_log_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/metrics.h"

#include <cmocka.h>

enum { FILE_MAX = 256 * 1024 * 1024, LINE_MAX_BYTES = 16 * 1024 };

void log_folder_make(struct log_folder *log)
{
        snprintf(log->folder, sizeof(log->folder), "/tmp/flowgenix-log.XXXXXX");
        assert_non_null(mkdtemp(log->folder));
        snprintf(log->file, sizeof(log->file), "%s/log", log->folder);
}

void log_folder_start(const struct log_folder *log, uint64_t rotate_bytes, unsigned rotate_keep)
{
        const struct log_options options = {.file = log->file,
                                            .level = LOG_LEVEL_DEBUG,
                                            .rotate_bytes = rotate_bytes,
                                            .rotate_keep = rotate_keep};
        struct error err = ERROR_INIT;

        if (log_start(&options, &err))
                fail_msg("%s", err.message);
}

void log_folder_remove(const struct log_folder *log)
{
        DIR *dir = opendir(log->folder);

        assert_non_null(dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (entry->d_name[0] != '.')
                        assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        }
        closedir(dir);
        assert_int_equal(rmdir(log->folder), 0);
}

char *file_text(const void *ctx, const char *path)
{
        SCOPED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct buffer text = BUFFER_INIT(ctx, FILE_MAX);
        char part[64 * 1024];
        ssize_t n;

        while (fd >= 0 && (n = read(fd, part, sizeof(part))) > 0)
                buffer_append(&text, part, (size_t)n);
        assert_false(text.overflow);
        return text.data ? text.data : mem_strdup(ctx, "");
}

void parse_lines(const char *text, json_t *records)
{
        struct error err = ERROR_INIT;

        while (*text) {
                const char *end = strchr(text, '\n');
                json_t *record = NULL;

                if (!end) {
                        fail_msg("no newline behind: %.200s", text);
                        return;
                }
                assert_true(end + 1 - text <= LINE_MAX_BYTES);
                if (json_read(text, (size_t)(end - text), &record, &err))
                        fail_msg("%s in: %.*s", err.message, (int)(end - text), text);
                assert_true(json_is_object(record));
                json_array_append_new(records, record);
                text = end + 1;
        }
}

size_t log_folder_files(const struct log_folder *log)
{
        DIR *dir = opendir(log->folder);
        size_t count = 0;

        assert_non_null(dir);
        for (struct dirent *entry; (entry = readdir(dir));)
                count += entry->d_name[0] != '.';
        closedir(dir);
        return count;
}

json_t *log_folder_records(const struct log_folder *log)
{
        SCOPED_MEM void *ctx = mem_root();
        json_t *records = json_array();

        for (size_t n = log_folder_files(log); n-- > 1;)
                parse_lines(file_text(ctx, mem_printf(ctx, "%s.%zu", log->file, n)), records);
        parse_lines(file_text(ctx, log->file), records);
        return records;
}

double metric_value(const char *sample)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer out = BUFFER_INIT(ctx, FILE_MAX);
        size_t length = strlen(sample);

        metrics_write(&out, METRICS_TEXT);
        for (const char *line = out.data; *line; line = strchr(line, '\n') + 1) {
                if (strncmp(line, sample, length) == 0 && line[length] == ' ')
                        return strtod(line + length, NULL);
        }
        return 0;
}

void diversion_begin(struct diversion *diversion, const struct log_folder *log, int fd)
{
        SCOPED_FD int file = -1;

        snprintf(diversion->file, sizeof(diversion->file), "%s/diverted-%d", log->folder, fd);
        file = open(diversion->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        fflush(NULL);
        diversion->fd = fd;
        diversion->saved = dup(fd);
        assert_true(diversion->saved >= 0);
        assert_int_equal(dup2(file, fd), fd);
}

char *diversion_end(struct diversion *diversion, const void *ctx)
{
        fflush(NULL);
        assert_int_equal(dup2(diversion->saved, diversion->fd), diversion->fd);
        close(diversion->saved);
        char *text = file_text(ctx, diversion->file);
        unlink(diversion->file);
        return text;
}
