/* SPDX-License-Identifier: Apache-2.0 */
/* The child process for real: this program is its own child (`extract-child`). Headings show as
 * "<1:Title>", page ends as "|". */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "document/document.h"
#include "document/extract.h"
#include "document/sandbox.h"
#include "document/test_files.h"

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SHADOW_MEMORY 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOW_MEMORY 1
#endif

#define PDF  "application/pdf"
#define DOCX "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

/* --- Running -----------------------------------------------------------------------------------*/
struct extraction {
        struct buffer text;
        struct error err;
        uint64_t pages;
        int64_t took_ms;
        enum status sink_fails;
};

static enum status on_text(void *arg, const char *text, size_t length, struct error *err)
{
        struct extraction *extraction = arg;

        buffer_append(&extraction->text, text, length);
        if (extraction->sink_fails)
                return error_set(err, extraction->sink_fails, "the taker fails");
        return STATUS_OK;
}

static enum status on_heading(void *arg, unsigned level, const char *title, size_t length,
                              struct error *err)
{
        struct extraction *extraction = arg;

        (void)err;
        buffer_printf(&extraction->text, "<%u:%.*s>", level, (int)length, title);
        return STATUS_OK;
}

static enum status on_page_end(void *arg, struct error *err)
{
        struct extraction *extraction = arg;

        (void)err;
        buffer_char(&extraction->text, '|');
        return STATUS_OK;
}

static int file_of(struct bytes bytes)
{
        int fd = memfd_create("document", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes.data, bytes.length), bytes.length);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static struct extraction run_with(const void *ctx, const char *type, struct bytes bytes,
                                  struct extract_limits limits, int cancel, enum status sink_fails)
{
        struct extraction extraction = {
                .text = BUFFER_INIT(ctx, 128 << 20), .err = ERROR_INIT, .sink_fails = sink_fails};
        const struct frames_sink sink = {on_text, on_heading, on_page_end, &extraction};
        SCOPED_FD int file = file_of(bytes);
        const struct extract_job job = {
                .program = "/proc/self/exe",
                .format = format_by_type(type),
                .file = file,
                .cancel = cancel,
                .limits = limits,
                .sink = &sink,
        };
        int64_t start = clock_monotonic_us();
        enum status status = extract_run(&job, &extraction.pages, &extraction.err);

        assert_int_equal(status, extraction.err.status);
        extraction.took_ms = (clock_monotonic_us() - start) / 1000;
        return extraction;
}

static struct extraction run(const void *ctx, const char *type, struct bytes bytes)
{
        return run_with(ctx, type, bytes, EXTRACT_LIMITS_DEFAULT, -1, STATUS_OK);
}

static void reads(const char *type, struct bytes bytes, const char *wanted)
{
        SCOPED_MEM void *ctx = mem_root();
        struct extraction extraction = run(ctx, type, bytes);

        if (extraction.err.status)
                fail_msg("%s", extraction.err.message);
        assert_string_equal(buffer_string(&extraction.text), wanted);
}

/* Words for people: no paths, no codes. */
static void fails(const char *type, struct bytes bytes, enum status status, const char *because)
{
        SCOPED_MEM void *ctx = mem_root();
        struct extraction extraction = run(ctx, type, bytes);

        assert_int_equal(extraction.err.status, status);
        if (!strstr(extraction.err.message, because))
                fail_msg("'%s' does not say '%s'", extraction.err.message, because);
        assert_null(strchr(extraction.err.message, '/'));
}
#define FAILS(type, bytes, because) fails((type), (bytes), STATUS_UNPROCESSABLE, (because))
#define BYTES(literal)              ((struct bytes){(char *)(uintptr_t)(literal), sizeof(literal) - 1})

/* --- Formats -----------------------------------------------------------------------------------*/
static void every_format_is_read(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        static const char *const pages[] = {"First page (one)\nsecond line", "Second page"};

        (void)state;
        reads(PDF, pdf_new(ctx, pages, 2), "First page (one)\nsecond line\n\n|Second page\n\n|");
        reads(DOCX, docx_new(ctx, "<w:p><w:r><w:t>Word text</w:t></w:r></w:p>", NULL),
              "Word text\n\n");
        reads("text/plain", BYTES("caf\xE9\n"), "caf\xC3\xA9\n");
        reads("text/plain", BYTES("\xFF\xFEh\0i\0"), "hi");
        reads("text/markdown", BYTES("# Top\ntext"), "<1:Top>\n\ntext\n");
        reads("text/html", BYTES("<h2>Top</h2>text"), "<2:Top>\n\ntext");
        reads("text/csv", BYTES("a,b\n1,2\n"), "a: 1\nb: 2\n\n");
}

static void ten_thousand_pages_are_read(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct extraction extraction = run(ctx, PDF, pdf_of_pages(ctx, 10000));

        (void)state;
        assert_int_equal(extraction.err.status, STATUS_OK);
        assert_int_equal(extraction.pages, 10000);
        assert_non_null(strstr(buffer_string(&extraction.text), "Page 9999 of the test."));
}

/* --- Hostile files -----------------------------------------------------------------------------*/
static void damaged_files_say_so(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        static const char *const page[] = {"Some text"};
        struct bytes good = pdf_new(ctx, page, 1), docx = docx_new(ctx, "<w:p/>", NULL);

        (void)state;
        FAILS(PDF, ((struct bytes){good.data, good.length / 5}), "damaged");
        FAILS(PDF, BYTES("%PDF-1.7\n"), "damaged");
        FAILS(PDF, BYTES("Just text"), "damaged");
        FAILS(DOCX, ((struct bytes){docx.data, docx.length / 2}), "damaged");
        FAILS(DOCX, BYTES("PK\x03\x04 no archive"), "damaged");
        FAILS("text/plain", BYTES(""), "empty");
}

static void a_password_is_told(void **state)
{
        SCOPED_MEM void *ctx = mem_root();

        (void)state;
        FAILS(PDF, pdf_encrypted(ctx), "protected by a password");
}

static void a_file_without_text_is_told(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        static const char *const scans[] = {NULL, NULL};

        (void)state;
        FAILS(PDF, pdf_new(ctx, scans, 2), "no text found: it seems to be a scan");
        FAILS("text/plain", BYTES(" \n\t\n "), "no text found");
        FAILS(DOCX, docx_new(ctx, "<w:p/>", NULL), "no text found");
        FAILS("text/html", BYTES("<script>x</script>"), "no text found");
}

static void bombs_are_stopped(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const char *paragraph = "<w:p><w:r><w:t>bomb bomb bomb bomb bomb</w:t></w:r></w:p>";
        size_t length;
        char *html;

        (void)state;
        FAILS(DOCX, docx_new(ctx, repeated(ctx, paragraph, 500000, NULL), NULL),
              "unpacks to much more");
        html = repeated(ctx, "<div>", 200000, &length);
        FAILS("text/html", ((struct bytes){html, length}), "too deep");
}

/* --- Limits ------------------------------------------------------------------------------------*/
static void the_time_limit_ends_it(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct extract_limits limits = EXTRACT_LIMITS_DEFAULT;
        struct extraction extraction;

        (void)state;
        limits.seconds = 1;
        extraction = run_with(ctx, PDF, pdf_slow(ctx, 400000), limits, -1, STATUS_OK);
        assert_int_equal(extraction.err.status, STATUS_TIMEOUT);
        assert_non_null(strstr(extraction.err.message, "longer than 1 seconds"));
        assert_true(extraction.took_ms < 5000);
}

static void the_memory_limit_ends_it(void **state)
{
#ifdef SHADOW_MEMORY
        (void)state;
        skip(); /* a sanitizer's own memory is past any limit */
#else
        SCOPED_MEM void *ctx = mem_root();
        struct extract_limits limits = EXTRACT_LIMITS_DEFAULT;
        struct extraction extraction;
        size_t length;
        char *html = repeated(ctx, "<i>a</i>", 500000, &length);

        (void)state;
        limits.memory = 64 << 20;
        extraction =
                run_with(ctx, "text/html", (struct bytes){html, length}, limits, -1, STATUS_OK);
        assert_int_equal(extraction.err.status, STATUS_UNPROCESSABLE);
        assert_non_null(strstr(extraction.err.message, "more than 64 MiB of memory"));
        extraction = run_with(ctx, PDF, pdf_slow(ctx, 400000), limits, -1, STATUS_OK);
        assert_int_equal(extraction.err.status, STATUS_UNPROCESSABLE);
#endif
}

static void text_and_pages_are_bounded(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct extract_limits limits = EXTRACT_LIMITS_DEFAULT;
        struct extraction extraction;
        size_t length;
        char *text = repeated(ctx, "twelve bytes", 1 << 20, &length);

        (void)state;
        limits.output.bytes = 1 << 20;
        extraction =
                run_with(ctx, "text/plain", (struct bytes){text, length}, limits, -1, STATUS_OK);
        assert_int_equal(extraction.err.status, STATUS_TOO_LARGE);
        assert_non_null(strstr(extraction.err.message, "1 MiB"));
        assert_true(extraction.text.length <= 1 << 20);
        limits.output.pages = 99;
        extraction = run_with(ctx, PDF, pdf_of_pages(ctx, 100), limits, -1, STATUS_OK);
        assert_int_equal(extraction.err.status, STATUS_TOO_LARGE);
        assert_non_null(strstr(extraction.err.message, "99 pages"));
}

static void a_failing_taker_ends_it(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct extraction extraction = run_with(ctx, PDF, pdf_of_pages(ctx, 5000),
                                                EXTRACT_LIMITS_DEFAULT, -1, STATUS_UNAVAILABLE);

        (void)state;
        assert_int_equal(extraction.err.status, STATUS_UNAVAILABLE);
        extraction = run_with(ctx, "text/plain", BYTES("text"), EXTRACT_LIMITS_DEFAULT, -1,
                              STATUS_UNAVAILABLE);
        assert_int_equal(extraction.err.status, STATUS_UNAVAILABLE);
}

static void *cancel_soon(void *arg)
{
        const struct timespec pause = {.tv_nsec = 300000000};

        nanosleep(&pause, NULL);
        eventfd_write(*(int *)arg, 1);
        return NULL;
}

static void it_can_be_cancelled(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        int cancel = eventfd(0, EFD_CLOEXEC);
        struct extraction extraction;
        pthread_t thread;

        (void)state;
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
        extraction = run_with(ctx, PDF, pdf_slow(ctx, 400000), EXTRACT_LIMITS_DEFAULT, cancel,
                              STATUS_OK);
        pthread_join(thread, NULL);
        close(cancel);
        assert_int_equal(extraction.err.status, STATUS_CANCELLED);
        assert_true(extraction.took_ms < 3000);
}

static void no_child_is_left(void **state)
{
        (void)state;
        errno = 0;
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void a_program_that_is_not_there_is_told(void **state)
{
        struct extraction extraction = {.text = BUFFER_INIT(NULL, 100), .err = ERROR_INIT};
        const struct frames_sink sink = {on_text, on_heading, on_page_end, &extraction};
        SCOPED_FD int file = file_of(BYTES("text"));
        const struct extract_job job = {.program = "/nonexistent/program",
                                        .format = format_by_type("text/plain"),
                                        .file = file,
                                        .cancel = -1,
                                        .limits = EXTRACT_LIMITS_DEFAULT,
                                        .sink = &sink};

        (void)state;
        assert_int_equal(extract_run(&job, &extraction.pages, &extraction.err), STATUS_INTERNAL);
}

/* --- Confinement -------------------------------------------------------------------------------*/
/* Runs `probe` in a confined process; its return value is the exit status. */
static int confined(enum sandbox_profile profile, const char *program, int (*probe)(void))
{
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                struct error err = ERROR_INIT;

                if (sandbox_enter(profile, program, &err))
                        _exit(200);
                _exit(probe());
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static bool denied(long result)
{
        return result < 0 && (errno == EPERM || errno == EACCES);
}

static int probe_network(void)
{
        int pair[2];

        if (!denied(socket(AF_INET, SOCK_STREAM, 0)) || !denied(socket(AF_UNIX, SOCK_DGRAM, 0)))
                return 1;
        return denied(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) ? 0 : 2;
}

static int probe_writes(void)
{
        if (!denied(open("/tmp/flowgenix-probe", O_WRONLY | O_CREAT, 0600)))
                return 1;
        if (!denied(open("/tmp", O_TMPFILE | O_RDWR, 0600)) ||
            !denied(mkdir("/tmp/flowgenix-p", 0700)))
                return 2;
        return denied(unlink("/etc/hostname")) && denied(rename("/tmp/a", "/tmp/b")) ? 0 : 3;
}

static int probe_file_size(void)
{
        struct rlimit size;

        return getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_max == 0 ? 0 : 1;
}

static int probe_processes(void)
{
        if (!denied(fork()) || !denied(kill(getppid(), 0)))
                return 1;
        return denied(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)) ? 0 : 2;
}

static int probe_no_files(void)
{
        if (!denied(open("/etc/passwd", O_RDONLY)) || !denied(open("/proc/self/mem", O_RDWR)))
                return 1;
        return denied(access("/etc/passwd", R_OK)) && denied(read(STDIN_FILENO, NULL, 0)) ? 0 : 2;
}

static int probe_no_exec(void)
{
        char *arguments[] = {"true", NULL};

        if (!denied(execv("/bin/true", arguments)))
                return 1;
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                               MAP_FAILED
                       ? 0
                       : 2;
}

/* With Landlock only; a kernel without it lets files be read. */
static int probe_foreign_files(void)
{
        int fd = open("/usr/share/common-licenses/GPL-3", O_RDONLY);

        if (fd < 0)
                fd = open("/usr/share", O_RDONLY);
        if (fd < 0)
                return 1;
        return denied(open("/etc/passwd", O_RDONLY)) ? 0 : 2;
}

static int probe_other_program(void)
{
        char *arguments[] = {"true", NULL};

        execv("/bin/true", arguments);
        return errno == EACCES ? 0 : 1;
}

static void a_reader_can_open_nothing(void **state)
{
        (void)state;
        assert_int_equal(confined(SANDBOX_COMPUTE, NULL, probe_network), 0);
        assert_int_equal(confined(SANDBOX_COMPUTE, NULL, probe_writes), 0);
        assert_int_equal(confined(SANDBOX_COMPUTE, NULL, probe_processes), 0);
        assert_int_equal(confined(SANDBOX_COMPUTE, NULL, probe_no_files), 0);
        assert_int_equal(confined(SANDBOX_COMPUTE, NULL, probe_no_exec), 0);
}

static bool has_landlock(void)
{
        return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static void pdftotext_can_only_read_what_it_needs(void **state)
{
        const char *program = "/usr/bin/pdftotext";

        (void)state;
        assert_int_equal(confined(SANDBOX_RUN, program, probe_network), 0);
        assert_int_equal(confined(SANDBOX_RUN, program, probe_writes), 0);
        assert_int_equal(confined(SANDBOX_RUN, program, probe_processes), 0);
        assert_int_equal(confined(SANDBOX_RUN, program, probe_file_size), 0);
        if (!has_landlock())
                skip();
        assert_int_equal(confined(SANDBOX_RUN, program, probe_foreign_files), 0);
        assert_int_equal(confined(SANDBOX_RUN, program, probe_other_program), 0);
}

static void the_child_sees_no_environment_and_no_descriptors(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct extract_limits limits = EXTRACT_LIMITS_DEFAULT;
        int cancel = eventfd(0, EFD_CLOEXEC), open_in_parent = open("/etc/passwd", O_RDONLY);
        struct extraction extraction;

        /* Without CLOEXEC: the child is to close it. /bin/sh stands for the program, and prints. */
        (void)state;
        assert_true(open_in_parent >= 0);
        setenv("SECRET_KEY", "not for children", 1);
        const struct frames_sink sink = {on_text, on_heading, on_page_end, &extraction};
        extraction = (struct extraction){.text = BUFFER_INIT(ctx, 1 << 20), .err = ERROR_INIT};
        char script[] = "/tmp/flowgenix-child.XXXXXX";
        int fd = mkstemp(script);
        const char *text = "#!/bin/sh\n/usr/bin/env\nls /proc/self/fd\nulimit -c\n";

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        fchmod(fd, 0700);
        close(fd);
        SCOPED_FD int file = file_of(BYTES("x"));
        limits.memory = (uint64_t)4 << 30;
        const struct extract_job job = {.program = script,
                                        .format = format_by_type("text/plain"),
                                        .file = file,
                                        .cancel = cancel,
                                        .limits = limits,
                                        .sink = &sink};
        assert_int_equal(extract_run(&job, &extraction.pages, &extraction.err), STATUS_OK);
        unlink(script);
        close(cancel);
        close(open_in_parent);
        unsetenv("SECRET_KEY");
        assert_null(strstr(buffer_string(&extraction.text), "SECRET_KEY"));
        assert_null(strstr(buffer_string(&extraction.text), "HOME"));
        /* 3 is the folder that ls reads. */
        assert_non_null(strstr(buffer_string(&extraction.text), "0\n1\n2\n3\n0\n"));
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_format_is_read),
                cmocka_unit_test(ten_thousand_pages_are_read),
                cmocka_unit_test(damaged_files_say_so),
                cmocka_unit_test(a_password_is_told),
                cmocka_unit_test(a_file_without_text_is_told),
                cmocka_unit_test(bombs_are_stopped),
                cmocka_unit_test(the_time_limit_ends_it),
                cmocka_unit_test(the_memory_limit_ends_it),
                cmocka_unit_test(text_and_pages_are_bounded),
                cmocka_unit_test(a_failing_taker_ends_it),
                cmocka_unit_test(it_can_be_cancelled),
                cmocka_unit_test(a_program_that_is_not_there_is_told),
                cmocka_unit_test(a_reader_can_open_nothing),
                cmocka_unit_test(pdftotext_can_only_read_what_it_needs),
                cmocka_unit_test(the_child_sees_no_environment_and_no_descriptors),
                cmocka_unit_test(no_child_is_left),
        };

        if (argc == 3 && strcmp(argv[1], "extract-child") == 0)
                return document_extract_child(argv[2]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
