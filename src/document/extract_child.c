/* SPDX-License-Identifier: Apache-2.0 */
#include "document/extract_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers' shadow memory is more address space than any limit worth setting. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WITH_SHADOW_MEMORY 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SHADOW_MEMORY 1
#endif
#ifndef WITH_SHADOW_MEMORY
#define WITH_SHADOW_MEMORY 0
#endif

/* --- In the child: only what is safe after fork() in a program with threads
 * ---------------------*/
static void limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard)
{
        struct rlimit value = {.rlim_cur = soft, .rlim_max = hard};

        setrlimit(resource, &value);
}

/* There is no RLIMIT_NPROC: it counts all processes of the user, and the list of system calls has
 * no way to start one. */
static void limit_resources(const struct extract_limits *limits)
{
        limit(RLIMIT_CPU, limits->seconds, limits->seconds + 1);
        limit(RLIMIT_CORE, 0, 0);
        limit(RLIMIT_NOFILE, 64, 64);
        if (!WITH_SHADOW_MEMORY)
                limit(RLIMIT_AS, limits->memory, limits->memory);
}

static void reset_signals(void)
{
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
}

__attribute__((noreturn)) static void become_reader(const struct extract_job *job, int text,
                                                    int words, pid_t parent)
{
        char *arguments[] = {(char *)job->program, "extract-child",
                             (char *)job->format->content_type, NULL};
        char *environment[] = {NULL};

        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        reset_signals();
        /* The file may be descriptor 0..2 of a caller that has closed its own. */
        if (getppid() == parent && dup2(words, STDERR_FILENO) >= 0 &&
            dup2(text, STDOUT_FILENO) >= 0 && dup2(job->file, STDIN_FILENO) >= 0) {
                close_range(STDERR_FILENO + 1, ~0U, 0);
                limit_resources(&job->limits);
                execve(job->program, arguments, environment);
        }
        _exit(EXTRACT_EXIT_NOT_STARTED);
}

/* --- In the parent -----------------------------------------------------------------------------*/
enum { PIPE_BYTES = 1024 * 1024 };

struct pipe_ends {
        int from, to;
};
#define SCOPED_PIPE CLEANUP(pipe_close_at)
static void pipe_close_at(struct pipe_ends *ends)
{
        mem_fd_close_at(&ends->from);
        mem_fd_close_at(&ends->to);
}

/* Never 0, 1 or 2: they would be overwritten while being handed over. */
static int above_standard(int fd)
{
        int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

        mem_fd_close_at(&fd);
        return moved;
}

static bool open_pipe(struct pipe_ends *ends)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC))
                return false;
        ends->from = above_standard(fds[0]);
        ends->to = above_standard(fds[1]);
        return ends->from >= 0 && ends->to >= 0;
}

static enum status not_started(struct error *err)
{
        return error_set(err, STATUS_INTERNAL, "the reader process cannot be started: %s",
                         strerror(errno));
}

static int take(int *fd)
{
        int taken = *fd;

        *fd = -1;
        return taken;
}

enum status child_start(const struct extract_job *job, struct child *ret, struct error *err)
{
        SCOPED_PIPE struct pipe_ends text = {-1, -1}, words = {-1, -1};
        SCOPED_FD int file = fcntl(job->file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        struct extract_job own = *job;
        pid_t parent = getpid();

        own.file = file;
        if (file < 0 || !open_pipe(&text) || !open_pipe(&words))
                return not_started(err);
        /* The child goes on reading while a batch is being stored; more than a wish it is not. */
        fcntl(text.to, F_SETPIPE_SZ, PIPE_BYTES);
        ret->pid = fork();
        if (ret->pid < 0)
                return not_started(err);
        if (ret->pid == 0)
                become_reader(&own, text.to, words.to, parent);
        setpgid(ret->pid, ret->pid); /* in both processes, so that it is done whoever runs first */
        ret->process = pidfd_open(ret->pid, 0);
        ret->text = take(&text.from);
        ret->words = take(&words.from);
        if (ret->process >= 0)
                return STATUS_OK;
        not_started(err);
        child_end(ret, true);
        return err->status;
}

int child_end(struct child *child, bool kill_it)
{
        int status = W_EXITCODE(255, 0); /* stays if somebody else has collected it */

        if (kill_it)
                kill(-child->pid, SIGKILL);
        while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
                ;
        mem_fd_close_at(&child->process);
        mem_fd_close_at(&child->text);
        mem_fd_close_at(&child->words);
        return status;
}
