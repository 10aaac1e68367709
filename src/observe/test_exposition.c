/* SPDX-License-Identifier: Apache-2.0 */
/* The exposition as text: both formats line by line, promtool's opinion, content negotiation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "observe/metrics.h"
#include "observe/trace.h"

#include <cmocka.h>

enum { EXPOSITION_MAX = 64 * 1024 * 1024 };

extern char **environ;

/* Something of everything. */
static int use_metrics(void **state)
{
        struct trace trace;

        (void)state;
        trace_begin(&trace, NULL);
        TRACE_SCOPE(&trace);
        metric_add(METRIC_http_requests_total, 3, "GET", "/api/v1/workflows/{id}", "200");
        metric_add(METRIC_http_requests_total, 1, "POST", "/\"quoted\\\n", "500");
        metric_observe(METRIC_http_request_duration_seconds, 0.01, "GET", "/health");
        metric_observe(METRIC_http_request_duration_seconds, 77, "POST", "/slow");
        metric_observe(METRIC_llm_request_duration_seconds, 450.5, "gemini", "flash");
        metric_add(METRIC_llm_cost_dollars_total, 0.000125, "gemini", "flash");
        metric_observe(METRIC_document_upload_bytes, 123456);
        metric_set(METRIC_db_pool_connections, 2, "idle");
        metric_add(METRIC_log_records_total, 1, "INFO");
        return 0;
}

static char *scrape(const void *ctx, enum metrics_format format)
{
        struct buffer out = BUFFER_INIT(ctx, EXPOSITION_MAX);

        metrics_write(&out, format);
        return out.data;
}

/* What is known of the family that the lines belong to. */
struct family {
        char name[128], type[16];
        char series[256]; /* buckets up to their `le`; "" behind the last */
        double bound, count;
        json_t *families, *samples; /* what was seen, as each may be there once */
};

static void see_once(json_t *seen, const char *text, size_t length)
{
        char key[512];

        assert_true(length < sizeof(key));
        memcpy(key, text, length);
        key[length] = '\0';
        if (json_object_get(seen, key))
                fail_msg("twice: %s", key);
        json_object_set_new(seen, key, json_true());
}

/* "# TYPE name type": begins a family in OpenMetrics, follows HELP in text. */
static void check_metadata(const char *line, enum metrics_format format, struct family *family)
{
        char kind[8], name[128], text[256];

        assert_int_equal(sscanf(line, "# %7[A-Z] %127[a-z0-9_] %255[^\n]", kind, name, text), 3);
        bool first = strcmp(kind, format == METRICS_TEXT ? "HELP" : "TYPE") == 0;
        if (first) {
                see_once(family->families, name, strlen(name));
                snprintf(family->name, sizeof(family->name), "%s", name);
        }
        assert_string_equal(name, family->name);
        if (strcmp(kind, "TYPE") == 0)
                snprintf(family->type, sizeof(family->type), "%.15s", text);
        if (strcmp(kind, "UNIT") == 0) {
                assert_int_equal(format, METRICS_OPENMETRICS);
                assert_string_equal(name + strlen(name) - strlen(text), text);
        }
        if (strcmp(kind, "HELP") == 0)
                assert_true(strpbrk(text, "\"\\") == NULL && text[strlen(text) - 1] == '.');
}

/* The sample's name is its family's with the ending that its type and format ask for. */
static void check_name(const char *line, size_t length, enum metrics_format format,
                       const struct family *family)
{
        size_t base = strlen(family->name);
        char ending[128];

        assert_true(length >= base && strncmp(line, family->name, base) == 0);
        snprintf(ending, sizeof(ending), "%.*s", (int)(length - base), line + base);
        if (strcmp(family->type, "histogram") == 0) {
                assert_true(strcmp(ending, "_bucket") == 0 || strcmp(ending, "_sum") == 0 ||
                            strcmp(ending, "_count") == 0);
        } else if (strcmp(family->type, "counter") == 0) {
                assert_string_equal(ending, format == METRICS_OPENMETRICS ? "_total" : "");
                assert_memory_equal(line + length - 6, "_total", 6);
        } else {
                assert_string_equal(family->type, "gauge");
                assert_string_equal(ending, "");
        }
}

static void check_bucket(const char *line, const char *le, double value, struct family *family)
{
        const char *bound = le + strlen("le=\"");
        size_t length = (size_t)(le - line);
        bool last = strncmp(bound, "+Inf\"", 5) == 0;

        /* The first of a series; the one before it was closed by +Inf. */
        if (!family->series[0]) {
                snprintf(family->series, sizeof(family->series), "%.*s", (int)length, line);
                family->bound = -INFINITY;
                family->count = 0;
        }
        assert_int_equal(strlen(family->series), length);
        assert_memory_equal(family->series, line, length);
        assert_true(strtod(bound, NULL) > family->bound);
        assert_true(value >= family->count);
        /* As Prometheus has them: always with a point. */
        assert_true(last || memchr(bound, '.', strcspn(bound, "\"")));
        family->bound = strtod(bound, NULL);
        family->count = value;
        if (last)
                family->series[0] = '\0';
}

/* Bounds and counts rise to +Inf, then the sum, then the count, which is that of +Inf. */
static void check_histogram(const char *line, size_t name, const char *value, struct family *family)
{
        const char *le = strstr(line, "le=\"");

        if (le && le < value) {
                check_bucket(line, le, strtod(value, NULL), family);
                return;
        }
        assert_string_equal(family->series, "");
        if (strncmp(line + name - 6, "_count", 6) == 0)
                assert_true(strtod(value, NULL) == family->count);
}

static void check_sample(const char *line, enum metrics_format format, struct family *family)
{
        const char *end = strchr(line, '\n');
        const char *exemplar = strstr(line, " # {");
        size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
        const char *value = line + name;
        char *behind;

        check_name(line, name, format, family);
        /* No escaped `"}` in the labels of this test. */
        if (*value == '{')
                value = strstr(value, "\"} ") + 2;
        assert_int_equal(*value, ' ');
        see_once(family->samples, line, (size_t)(value - line));
        strtod(value + 1, &behind);
        assert_true(behind > value + 1);
        if (exemplar && exemplar < end)
                assert_true(behind == exemplar && format == METRICS_OPENMETRICS);
        else
                assert_ptr_equal(behind, end);
        if (strcmp(family->type, "histogram") == 0)
                check_histogram(line, name, value + 1, family);
}

static void check_exposition(enum metrics_format format)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *families = json_object(), *samples = json_object();
        struct family family = {.families = families, .samples = samples};
        const char *line = scrape(ctx, format);
        size_t lines = 0;

        for (; *line && strcmp(line, "# EOF\n") != 0; lines++) {
                if (*line == '#')
                        check_metadata(line, format, &family);
                else
                        check_sample(line, format, &family);
                line = strchr(line, '\n');
                assert_non_null(line);
                line++;
        }
        assert_true(lines > 100);
        assert_string_equal(line, format == METRICS_OPENMETRICS ? "# EOF\n" : "");
}

static void text_is_well_formed(void **state)
{
        (void)state;
        check_exposition(METRICS_TEXT);
}

static void openmetrics_is_well_formed(void **state)
{
        (void)state;
        check_exposition(METRICS_OPENMETRICS);
}

static void formats_differ_where_they_must(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const char *text = scrape(ctx, METRICS_TEXT), *open = scrape(ctx, METRICS_OPENMETRICS);

        (void)state;
        assert_non_null(strstr(text, "\n# TYPE flowgenix_http_requests_total counter\n"));
        assert_non_null(strstr(open, "# TYPE flowgenix_http_requests counter\n"));
        assert_non_null(strstr(open, "\n# TYPE flowgenix_http_request_duration_seconds histogram\n"
                                     "# UNIT flowgenix_http_request_duration_seconds seconds\n"
                                     "# HELP flowgenix_http_request_duration_seconds Time "));
        assert_non_null(strstr(open, "\n# TYPE process_cpu_seconds counter\n"
                                     "# UNIT process_cpu_seconds seconds\n"));
        assert_non_null(strstr(open, "\nprocess_cpu_seconds_total "));
        assert_non_null(strstr(open, "\n# UNIT flowgenix_document_upload_bytes bytes\n"));
        assert_null(strstr(text, "# UNIT"));
        assert_non_null(strstr(text, "\nflowgenix_http_requests_total{method=\"POST\",route=\"/"
                                     "\\\"quoted\\\\\\n\",status=\"500\"} 1\n"));
        assert_non_null(strstr(text, "_bucket{provider=\"gemini\",model=\"flash\",le=\"600.0\"} 1"
                                     "\n"));
        assert_non_null(strstr(open, "le=\"0.0005\"} "));
}

/* Runs promtool on the text; its exit status, or -1 with errno if it cannot be started. */
static int run_promtool(const char *input, const char *output)
{
        char *const arguments[] = {(char[]){"promtool"}, (char[]){"check"}, (char[]){"metrics"},
                                   NULL};
        posix_spawn_file_actions_t actions;
        int status;
        pid_t pid;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output,
                                         O_WRONLY | O_CREAT | O_TRUNC, 0600);
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
        errno = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (errno)
                return -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void promtool_finds_no_fault(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char folder[] = "/tmp/flowgenix-metrics.XXXXXX", input[64], output[64], said[4096] = "";

        (void)state;
        assert_non_null(mkdtemp(folder));
        snprintf(input, sizeof(input), "%s/metrics", folder);
        snprintf(output, sizeof(output), "%s/said", folder);
        FILE *file = fopen(input, "w");
        assert_non_null(file);
        fputs(scrape(ctx, METRICS_TEXT), file);
        fclose(file);
        int status = run_promtool(input, output), failure = errno;
        file = fopen(output, "r");
        if (file) {
                said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
                fclose(file);
        }
        unlink(input);
        unlink(output);
        rmdir(folder);
        if (status < 0) {
                print_message("skipped: promtool (package prometheus): %s\n", strerror(failure));
                skip();
        }
        if (status)
                fail_msg("promtool ended with %d: %s", status, said);
}

static void openmetrics_only_to_who_names_it(void **state)
{
        static const struct {
                const char *accept;
                enum metrics_format expected;
        } cases[] = {
                {NULL, METRICS_TEXT},
                {"", METRICS_TEXT},
                {"*/*", METRICS_TEXT},
                {"text/plain", METRICS_TEXT},
                {"text/html,application/xhtml+xml,*/*;q=0.8", METRICS_TEXT},
                {"application/openmetrics-text", METRICS_OPENMETRICS},
                {"Application/OpenMetrics-Text; Version=\"1.0.0\"", METRICS_OPENMETRICS},
                {"application/openmetrics-text;version=0.0.1", METRICS_TEXT},
                {"application/openmetrics-text;version=2.0.0", METRICS_TEXT},
                {"application/openmetrics-text;q=0", METRICS_TEXT},
                {"application/openmetrics-text;q=0.2,text/plain;q=0.9", METRICS_TEXT},
                {"text/plain;q=0.2 , application/openmetrics-text ; q=0.9", METRICS_OPENMETRICS},
                {"application/openmetrics-textual", METRICS_TEXT},
                {";;;,,,=,q=;", METRICS_TEXT},
                {"application/openmetrics-text;q=", METRICS_TEXT},
                /* Prometheus 3 */
                {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                 "application/openmetrics-text;version=0.0.1;q=0.5,"
                 "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
                 "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                 METRICS_OPENMETRICS},
                /* Prometheus 3 told to use the text format */
                {"text/plain;version=0.0.4;q=0.6,*/*;q=0.5", METRICS_TEXT},
        };
        const char *type;

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
                if (metrics_negotiate(cases[i].accept, &type) != cases[i].expected)
                        fail_msg("Accept: %s", cases[i].accept);
                assert_string_equal(type, cases[i].expected == METRICS_TEXT
                                                  ? "text/plain; version=0.0.4; charset=utf-8"
                                                  : "application/openmetrics-text; version=1.0.0; "
                                                    "charset=utf-8");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_is_well_formed),
                cmocka_unit_test(openmetrics_is_well_formed),
                cmocka_unit_test(formats_differ_where_they_must),
                cmocka_unit_test(promtool_finds_no_fault),
                cmocka_unit_test(openmetrics_only_to_who_names_it),
        };

        return cmocka_run_group_tests(tests, use_metrics, NULL);
}
