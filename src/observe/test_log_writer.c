/* SPDX-License-Identifier: Apache-2.0 */
/* The way of records to the file: threads, rotation, a full ring, a full disk, start and stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/test_log_folder.h"

#include <cmocka.h>

enum { THREADS = 4, LINES = 3000, WARN_EVERY = 10, ROTATE_BYTES = 64 * 1024 };
enum { ALL_LINES = THREADS * LINES, PIPE_TEXT_MAX = 64 * 1024 * 1024 };

static int set_up(void **state)
{
        static struct log_folder log;

        log_folder_make(&log);
        *state = &log;
        return 0;
}

static int tear_down(void **state)
{
        log_stop();
        log_folder_remove(*state);
        return 0;
}

static bool is_level(const json_t *record, const char *level)
{
        return strcmp(json_get_text(record, "level", ""), level) == 0;
}

static bool is_message(const json_t *record, const char *message)
{
        return strcmp(json_get_text(record, "message", ""), message) == 0;
}

static size_t count_messages(const json_t *records, const char *message)
{
        size_t count = 0, i;
        json_t *record;

        json_array_foreach (records, i, record)
                count += is_message(record, message);
        return count;
}

static void *log_many(void *arg)
{
        intptr_t thread = (intptr_t)arg;

        for (int i = 0; i < LINES; i++) {
                if (i % WARN_EVERY == 0)
                        log_warn(LOG_lifecycle, "many", LOG_INT("thread", thread), LOG_INT("i", i));
                else
                        log_info(LOG_lifecycle, "many", LOG_INT("thread", thread), LOG_INT("i", i));
        }
        return NULL;
}

static void run_threads(void *(*work)(void *arg))
{
        pthread_t threads[THREADS];

        for (intptr_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
}

/* Each thread's lines in their order; returns how many there are of each level. */
static void check_many(const json_t *records, size_t *ret_info, size_t *ret_warn)
{
        int64_t last[THREADS];
        size_t i;
        json_t *record;

        memset(last, -1, sizeof(last));
        *ret_info = *ret_warn = 0;
        json_array_foreach (records, i, record) {
                if (!is_message(record, "many"))
                        continue;
                int64_t thread = json_get_int(record, "thread", -1);
                assert_in_range(thread, 0, THREADS - 1);
                assert_true(json_get_int(record, "i", -1) > last[thread]);
                last[thread] = json_get_int(record, "i", -1);
                *ret_warn += is_level(record, "WARN");
                *ret_info += is_level(record, "INFO");
        }
}

static void threads_log_while_files_rotate(void **state)
{
        const struct log_folder *log = *state;
        const double written = metric_value("flowgenix_log_records_total{level=\"INFO\"}");
        const double dropped = metric_value("flowgenix_log_records_dropped_total{level=\"INFO\"}");
        struct stat info;
        char name[128];
        size_t infos, warns;

        log_folder_start(log, ROTATE_BYTES, 1000);
        run_threads(log_many);
        log_stop();
        size_t files = log_folder_files(log);
        assert_true(files > 10);
        for (size_t n = 1; n < files; n++) {
                snprintf(name, sizeof(name), "%s.%zu", log->file, n);
                assert_int_equal(stat(name, &info), 0);
                assert_in_range(info.st_size, ROTATE_BYTES - 4096, ROTATE_BYTES);
        }
        SCOPED_JSON json_t *records = log_folder_records(log);
        check_many(records, &infos, &warns);
        assert_int_equal(warns, ALL_LINES / WARN_EVERY);
        double now = metric_value("flowgenix_log_records_dropped_total{level=\"INFO\"}");
        assert_int_equal(infos + (size_t)(now - dropped), ALL_LINES - warns);
        now = metric_value("flowgenix_log_records_total{level=\"INFO\"}");
        assert_int_equal((size_t)(now - written), infos);
}

static void only_so_many_files_are_kept(void **state)
{
        const struct log_folder *log = *state;

        log_folder_start(log, 2000, 2);
        for (int i = 0; i < 200; i++)
                log_info(LOG_lifecycle, "kept", LOG_INT("i", i));
        log_stop();
        assert_int_equal(log_folder_files(log), 3);
        SCOPED_JSON json_t *records = log_folder_records(log);
        size_t count = json_array_size(records);
        assert_in_range(count, 3, 60);
        for (size_t i = 0; i < count; i++)
                assert_int_equal(json_get_int(json_array_get(records, i), "i", -1),
                                 200 - count + i);
}

static void none_is_kept_when_none_is_wanted(void **state)
{
        const struct log_folder *log = *state;

        log_folder_start(log, 2000, 0);
        for (int i = 0; i < 200; i++)
                log_info(LOG_lifecycle, "kept", LOG_INT("i", i));
        log_stop();
        assert_int_equal(log_folder_files(log), 1);
        SCOPED_JSON json_t *records = log_folder_records(log);
        assert_in_range(json_array_size(records), 1, 20);
}

/* A pipe that nobody reads stands for a disk that does not answer. */
struct pipe_reader {
        int fd;
        struct buffer text;
        pthread_t thread;
};

static void *read_pipe(void *arg)
{
        struct pipe_reader *reader = arg;
        char part[4096];
        ssize_t n;

        while ((n = read(reader->fd, part, sizeof(part))) > 0)
                buffer_append(&reader->text, part, (size_t)n);
        return NULL;
}

static void stall(struct pipe_reader *reader, const struct log_folder *log)
{
        assert_int_equal(mkfifo(log->file, 0600), 0);
        reader->fd = open(log->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(reader->fd >= 0);
        assert_int_equal(fcntl(reader->fd, F_SETFL, 0), 0);
        reader->text = BUFFER_INIT(NULL, PIPE_TEXT_MAX);
        log_folder_start(log, 0, 0);
}

static void a_full_ring_drops_info_and_says_so(void **state)
{
        enum { FLOOD = 20000, RESERVED = 500, WARNS = 4000 };
        const char *warn_sample = "flowgenix_log_records_dropped_total{level=\"WARN\"}";
        const double before = metric_value("flowgenix_log_records_dropped_total{level=\"INFO\"}");
        const double warn_before = metric_value(warn_sample);
        struct pipe_reader reader;
        size_t i, told = 0;
        json_t *record;

        stall(&reader, *state);
        for (i = 0; i < FLOOD; i++)
                log_info(LOG_lifecycle, "flood");
        double dropped =
                metric_value("flowgenix_log_records_dropped_total{level=\"INFO\"}") - before;
        assert_in_range(dropped, 1, FLOOD - 1000);
        /* The ring has a reserve for them. */
        for (i = 0; i < RESERVED; i++)
                log_warn(LOG_lifecycle, "important");
        assert_true(metric_value(warn_sample) == warn_before);
        /* More than the reserve: some of them wait for room. */
        assert_int_equal(pthread_create(&reader.thread, NULL, read_pipe, &reader), 0);
        for (i = 0; i < WARNS; i++)
                log_warn(LOG_lifecycle, "important");
        log_stop();
        pthread_join(reader.thread, NULL);
        SCOPED_JSON json_t *records = json_array();
        parse_lines(buffer_string(&reader.text), records);
        assert_int_equal(count_messages(records, "important"), RESERVED + WARNS);
        assert_int_equal(count_messages(records, "flood"), FLOOD - (size_t)dropped);
        json_array_foreach (records, i, record) {
                if (is_message(record, "log records were dropped"))
                        told += (size_t)json_get_int(record, "dropped", 0);
        }
        assert_int_equal(told, dropped);
        buffer_release(&reader.text);
        close(reader.fd);
}

static void warn_that_finds_no_room_goes_to_stderr(void **state)
{
        enum { WARNS = 20000 };
        const char *sample = "flowgenix_log_records_dropped_total{level=\"WARN\"}";
        const double before = metric_value(sample);
        SCOPED_MEM void *ctx = mem_root();
        struct pipe_reader reader;
        struct diversion diversion;
        int sent = 0;

        stall(&reader, *state);
        diversion_begin(&diversion, *state, STDERR_FILENO);
        /* The first to find the ring full waits a second in vain; those behind it do not. */
        for (; sent < WARNS; sent++)
                log_warn(LOG_lifecycle, "important");
        char *text = diversion_end(&diversion, ctx);
        assert_int_equal(pthread_create(&reader.thread, NULL, read_pipe, &reader), 0);
        log_stop();
        pthread_join(reader.thread, NULL);
        SCOPED_JSON json_t *records = json_array();
        parse_lines(text, records);
        assert_int_equal(json_array_size(records), metric_value(sample) - before);
        assert_true(json_array_size(records) > 0);
        parse_lines(buffer_string(&reader.text), records);
        assert_int_equal(count_messages(records, "important"), sent);
        buffer_release(&reader.text);
        close(reader.fd);
}

static void a_lone_line_is_written_without_a_flush(void **state)
{
        struct pipe_reader reader;
        struct pollfd ready = {.events = POLLIN};
        char line[4096];

        stall(&reader, *state);
        ready.fd = reader.fd;
        for (int i = 0; i < 3; i++) {
                /* Long enough for the writer to fall asleep. */
                assert_int_equal(poll(&ready, 1, 30), 0);
                log_info(LOG_lifecycle, "lone");
                assert_int_equal(poll(&ready, 1, 10000), 1);
                assert_true(read(reader.fd, line, sizeof(line)) > 0);
        }
        close(reader.fd);
}

static void *log_until_done(void *arg)
{
        atomic_bool *done = arg;
        intptr_t count = 0;

        for (; !atomic_load(done); count++) {
                log_warn(LOG_lifecycle, "raced");
                /* Not faster than the writer: the test reads all of it. */
                if (count % 10 == 0)
                        log_flush();
        }
        return (void *)count;
}

/* The writer is busy meanwhile, so that it is told at any moment of its work. */
static void reopens_after_the_file_was_moved(void **state)
{
        const struct log_folder *log = *state;
        SCOPED_MEM void *ctx = mem_root();
        atomic_bool done = false;
        pthread_t thread;
        char moved[100];

        snprintf(moved, sizeof(moved), "%s.1", log->file);
        log_folder_start(log, 0, 0);
        assert_int_equal(pthread_create(&thread, NULL, log_until_done, &done), 0);
        for (int round = 0; round < 20; round++) {
                log_warn(LOG_lifecycle, "before");
                log_flush();
                assert_int_equal(rename(log->file, moved), 0);
                log_reopen();
                log_warn(LOG_lifecycle, "after");
                log_flush();
                assert_int_equal(unlink(moved), 0);
                assert_int_equal(rename(log->file, moved), 0);
                log_reopen();
                log_flush();
                log_warn(LOG_lifecycle, "again");
                log_flush();
                const char *text = file_text(ctx, moved);
                assert_non_null(strstr(text, "\"message\":\"after\""));
                assert_null(strstr(text, "\"message\":\"again\""));
        }
        atomic_store(&done, true);
        pthread_join(thread, NULL);
}

static void half_a_line_of_a_crash_stays_alone(void **state)
{
        const struct log_folder *log = *state;
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *records = json_array();
        FILE *file = fopen(log->file, "w");

        assert_non_null(file);
        fputs("{\"half\":", file);
        fclose(file);
        log_folder_start(log, 0, 0);
        log_info(LOG_lifecycle, "next");
        log_stop();
        const char *text = file_text(ctx, log->file);
        assert_memory_equal(text, "{\"half\":\n{", 10);
        parse_lines(text + 9, records);
        assert_int_equal(count_messages(records, "next"), 1);
}

static void limit_file_size(rlim_t bytes)
{
        struct rlimit limit;

        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = bytes;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A limit of the file's size stands for a full disk: the last write is cut short. */
static void a_full_disk_is_survived(void **state)
{
        const struct log_folder *log = *state;
        const double errors = metric_value("flowgenix_log_write_errors_total");
        const char *sample = "flowgenix_log_records_dropped_total{level=\"ERROR\"}";
        const double dropped = metric_value(sample);
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *told = json_array();
        struct diversion diversion;

        log_folder_start(log, 0, 0);
        diversion_begin(&diversion, log, STDERR_FILENO);
        limit_file_size(5000);
        for (int i = 0; i < 20; i++) {
                for (int line = 0; line < 10; line++)
                        log_info(LOG_lifecycle, "filling");
                log_error(LOG_database, "failed");
                log_flush();
        }
        limit_file_size(RLIM_INFINITY);
        parse_lines(diversion_end(&diversion, ctx), told);
        assert_int_equal(count_messages(told, "log records cannot be written"), 1);
        assert_non_null(strstr(
                json_get_text(json_object_get(json_array_get(told, 0), "error"), "message", ""),
                "File too large"));
        assert_true(metric_value("flowgenix_log_write_errors_total") - errors >= 10);
        log_info(LOG_lifecycle, "room again");
        log_stop();
        SCOPED_JSON json_t *records = log_folder_records(log);
        assert_int_equal(count_messages(records, "room again"), 1);
        assert_int_equal(count_messages(records, "log records were dropped"), 1);
        assert_int_equal(count_messages(records, "failed") + count_messages(told, "failed"), 20);
        assert_int_equal(count_messages(told, "failed"), metric_value(sample) - dropped);
        assert_in_range(count_messages(records, "filling"), 10, 30);
}

static void a_folder_that_went_away_stops_no_one(void **state)
{
        const struct log_folder *log = *state;
        const double errors = metric_value("flowgenix_log_write_errors_total");
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *told = json_array();
        struct diversion diversion;
        char elsewhere[100];
        size_t infos, warns;

        snprintf(elsewhere, sizeof(elsewhere), "%s.moved", log->folder);
        diversion_begin(&diversion, log, STDERR_FILENO);
        log_folder_start(log, 4000, 5);
        log_warn(LOG_lifecycle, "many", LOG_INT("thread", 0), LOG_INT("i", 0));
        log_flush();
        assert_int_equal(rename(log->folder, elsewhere), 0);
        for (int i = 1; i < 100; i++)
                log_warn(LOG_lifecycle, "many", LOG_INT("thread", 0), LOG_INT("i", i));
        log_stop();
        assert_int_equal(rename(elsewhere, log->folder), 0);
        parse_lines(diversion_end(&diversion, ctx), told);
        assert_int_equal(count_messages(told, "log records cannot be written"), 1);
        assert_true(metric_value("flowgenix_log_write_errors_total") > errors + 1);
        SCOPED_JSON json_t *records = log_folder_records(log);
        check_many(records, &infos, &warns);
        assert_int_equal(warns, 100);
}

static void without_a_writer_lines_go_to_stderr(void **state)
{
        const struct log_folder *log = *state;
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *records = json_array();
        struct diversion diversion;

        diversion_begin(&diversion, log, STDERR_FILENO);
        log_warn(LOG_lifecycle, "before");
        log_flush();
        log_folder_start(log, 0, 0);
        log_warn(LOG_lifecycle, "during");
        log_stop();
        log_warn(LOG_lifecycle, "after");
        log_stop();
        parse_lines(diversion_end(&diversion, ctx), records);
        assert_int_equal(json_array_size(records), 2);
        assert_int_equal(count_messages(records, "before"), 1);
        assert_int_equal(count_messages(records, "after"), 1);
        SCOPED_JSON json_t *written = log_folder_records(log);
        assert_int_equal(count_messages(written, "during"), 1);
        assert_int_equal(json_array_size(written), 1);
}

static void stdout_is_the_default(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *records = json_array();
        const struct log_options options = {.level = LOG_LEVEL_INFO};
        struct error err = ERROR_INIT;
        struct diversion diversion;

        diversion_begin(&diversion, *state, STDOUT_FILENO);
        enum status status = log_start(&options, &err);
        log_info(LOG_lifecycle, "seen");
        log_stop();
        parse_lines(diversion_end(&diversion, ctx), records);
        assert_int_equal(status, STATUS_OK);
        assert_int_equal(count_messages(records, "seen"), 1);
}

static void start_fails_in_plain_words(void **state)
{
        const struct log_folder *log = *state;
        const struct log_options wrong = {.file = "/nonexistent/folder/log"};
        const struct log_options again = {.file = log->file};
        struct error err = ERROR_INIT;

        assert_int_equal(log_start(&wrong, &err), STATUS_UNAVAILABLE);
        assert_string_equal(err.message, "log file /nonexistent/folder/log cannot be opened: "
                                         "No such file or directory");
        log_folder_start(log, 0, 0);
        assert_int_equal(log_start(&again, &err), STATUS_CONFLICT);
}

/* Between log_stop and log_start a line is in the file or on stderr, and only once. */
static void nothing_is_lost_over_stop_and_start(void **state)
{
        const struct log_folder *log = *state;
        SCOPED_MEM void *ctx = mem_root();
        struct diversion diversion;
        atomic_bool done = false;
        pthread_t thread;
        void *count;

        diversion_begin(&diversion, log, STDERR_FILENO);
        assert_int_equal(pthread_create(&thread, NULL, log_until_done, &done), 0);
        for (int i = 0; i < 20; i++) {
                log_folder_start(log, 0, 0);
                log_warn(LOG_lifecycle, "other");
                log_flush();
                log_stop();
        }
        atomic_store(&done, true);
        pthread_join(thread, &count);
        SCOPED_JSON json_t *records = json_array();
        parse_lines(diversion_end(&diversion, ctx), records);
        parse_lines(file_text(ctx, log->file), records);
        assert_int_equal(count_messages(records, "raced"), (intptr_t)count);
        assert_int_equal(count_messages(records, "other"), 20);
}

int main(void)
{
#define WRITER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                WRITER_TEST(without_a_writer_lines_go_to_stderr),
                WRITER_TEST(threads_log_while_files_rotate),
                WRITER_TEST(only_so_many_files_are_kept),
                WRITER_TEST(none_is_kept_when_none_is_wanted),
                WRITER_TEST(a_full_ring_drops_info_and_says_so),
                WRITER_TEST(warn_that_finds_no_room_goes_to_stderr),
                WRITER_TEST(a_lone_line_is_written_without_a_flush),
                WRITER_TEST(reopens_after_the_file_was_moved),
                WRITER_TEST(half_a_line_of_a_crash_stays_alone),
                WRITER_TEST(a_full_disk_is_survived),
                WRITER_TEST(a_folder_that_went_away_stops_no_one),
                WRITER_TEST(stdout_is_the_default),
                WRITER_TEST(start_fails_in_plain_words),
                WRITER_TEST(nothing_is_lost_over_stop_and_start),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
