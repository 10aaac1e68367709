/* SPDX-License-Identifier: Apache-2.0 */
/* Measures executions of userQuery -> knowledgeBase -> llmEngine -> output, durable on SQLite, with
 * logs and metrics on: bench_engine [FOLDER] [SECONDS] [IN_FLIGHT] [MODEL] [CHUNKS].
 *
 * The knowledge base searches CHUNKS chunks (500) by keywords; with 0 it finds nothing, and what
 * remains is what the engine and the writes cost.
 * MODEL "stub" (the default) is a node in place of llmEngine that streams 20 tokens and answers at
 * once: what remains is the engine's own cost. "local" is the real node with the local engine. */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "engine/engine.h"
#include "engine/nodes/nodes.h"
#include "observe/log.h"
#include "store/documents.h"
#include "store/users.h"

enum { CHUNK_WORDS = 80, VOCABULARY = 4000, TOKENS = 20 };

struct bench {
        struct store *store;
        struct events *events;
        struct engine *engine;
        struct llm *llm;
        struct user user;
        struct workflow workflow;
        size_t chunks;
        sem_t slots;
        atomic_long finished, failed, latency_us;
};

static void check(const struct error *err)
{
        if (err && err->status) {
                fprintf(stderr, "bench_engine: %s\n", err->message);
                exit(1);
        }
}

static char *text(const char *literal)
{
        return (char *)(uintptr_t)literal;
}

/* --- The model ---------------------------------------------------------------------------------*/
static void answer(struct node_run *run)
{
        const struct node_usage usage = {.input_tokens = 900,
                                         .output_tokens = TOKENS,
                                         .time_to_first_token_ms = 0,
                                         .has_tokens = true};

        for (int i = 0; i < TOKENS; i++)
                node_token(run, "token ", 6);
        node_succeed(run,
                     json_pack("{s:s, s:[], s:s, s:s, s:s}", "text",
                               "An answer of twenty tokens [1]", "citations", "model", "stub",
                               "provider", "stub", "finish_reason", "stop"),
                     &usage);
}

static const struct node_port model_inputs[] = {
        {.id = "query", .label = "Query", .type = PORT_TEXT},
        {.id = "context", .label = "Context", .type = PORT_PASSAGES, .multiple = true},
        {0},
};
static const struct node_port model_outputs[] = {
        {.id = "answer", .label = "Answer", .type = PORT_ANSWER},
        {0},
};
static const struct node_type model_type = {
        .type = "stubModel",
        .title = "Stub",
        .description = "",
        .category = "bench",
        .inputs = model_inputs,
        .outputs = model_outputs,
        .params = (const struct node_param[]){{0}},
        .run = answer,
};

/* --- The material ------------------------------------------------------------------------------*/
/* Words of a vocabulary of 4,000, each in about ten chunks: what a question's rarer words cost. */
static size_t word(size_t seed)
{
        return (seed * 2654435761U >> 7) % VOCABULARY;
}

static void fill_chunk(void *ctx, size_t i, struct chunk *chunk)
{
        struct buffer content = BUFFER_INIT(ctx, 10000);

        for (size_t w = 0; w < CHUNK_WORDS; w++)
                buffer_printf(&content, "word%zu%s", word(i * CHUNK_WORDS + w),
                              w % 12 == 11 ? ". " : " ");
        *chunk = (struct chunk){
                .id = uuid_new(mem_array(ctx, char, UUID_TEXT_SIZE)),
                .ordinal = (int64_t)i,
                .content = content.data,
                .heading = text("Part"),
                .page = (int64_t)i / 3 + 1,
                .start = (int64_t)i * 400,
                .end = (int64_t)i * 400 + (int64_t)content.length,
        };
}

static void add_document(struct bench *bench, const void *ctx)
{
        struct document document = {
                .owner_id = bench->user.id,
                .workflow_id = bench->workflow.id,
                .filename = text("handbook.txt"),
                .content_type = text("text/plain"),
                .sha256 = text("00"),
                .file_size = 1000,
        };
        struct chunk *chunks = mem_array(ctx, struct chunk, bench->chunks);
        struct error err = ERROR_INIT;
        char *existing = NULL;

        for (size_t i = 0; i < bench->chunks; i++)
                fill_chunk(chunks, i, &chunks[i]);
        if (store_create_document(bench->store, &document, ctx, &existing, &err) ||
            store_add_chunks(bench->store, document.id, bench->workflow.id, chunks, bench->chunks,
                             &err) ||
            store_set_document_status(bench->store, document.id, "ready", NULL, 1, 0, &err))
                check(&err);
}

static void make_world(struct bench *bench, const void *ctx, const char *folder, const char *model)
{
        struct error err = ERROR_INIT;
        bool stub = strcmp(model, "stub") == 0;

        bench->user = (struct user){
                .email = text("a@example.com"), .full_name = text("A"), .password_hash = text("h")};
        if (store_open(mem_printf(ctx, "sqlite:%s/bench.db", folder), &bench->store, &err) ||
            store_create_user(bench->store, &bench->user, ctx, &err))
                check(&err);
        bench->workflow = (struct workflow){
                .owner_id = bench->user.id,
                .name = text("Bench"),
                .description = text(""),
                .graph = mem_printf(
                        ctx,
                        "{\"nodes\":[{\"id\":\"q\",\"type\":\"userQuery\"},"
                        "{\"id\":\"kb\",\"type\":\"knowledgeBase\",\"data\":{\"mode\":\"keyword\"}}"
                        ","
                        "{\"id\":\"m\",\"type\":\"%s\"},{\"id\":\"o\",\"type\":\"output\"}],"
                        "\"edges\":[{\"source\":\"q\",\"target\":\"kb\"},{\"source\":\"kb\","
                        "\"target\":\"m\"},{\"source\":\"m\",\"target\":\"o\"}]}",
                        stub ? "stubModel" : "llmEngine"),
        };
        if (store_create_workflow(bench->store, &bench->workflow, ctx, &err))
                check(&err);
        if (bench->chunks)
                add_document(bench, ctx);
}

/* --- The load ----------------------------------------------------------------------------------*/
struct one {
        struct bench *bench;
        int64_t start_us;
};

static void started(void *arg, const char *id, bool existing, const struct error *err)
{
        (void)arg;
        (void)id;
        (void)existing;
        check(err);
}

static void finished(void *arg, const char *id)
{
        struct one *one = arg;

        (void)id;
        one->bench->finished++;
        one->bench->latency_us += clock_monotonic_us() - one->start_us;
        sem_post(&one->bench->slots);
        mem_free(one);
}

static void start_one(struct bench *bench, size_t turn)
{
        static const struct engine_callbacks callbacks = {started, finished};
        SCOPED_MEM void *ctx = mem_root();
        struct one *one = mem_new(NULL, struct one);
        struct trace trace = {0};
        struct error err = ERROR_INIT;
        const struct engine_request request = {
                .user_id = bench->user.id,
                .workflow = &bench->workflow,
                .user_input = mem_printf(ctx, "What is word%zu to word%zu and word%zu?", word(turn),
                                         word(turn + 7), word(turn + 31)),
                .trace = &trace,
        };

        trace_begin(&trace, NULL);
        *one = (struct one){bench, clock_monotonic_us()};
        if (engine_start(bench->engine, &request, &callbacks, one, NULL, &err))
                check(&err);
}

static double cpu_seconds(void)
{
        struct rusage usage;

        getrusage(RUSAGE_SELF, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void run_load(struct bench *bench, int seconds, int in_flight)
{
        int64_t start_us = clock_monotonic_us(), end_us = start_us + (int64_t)seconds * 1000000;
        double cpu = cpu_seconds(), elapsed;
        size_t turn = 0;

        sem_init(&bench->slots, 0, (unsigned)in_flight);
        while (clock_monotonic_us() < end_us) {
                sem_wait(&bench->slots);
                start_one(bench, turn++);
        }
        for (int i = 0; i < in_flight; i++)
                sem_wait(&bench->slots);
        elapsed = (double)(clock_monotonic_us() - start_us) / 1e6;
        cpu = cpu_seconds() - cpu;
        printf("%ld executions in %.2f s: %.0f/s, %.0f us CPU each (%.2f cores), mean latency %.2f "
               "ms "
               "with %d in flight\n",
               (long)bench->finished, elapsed, (double)bench->finished / elapsed,
               cpu / (double)bench->finished * 1e6, cpu / elapsed,
               (double)bench->latency_us / (double)bench->finished / 1000, in_flight);
}

static void open_model(struct bench *bench, struct http_client **client, struct pool **pool)
{
        struct error err = ERROR_INIT;

        if (http_client_new(client, &err) || pool_new("llm", 2, 10000, pool, &err))
                check(&err);
        const struct llm_options options = {.client = *client, .pool = *pool};

        if (llm_new(&options, &bench->llm, &err))
                check(&err);
}

static void report_status(struct bench *bench, const void *ctx)
{
        struct page page = {.limit = 100};
        struct execution *rows = NULL;
        struct error err = ERROR_INIT;
        size_t count = 0;

        if (store_list_executions(bench->store, ctx, bench->user.id, bench->workflow.id,
                                  "completed", &page, &rows, &count, &err))
                check(&err);
        if (page.total != bench->finished) {
                fprintf(stderr, "bench_engine: only %lld of %ld completed\n", (long long)page.total,
                        (long)bench->finished);
                exit(1);
        }
}

int main(int argc, char **argv)
{
        static const struct node_type *const types[] = {&model_type, NULL};
        SCOPED_MEM void *ctx = mem_root();
        char made[] = "/tmp/bench-engine.XXXXXX";
        const char *folder = argc > 1 ? argv[1] : mkdtemp(made);
        int seconds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5;
        int in_flight = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 256;
        const char *model = argc > 4 ? argv[4] : "stub";
        struct bench bench = {.chunks = argc > 5 ? strtoul(argv[5], NULL, 10) : 500};
        struct http_client *client = NULL;
        struct pool *pool = NULL;
        struct error err = ERROR_INIT;
        const struct log_options log = {.file = mem_printf(ctx, "%s/bench.log", folder),
                                        .level = LOG_LEVEL_INFO};

        node_types_extend(types);
        if (log_start(&log, &err))
                check(&err);
        make_world(&bench, ctx, folder, model);
        open_model(&bench, &client, &pool);
        if (events_new(bench.store, &bench.events, &err))
                check(&err);
        const struct engine_options options = {
                .services = {.store = bench.store, .llm = bench.llm},
                .events = bench.events,
        };

        if (engine_new(&options, &bench.engine, &err))
                check(&err);
        run_load(&bench, seconds, in_flight);
        report_status(&bench, ctx);
        engine_free(bench.engine);
        events_free(bench.events);
        llm_free(bench.llm);
        http_client_free(client);
        pool_free(pool);
        store_free(bench.store);
        log_stop();
        return 0;
}
