/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side: reads what the child writes, within a time limit that holds whatever the
 * child does, and turns its end into words. */
#include "document/extract.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "document/extract_child.h"

enum { BLOCK_BYTES = 64 * 1024, WORDS_BYTES = 2048 };

struct run {
        const struct extract_job *job;
        struct child child;
        struct frames frames;
        int64_t deadline_us;
        bool text_open, words_open, ended;
        size_t words_length;
        char words[WORDS_BYTES]; /* the first of what came on descriptor 2 */
        char block[BLOCK_BYTES];
};

static enum status too_slow(const struct run *run, struct error *err)
{
        return error_set(err, STATUS_TIMEOUT, "reading the file took longer than %u seconds",
                         run->job->limits.seconds);
}

/* --- Reading -----------------------------------------------------------------------------------*/
static enum status read_text(struct run *run, struct error *err)
{
        ssize_t length = read(run->child.text, run->block, sizeof(run->block));

        if (length < 0 && (errno == EINTR || errno == EAGAIN))
                return STATUS_OK;
        if (length <= 0) {
                run->text_open = false;
                return STATUS_OK;
        }
        return frames_feed(&run->frames, run->block, (size_t)length, err);
}

static void read_words(struct run *run)
{
        char rest[512];
        size_t room = sizeof(run->words) - 1 - run->words_length;
        char *to = room ? run->words + run->words_length : rest;
        ssize_t length = read(run->child.words, to, room ? room : sizeof(rest));

        if (length < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        run->words_open = length > 0;
        if (room && length > 0)
                run->words_length += (size_t)length;
}

enum { WATCH_TEXT, WATCH_WORDS, WATCH_END, WATCH_CANCEL, WATCH_COUNT };

static void watch(const struct run *run, struct pollfd fds[WATCH_COUNT])
{
        fds[WATCH_TEXT].fd = run->text_open ? run->child.text : -1;
        fds[WATCH_WORDS].fd = run->words_open ? run->child.words : -1;
        fds[WATCH_END].fd = run->ended ? -1 : run->child.process;
        fds[WATCH_CANCEL].fd = run->job->cancel;
        for (size_t i = 0; i < WATCH_COUNT; i++) {
                fds[i].events = POLLIN;
                fds[i].revents = 0;
        }
}

static enum status wait_once(struct run *run, struct error *err)
{
        struct pollfd fds[WATCH_COUNT];
        int64_t left_ms = (run->deadline_us - clock_monotonic_us() + 999) / 1000;

        watch(run, fds);
        if (left_ms <= 0)
                return too_slow(run, err);
        if (poll(fds, WATCH_COUNT, (int)left_ms) < 0 && errno != EINTR)
                return error_set(err, STATUS_INTERNAL, "cannot wait for the reader: %s",
                                 strerror(errno));
        if (fds[WATCH_CANCEL].revents)
                return error_set(err, STATUS_CANCELLED, "reading the file was stopped");
        if (fds[WATCH_WORDS].revents)
                read_words(run);
        run->ended = run->ended || fds[WATCH_END].revents;
        return fds[WATCH_TEXT].revents ? read_text(run, err) : STATUS_OK;
}

static enum status read_all(struct run *run, struct error *err)
{
        while (run->text_open || run->words_open || !run->ended) {
                if (wait_once(run, err))
                        return err->status;
        }
        return frames_end(&run->frames, err);
}

/* --- What the end means ------------------------------------------------------------------------*/
/* The child's words are shown to people: one line, plain characters. */
static void clean_words(struct run *run)
{
        char *words = run->words;
        size_t length = strcspn(words, "\n");

        words[length] = '\0';
        for (size_t i = 0; i < length; i++) {
                if (iscntrl((unsigned char)words[i]))
                        words[i] = ' ';
        }
        if (!utf8_valid(words, length))
                words[0] = '\0';
}

static enum status by_signal(const struct run *run, int number, struct error *err)
{
        if (number == SIGXCPU)
                return too_slow(run, err);
        if (number == SIGKILL)
                return error_set(
                        err, STATUS_UNPROCESSABLE,
                        "reading the file took more processor time or memory than allowed");
        return error_set(err, STATUS_UNPROCESSABLE,
                         "the file is damaged: the reader broke down on it");
}

static bool says(const struct run *run, const char *words)
{
        return strcasestr(run->words, words);
}

static enum status by_exit(struct run *run, int code, struct error *err)
{
        const char *title = run->job->format->title;

        if (code == EXTRACT_EXIT_NOT_STARTED)
                return error_set(err, STATUS_INTERNAL, "the reader process cannot be started");
        if (code == EXTRACT_EXIT_REASON) {
                clean_words(run);
                return error_set(err, STATUS_UNPROCESSABLE, "%s",
                                 *run->words ? run->words : "the file cannot be read");
        }
        if (run->job->format->paged && says(run, "Incorrect password"))
                return error_set(err, STATUS_UNPROCESSABLE, "the PDF is protected by a password");
        if (run->job->format->paged && code == 3) /* pdftotext's word for permissions */
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "the PDF does not allow its text to be copied");
        return error_set(err, STATUS_UNPROCESSABLE, "the file is damaged: it cannot be read as %s",
                         title);
}

static enum status explain(struct run *run, int status, struct error *err)
{
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return STATUS_OK;
        if (says(run, "out of memory") || says(run, "bad_alloc"))
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "reading the file needs more than %llu MiB of memory",
                                 (unsigned long long)(run->job->limits.memory >> 20));
        if (WIFSIGNALED(status))
                return by_signal(run, WTERMSIG(status), err);
        return by_exit(run, WEXITSTATUS(status), err);
}

static enum status check_text(const struct run *run, struct error *err)
{
        if (run->frames.has_text)
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE,
                         run->job->format->paged ? "no text found: it seems to be a scan"
                                                 : "no text found: the file holds none");
}

enum status extract_run(const struct extract_job *job, uint64_t *ret_pages, struct error *err)
{
        SCOPED_MEM struct run *run = mem_new(NULL, struct run);
        enum status failed;
        int status;

        run->job = job;
        run->text_open = run->words_open = true;
        run->deadline_us = clock_monotonic_us() + (int64_t)job->limits.seconds * 1000000;
        frames_init(&run->frames, job->format->paged, job->limits.output, job->sink);
        if (child_start(job, &run->child, err))
                return err->status;
        failed = read_all(run, err);
        status = child_end(&run->child, failed);
        if (failed)
                return failed;
        if (explain(run, status, err) || check_text(run, err))
                return err->status;
        *ret_pages = run->frames.pages;
        return STATUS_OK;
}
