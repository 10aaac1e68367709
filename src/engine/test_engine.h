/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a temporary folder with a user and workflows, for the tests of this folder. */
#pragma once

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/uuid.h"
#include "db/test_folder.h"
#include "store/executions.h"
#include "store/users.h"
#include "store/workflows.h"

#include <cmocka.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* Runs a fallible call and says what went wrong. */
#define ok(call)                                                                                   \
        do {                                                                                       \
                struct error err = ERROR_INIT;                                                     \
                if (call)                                                                          \
                        fail_msg("%s: %s", status_name(err.status), err.message);                  \
        } while (0)

struct bench {
        struct test_folder folder;
        struct store *store;
        void *ctx;
        struct user user;
};

static inline struct bench bench_new(void)
{
        struct bench bench = {.folder = test_folder_new(), .ctx = mem_root()};

        ok(store_open(bench.folder.url, &bench.store, &err));
        bench.user = (struct user){
                .email = TEXT("a@example.com"), .full_name = TEXT("A"), .password_hash = TEXT("h")};
        ok(store_create_user(bench.store, &bench.user, bench.ctx, &err));
        return bench;
}

static inline void bench_free(struct bench *bench)
{
        store_free(bench->store);
        test_folder_remove(&bench->folder);
        mem_free(bench->ctx);
}

/* JSON with ' for ". */
static inline char *quoted(const void *ctx, const char *text)
{
        char *copy = mem_strdup(ctx, text);

        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        return copy;
}

static inline struct workflow bench_workflow(struct bench *bench, const char *graph)
{
        struct workflow workflow = {.owner_id = bench->user.id,
                                    .name = TEXT("Flow"),
                                    .description = TEXT(""),
                                    .graph = quoted(bench->ctx, graph)};

        ok(store_create_workflow(bench->store, &workflow, bench->ctx, &err));
        return workflow;
}

/* --- Commits that wait -------------------------------------------------------------------------*/
struct commit_wait {
        sem_t done;
        struct error err;
};

static inline void commit_waited(void *arg, const struct error *err)
{
        struct commit_wait *wait = arg;

        if (err)
                wait->err = *err;
        sem_post(&wait->done);
}

static inline void commit_now(struct store *store, struct execution_commit *commit)
{
        struct commit_wait wait = {.err = ERROR_INIT};

        sem_init(&wait.done, 0, 0);
        store_commit_execution(store, commit, commit_waited, &wait);
        sem_wait(&wait.done);
        sem_destroy(&wait.done);
        if (wait.err.status)
                fail_msg("commit: %s", wait.err.message);
}
