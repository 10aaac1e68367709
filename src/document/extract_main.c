/* SPDX-License-Identifier: Apache-2.0 */
/* The child process after exec: confines itself, and only then looks at the file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "document/document.h"
#include "document/extract.h"
#include "document/sandbox.h"

static void say(const char *words)
{
        if (write(STDERR_FILENO, words, strlen(words)) < 0)
                return; /* nobody is there to tell */
}

static int fail(const struct error *err)
{
        say(err->message);
        say("\n");
        return EXTRACT_EXIT_REASON;
}

static bool write_out(const char *data, size_t length, void *arg)
{
        (void)arg;
        while (length) {
                ssize_t written = write(STDOUT_FILENO, data, length);

                if (written <= 0)
                        return false;
                data += written;
                length -= (size_t)written;
        }
        return true;
}

/* Pages of the file come from the page cache as they are used. */
static enum status map_file(const char **ret, size_t *ret_length, struct error *err)
{
        struct stat about;
        void *data;

        if (fstat(STDIN_FILENO, &about) || about.st_size <= 0)
                return error_set(err, STATUS_UNPROCESSABLE, "the file is empty");
        data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
        if (data == MAP_FAILED)
                return error_set(err, STATUS_UNPROCESSABLE, "out of memory");
        *ret = data;
        *ret_length = (size_t)about.st_size;
        return STATUS_OK;
}

static int read_here(reader_fn *read, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct text_out *out = mem_new(ctx, struct text_out);
        const char *data = NULL;
        size_t length = 0;

        text_out_init(out, write_out, NULL);
        if (map_file(&data, &length, err) || reader_prepare(err) ||
            sandbox_enter(SANDBOX_COMPUTE, NULL, err) || read(ctx, data, length, out, err))
                return fail(err);
        text_out_flush(out);
        return 0;
}

static const char *find_pdftotext(void)
{
        static const char *const places[] = {"/usr/bin/pdftotext", "/usr/local/bin/pdftotext"};

        for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
                if (access(places[i], X_OK) == 0)
                        return places[i];
        }
        return NULL;
}

/* pdftotext reads the file by a name of descriptor 0, so that it can go back and forth in it. */
static int become_pdftotext(struct error *err)
{
        const char *program = find_pdftotext();
        char *arguments[] = {"pdftotext",       "-enc", "UTF-8", "-eol", "unix",
                             "/proc/self/fd/0", "-",    NULL};
        char *environment[] = {NULL};

        if (!program) {
                error_set(
                        err, STATUS_INTERNAL,
                        "PDF files need pdftotext, which is not installed (package poppler-utils)");
                return fail(err);
        }
        if (sandbox_enter(SANDBOX_RUN, program, err))
                return fail(err);
        execve(program, arguments, environment);
        error_set(err, STATUS_INTERNAL, "pdftotext cannot be started: %s", strerror(errno));
        return fail(err);
}

int document_extract_child(const char *content_type)
{
        const struct format *format = format_by_type(content_type);
        struct error err = ERROR_INIT;

        if (!format) {
                error_set(&err, STATUS_UNSUPPORTED_TYPE, "files of this type cannot be read");
                return fail(&err);
        }
        /* Nothing else of the program is to run inside the confinement, not even its exit. */
        _exit(format->read ? read_here(format->read, &err) : become_pdftotext(&err));
}
