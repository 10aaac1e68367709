/* SPDX-License-Identifier: Apache-2.0 */
/* The process_* metrics of the client library standard, read from /proc at each scrape. What cannot
 * be read is left out: a zero would be a lie that alerts believe. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/decimal.h"
#include "observe/metrics_internal.h"

/* Fields of /proc/self/stat by their numbers in proc(5). */
enum { STAT_FIRST = 3, STAT_UTIME = 14, STAT_STIME = 15, STAT_THREADS = 20, STAT_START = 22 };
enum { STAT_VSIZE = 23, STAT_RSS = 24, STAT_FIELDS = 25 };

struct process_stat {
        double field[STAT_FIELDS];
};

static size_t read_text(const char *path, char *text, size_t size)
{
        SCOPED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);

        text[length > 0 ? length : 0] = '\0';
        return length > 0 ? (size_t)length : 0;
}

static bool read_stat(struct process_stat *ret)
{
        char text[1024];
        int number = STAT_FIRST;

        read_text("/proc/self/stat", text, sizeof(text));
        /* The program's name, field 2, may itself have blanks and parentheses. */
        char *at = strrchr(text, ')');
        if (!at || at[1] != ' ')
                return false;
        for (at += 2; *at && number < STAT_FIELDS; number++) {
                ret->field[number] = strtod(at, NULL);
                at += strcspn(at, " ");
                at += strspn(at, " ");
        }
        return number == STAT_FIELDS;
}

/* Seconds from the Unix epoch to the start of the machine; 0 if unknown. Does not change, and
 * /proc/stat is dear on machines with many processors. */
static double boot_time;

static void read_boot_time(void)
{
        SCOPED_FILE FILE *file = fopen("/proc/stat", "re");
        SCOPED_FREE char *line = NULL;
        size_t size = 0;

        while (file && getline(&line, &size, file) > 0) {
                if (strncmp(line, "btime ", 6) == 0)
                        boot_time = strtod(line + 6, NULL);
        }
}

/* Recent kernels tell the number as the size of the directory, so that thousands of connections
 * need not be listed at each scrape. */
static bool count_open_fds(double *ret)
{
        struct stat info;
        DIR *dir;

        if (stat("/proc/self/fd", &info) == 0 && info.st_size > 0) {
                *ret = (double)info.st_size;
                return true;
        }
        dir = opendir("/proc/self/fd");
        if (!dir)
                return false;
        *ret = -1; /* the directory itself */
        for (struct dirent *entry; (entry = readdir(dir));)
                *ret += entry->d_name[0] != '.';
        closedir(dir);
        return true;
}

enum process_metric { CPU, RESIDENT, VIRTUAL, THREADS, START, OPEN_FDS, MAX_FDS };

static const struct metric_info infos[] = {
#define ROW(index, name_, type_, unit_, help_)                                                     \
        [index] = {.name = (name_), .type = (type_), .unit = (unit_), .help = (help_)}
        ROW(CPU, "process_cpu_seconds_total", METRIC_COUNTER, UNIT_SECONDS,
            "User and system CPU time used."),
        ROW(RESIDENT, "process_resident_memory_bytes", METRIC_GAUGE, UNIT_BYTES, "Memory in RAM."),
        ROW(VIRTUAL, "process_virtual_memory_bytes", METRIC_GAUGE, UNIT_BYTES,
            "Address space in use."),
        ROW(THREADS, "process_threads", METRIC_GAUGE, UNIT_NONE, "Threads of the process."),
        ROW(START, "process_start_time_seconds", METRIC_GAUGE, UNIT_SECONDS,
            "Start of the process since the Unix epoch."),
        ROW(OPEN_FDS, "process_open_fds", METRIC_GAUGE, UNIT_NONE, "Open file descriptors."),
        ROW(MAX_FDS, "process_max_fds", METRIC_GAUGE, UNIT_NONE,
            "Most file descriptors that may be open."),
#undef ROW
};

static void write_one(struct buffer *out, enum metrics_format format, enum process_metric metric,
                      double value)
{
        const struct metric_info *info = &infos[metric];
        char number[DECIMAL_SIZE];

        metrics_write_head(out, format, info);
        buffer_text(out, info->name);
        buffer_char(out, ' ');
        buffer_append(out, number, decimal_real(number, value));
        buffer_char(out, '\n');
}

static void write_stat(struct buffer *out, enum metrics_format format)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        const double tick = (double)sysconf(_SC_CLK_TCK), page = (double)sysconf(_SC_PAGESIZE);
        struct process_stat stat;

        pthread_once(&once, read_boot_time);
        if (!read_stat(&stat))
                return;
        write_one(out, format, CPU, (stat.field[STAT_UTIME] + stat.field[STAT_STIME]) / tick);
        write_one(out, format, RESIDENT, stat.field[STAT_RSS] * page);
        write_one(out, format, VIRTUAL, stat.field[STAT_VSIZE]);
        write_one(out, format, THREADS, stat.field[STAT_THREADS]);
        if (boot_time > 0)
                write_one(out, format, START, boot_time + stat.field[STAT_START] / tick);
}

void metrics_write_process(struct buffer *out, enum metrics_format format)
{
        struct rlimit limit;
        double count;

        write_stat(out, format);
        if (count_open_fds(&count))
                write_one(out, format, OPEN_FDS, count);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
                write_one(out, format, MAX_FDS, (double)limit.rlim_cur);
}
