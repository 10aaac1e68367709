/* SPDX-License-Identifier: Apache-2.0 */
#include "document/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- System calls ------------------------------------------------------------------------------*/
struct rule {
        int syscall;
        unsigned count;
        struct scmp_arg_cmp args[2];
};

#define ALLOW(name)                                                                                \
        {                                                                                          \
                .syscall = SCMP_SYS(name)                                                          \
        }
#define ALLOW_IF(name, a)                                                                          \
        {                                                                                          \
                .syscall = SCMP_SYS(name), .count = 1, .args = { a }                               \
        }
#define ALLOW_IF2(name, a, b)                                                                      \
        {                                                                                          \
                .syscall = SCMP_SYS(name), .count = 2, .args = { a, b }                            \
        }
#define NONE_OF(argument, bits)                                                                    \
        {                                                                                          \
                (argument), SCMP_CMP_MASKED_EQ, (bits), 0                                          \
        }
#define ALL_OF(argument, bits)                                                                     \
        {                                                                                          \
                (argument), SCMP_CMP_MASKED_EQ, (bits), (bits)                                     \
        }
#define IS_ZERO(argument)                                                                          \
        {                                                                                          \
                (argument), SCMP_CMP_EQ, 0, 0                                                      \
        }

static const struct rule compute_rules[] = {
        ALLOW(write),
        ALLOW(writev),
        ALLOW(brk),
        ALLOW_IF2(mmap, NONE_OF(2, PROT_EXEC), ALL_OF(3, MAP_ANONYMOUS)),
        ALLOW_IF(mprotect, NONE_OF(2, PROT_EXEC)),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        ALLOW(futex),
        ALLOW(getrandom),
        ALLOW(clock_gettime),
        ALLOW(sched_yield),
        ALLOW(getpid),
        ALLOW(gettid),
        ALLOW(tgkill), /* abort() */
        ALLOW(rt_sigaction),
        ALLOW(rt_sigprocmask),
        ALLOW(rt_sigreturn),
        ALLOW(sigaltstack),
        ALLOW(exit),
        ALLOW(exit_group),
};

/* What the dynamic loader and pdftotext need besides. */
static const struct rule run_rules[] = {
        ALLOW(execve),
        ALLOW_IF(open, NONE_OF(1, O_ACCMODE | O_CREAT | O_TRUNC)),
        ALLOW_IF(openat, NONE_OF(2, O_ACCMODE | O_CREAT | O_TRUNC)),
        ALLOW(close),
        ALLOW(read),
        ALLOW(readv),
        ALLOW(pread64),
        ALLOW(lseek),
        ALLOW(fstat),
        ALLOW(stat),
        ALLOW(newfstatat),
        ALLOW(statx),
        ALLOW(getdents64),
        ALLOW(access),
        ALLOW(faccessat),
        ALLOW(faccessat2),
        ALLOW(readlink),
        ALLOW(readlinkat),
        ALLOW(getcwd),
        ALLOW(mmap),
        ALLOW(mprotect),
        ALLOW(fcntl),
        ALLOW(arch_prctl),
        ALLOW(set_tid_address),
        ALLOW(set_robust_list),
        ALLOW(rseq),
        ALLOW_IF(prlimit64, IS_ZERO(2)), /* asks, does not set */
        ALLOW(getrlimit),
        ALLOW(sysinfo),
        ALLOW(uname),
        ALLOW(getuid),
        ALLOW(geteuid),
        ALLOW(getgid),
        ALLOW(getegid),
        ALLOW(sched_getaffinity),
};

/* A call that this architecture does not have needs no rule (EDOM). */
static int add_rules(scmp_filter_ctx filter, const struct rule *rules, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                int failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].syscall,
                                                    rules[i].count, rules[i].args);

                if (failed && failed != -EDOM)
                        return failed;
        }
        return 0;
}

static enum status limit_calls(enum sandbox_profile profile, struct error *err)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int failed =
                filter ? add_rules(filter, compute_rules, ARRAY_LENGTH(compute_rules)) : -ENOMEM;

        if (!failed && profile == SANDBOX_RUN)
                failed = add_rules(filter, run_rules, ARRAY_LENGTH(run_rules));
        if (!failed)
                failed = seccomp_load(filter);
        seccomp_release(filter);
        if (failed)
                return error_set(err, STATUS_INTERNAL, "the reader cannot be confined: %s",
                                 strerror(-failed));
        return STATUS_OK;
}

/* --- Files -------------------------------------------------------------------------------------*/
enum { READ_TREE = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR };

/* Access kinds of the first version of Landlock; later ones only add to these. */
enum { ALL_ACCESS = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };

static void allow_fd(int ruleset, int fd, uint64_t access)
{
        struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};

        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void allow_path(int ruleset, const char *path, uint64_t access)
{
        SCOPED_FD int fd = open(path, O_PATH | O_CLOEXEC);

        if (fd >= 0)
                allow_fd(ruleset, fd, access);
}

static void allow_run(int ruleset, const char *program)
{
        static const char *const trees[] = {"/lib",       "/lib64",     "/usr/lib",
                                            "/usr/lib64", "/usr/share", "/usr/local/lib"};
        static const char *const loaders[] = {"/lib/ld-linux-aarch64.so.1",
                                              "/lib64/ld-linux-x86-64.so.2"};
        const uint64_t run = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;

        for (size_t i = 0; i < ARRAY_LENGTH(trees); i++)
                allow_path(ruleset, trees[i], READ_TREE);
        for (size_t i = 0; i < ARRAY_LENGTH(loaders); i++)
                allow_path(ruleset, loaders[i], run);
        allow_path(ruleset, "/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE);
        allow_path(ruleset, program, run);
        allow_fd(ruleset, STDIN_FILENO, LANDLOCK_ACCESS_FS_READ_FILE);
}

/* Kernels without Landlock are common enough (containers, older ones): the calls are limited all
 * the same, so its absence is no failure. */
static void limit_files(enum sandbox_profile profile, const char *program)
{
        const struct rlimit nothing = {0, 0};
        struct landlock_ruleset_attr attributes = {.handled_access_fs = ALL_ACCESS};
        SCOPED_FD int ruleset =
                (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

        setrlimit(RLIMIT_FSIZE, &nothing);
        if (ruleset < 0)
                return;
        if (profile == SANDBOX_RUN)
                allow_run(ruleset, program);
        syscall(SYS_landlock_restrict_self, ruleset, 0);
}

enum status sandbox_enter(enum sandbox_profile profile, const char *program, struct error *err)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
                return error_set(err, STATUS_INTERNAL, "the reader cannot be confined: %s",
                                 strerror(errno));
        limit_files(profile, program);
        return limit_calls(profile, err);
}
