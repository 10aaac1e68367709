/* SPDX-License-Identifier: Apache-2.0 */
/* Measures what the store costs an execution and a search: bench_store [FOLDER] [SECONDS].
 *
 * An execution is written as the engine does it for four nodes: a row, four commits of a step with
 * its events, and the final update. Chunks hold 160 words drawn by Zipf's law from 30,000. */
#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "store/documents.h"
#include "store/executions.h"
#include "store/users.h"
#include "store/workflows.h"

enum {
        STEPS = 4,
        CHUNKS = 20000,
        CHUNK_WORDS = 160,
        VOCABULARY = 30000,
        SEARCHES = 200,
        BATCH = 50
};

struct bench {
        struct store *store;
        struct user user;
        struct workflow workflow;
        int64_t end_us;
        atomic_size_t finished;
        atomic_long seq;
        atomic_int running;
        sem_t done;
};

struct run {
        struct bench *bench;
        int stage;
        char id[UUID_TEXT_SIZE];
        struct execution row;
        struct step step;
        struct event_batch events;
        struct execution_commit commit;
};

static void check(const struct error *err)
{
        if (err && err->status) {
                fprintf(stderr, "bench_store: %s\n", err->message);
                exit(1);
        }
}

static char *text(const char *literal)
{
        return (char *)(uintptr_t)literal;
}

/* --- Executions -------------------------------------------------------------------------------*/
static void commit_next(struct run *run);

static void commit_done(void *arg, const struct error *err)
{
        struct run *run = arg;

        check(err);
        if (++run->stage > STEPS + 1) {
                atomic_fetch_add(&run->bench->finished, 1);
                run->stage = 0;
                if (clock_monotonic_us() > run->bench->end_us) {
                        if (atomic_fetch_sub(&run->bench->running, 1) == 1)
                                sem_post(&run->bench->done);
                        return;
                }
        }
        commit_next(run);
}

static void commit_step(struct run *run)
{
        static const char output[] =
                "{\"text\":\"An answer of the length that a short paragraph has, with what a node"
                " hands to the next one.\",\"citations\":[]}";
        static const char packed[] =
                "[[\"node_started\",\"llm\",1793277420123,{}],[\"node_completed\",\"llm\","
                "1793277420456,{\"duration_ms\":333}]]";
        static const char *const nodes[STEPS] = {"query", "knowledge", "llm", "output"};
        int64_t last = atomic_fetch_add(&run->bench->seq, 2) + 2;

        run->step = (struct step){.node_id = text(nodes[run->stage - 1]),
                                  .type = text("llmEngine"),
                                  .status = text("completed"),
                                  .attempt = 1,
                                  .started_at = 1,
                                  .finished_at = 2,
                                  .input = text(output),
                                  .output = text(output)};
        run->events = (struct event_batch){
                .first_seq = last - 1, .last_seq = last, .packed = text(packed)};
        run->commit = (struct execution_commit){.execution_id = run->id,
                                                .workflow_id = run->bench->workflow.id,
                                                .steps = &run->step,
                                                .step_count = 1,
                                                .events = &run->events};
}

static void commit_next(struct run *run)
{
        struct bench *bench = run->bench;

        if (run->stage == 0) {
                run->row = (struct execution){.id = uuid_new(run->id),
                                              .workflow_id = bench->workflow.id,
                                              .user_id = bench->user.id,
                                              .workflow_version = 1,
                                              .status = text("running"),
                                              .user_input = text("What is the rated flow?"),
                                              .created_at = clock_wall_ms()};
                run->commit =
                        (struct execution_commit){.insert = &run->row, .lease_owner = "bench"};
        } else if (run->stage <= STEPS) {
                commit_step(run);
        } else {
                run->row.status = text("completed");
                run->row.finished_at = clock_wall_ms();
                run->row.output = text("{\"text\":\"40 litres\"}");
                run->commit = (struct execution_commit){.update = &run->row};
        }
        store_commit_execution(bench->store, &run->commit, commit_done, run);
}

static void bench_executions(struct bench *bench, int concurrency, int64_t duration_us)
{
        SCOPED_MEM struct run *runs = mem_array(NULL, struct run, (size_t)concurrency);
        int64_t start = clock_monotonic_us();

        bench->finished = 0;
        bench->running = concurrency;
        bench->end_us = start + duration_us;
        for (int i = 0; i < concurrency; i++) {
                runs[i].bench = bench;
                commit_next(&runs[i]);
        }
        sem_wait(&bench->done);
        printf("executions of %d nodes  %5d concurrent  %8.0f /s\n", STEPS, concurrency,
               (double)bench->finished / ((double)(clock_monotonic_us() - start) / 1e6));
}

/* --- Search -----------------------------------------------------------------------------------*/
static int zipf_word(void)
{
        return (int)pow(VOCABULARY, (double)random() / RAND_MAX);
}

static void add_batch(struct bench *bench, const char *document_id, int first)
{
        SCOPED_MEM void *ctx = mem_root();
        struct chunk *chunks = mem_array(ctx, struct chunk, BATCH);
        struct error err = ERROR_INIT;
        char id[UUID_TEXT_SIZE];

        for (int i = 0; i < BATCH; i++) {
                struct buffer words = BUFFER_INIT(ctx, 1 << 16);

                for (int word = 0; word < CHUNK_WORDS; word++)
                        buffer_printf(&words, "w%xen ", zipf_word());
                chunks[i] = (struct chunk){.id = mem_strdup(ctx, uuid_new(id)),
                                           .ordinal = first + i,
                                           .content = words.data};
        }
        if (store_add_chunks(bench->store, document_id, bench->workflow.id, chunks, BATCH, &err))
                check(&err);
}

static void fill_document(struct bench *bench)
{
        SCOPED_MEM void *ctx = mem_root();
        struct document document = {.owner_id = bench->user.id,
                                    .workflow_id = bench->workflow.id,
                                    .filename = text("f"),
                                    .content_type = text("t"),
                                    .sha256 = text("s")};
        struct error err = ERROR_INIT;
        int64_t start;
        char *existing;

        if (store_create_document(bench->store, &document, ctx, &existing, &err))
                check(&err);
        start = clock_monotonic_us();
        for (int first = 0; first < CHUNKS; first += BATCH)
                add_batch(bench, document.id, first);
        printf("chunks added, %d words  %8.0f /s\n", CHUNK_WORDS,
               CHUNKS / ((double)(clock_monotonic_us() - start) / 1e6));
        if (store_set_document_status(bench->store, document.id, "ready", NULL, 1, 1, &err))
                check(&err);
}

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static void bench_search(struct bench *bench)
{
        struct document_set set = {.workflow_id = bench->workflow.id};
        int64_t times[SEARCHES];

        for (int i = 0; i < SEARCHES; i++) {
                SCOPED_MEM void *ctx = mem_root();
                struct buffer query = BUFFER_INIT(ctx, 1000);
                struct error err = ERROR_INIT;
                struct chunk *chunks;
                size_t count;

                for (int word = 0; word < 5; word++)
                        buffer_printf(&query, "w%xen ", zipf_word() + 20);
                times[i] = clock_monotonic_us();
                if (store_search_chunks(bench->store, ctx, &set, query.data, 50, &chunks, &count,
                                        &err))
                        check(&err);
                times[i] = clock_monotonic_us() - times[i];
        }
        qsort(times, SEARCHES, sizeof(times[0]), compare);
        printf("searches, 5 words over %d chunks  p50 %lld us  p95 %lld us\n", CHUNKS,
               (long long)times[SEARCHES / 2], (long long)times[SEARCHES * 95 / 100]);
}

/* --- ------------------------------------------------------------------------------------------*/
static void open_store(struct bench *bench, const char *url, const void *ctx)
{
        struct error err = ERROR_INIT;
        int64_t start = clock_monotonic_us();

        if (store_open(url, &bench->store, &err))
                check(&err);
        printf("open and migrate  %lld us\n", (long long)(clock_monotonic_us() - start));
        bench->user = (struct user){
                .email = text("a@b"), .full_name = text("n"), .password_hash = text("h")};
        if (store_create_user(bench->store, &bench->user, ctx, &err))
                check(&err);
        bench->workflow = (struct workflow){
                .owner_id = bench->user.id, .name = text("w"), .graph = text("{}")};
        if (store_create_workflow(bench->store, &bench->workflow, ctx, &err))
                check(&err);
}

int main(int argc, char **argv)
{
        SCOPED_MEM void *ctx = mem_root();
        char *folder = mem_printf(ctx, "%s/bench_store.XXXXXX", argc > 1 ? argv[1] : "/tmp");
        int64_t duration_us = (argc > 2 ? strtol(argv[2], NULL, 10) : 3) * 1000000;
        struct bench bench = {0};

        sem_init(&bench.done, 0, 0);
        if (!mkdtemp(folder))
                return 1;
        open_store(&bench, mem_printf(ctx, "sqlite:%s/bench.db", folder), ctx);
        bench_executions(&bench, 1, duration_us);
        bench_executions(&bench, 64, duration_us);
        bench_executions(&bench, 1000, duration_us);
        fill_document(&bench);
        bench_search(&bench);
        store_free(bench.store);
        unlink(mem_printf(ctx, "%s/bench.db", folder));
        rmdir(folder);
        return 0;
}
