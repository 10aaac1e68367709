/* SPDX-License-Identifier: Apache-2.0 */
/* From upload to ready against pdftotext alone: bench_document FILE.pdf [ROUNDS]. Both run in turn,
 * so that they meet the same machine. Prints `name value unit`, medians. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "db/test_folder.h"
#include "document/document.h"
#include "store/users.h"
#include "store/workflows.h"

#define MUST(call)                                                                                 \
        do {                                                                                       \
                struct error err = ERROR_INIT;                                                     \
                if (call) {                                                                        \
                        fprintf(stderr, "%s: %s\n", #call, err.message);                           \
                        exit(1);                                                                   \
                }                                                                                  \
        } while (0)

enum { ROUNDS_MAX = 100 };

struct bench {
        void *ctx;
        const char *path;
        struct store *store;
        struct vector *vector;
        struct documents *documents;
        struct user user;
};

static void open_all(struct bench *bench, const struct test_folder *folder)
{
        struct documents_options options = {
                .folder = mem_printf(bench->ctx, "%s/documents", folder->path),
                .program = "/proc/self/exe",
                .upload_max = 1 << 30,
        };

        MUST(store_open(folder->url, &bench->store, &err));
        MUST(vector_new(bench->store, &bench->vector, &err));
        options.store = bench->store;
        options.vector = bench->vector;
        MUST(documents_new(&options, &bench->documents, &err));
        bench->user = (struct user){.email = mem_strdup(bench->ctx, "b@example.com"),
                                    .full_name = mem_strdup(bench->ctx, "B"),
                                    .password_hash = mem_strdup(bench->ctx, "!")};
        MUST(store_create_user(bench->store, &bench->user, bench->ctx, &err));
}

static void send_file(struct upload *upload, const char *path)
{
        SCOPED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        char block[65536];
        ssize_t length;

        while ((length = read(fd, block, sizeof(block))) > 0)
                MUST(upload_write(upload, block, (size_t)length, &err));
}

/* A workflow of its own each time: the same bytes would be recognised. */
static double upload_ms(struct bench *bench, struct document *ret)
{
        struct workflow workflow = {.owner_id = bench->user.id,
                                    .name = mem_strdup(bench->ctx, "bench"),
                                    .description = mem_strdup(bench->ctx, ""),
                                    .graph = mem_strdup(bench->ctx, "{}")};
        struct upload *upload;
        bool duplicate;
        int64_t start;

        MUST(store_create_workflow(bench->store, &workflow, bench->ctx, &err));
        start = clock_monotonic_us();
        MUST(upload_begin(bench->documents, bench->ctx, "bench.pdf", &upload, &err));
        send_file(upload, bench->path);
        MUST(upload_finish(upload, workflow.owner_id, workflow.id, bench->ctx, ret, &duplicate,
                           &err));
        documents_wait_idle(bench->documents);
        start = clock_monotonic_us() - start;
        MUST(store_get_document(bench->store, bench->ctx, NULL, ret->id, ret, &err));
        if (strcmp(ret->status, "ready") != 0) {
                fprintf(stderr, "%s: %s\n", ret->status, ret->error);
                exit(1);
        }
        return (double)start / 1e3;
}

static double pdftotext_ms(const struct bench *bench)
{
        char *arguments[] = {"pdftotext", (char *)bench->path, "/dev/null", NULL};
        char *environment[] = {NULL};
        int64_t start = clock_monotonic_us();
        pid_t pid;

        if (posix_spawnp(&pid, "pdftotext", NULL, NULL, arguments, environment) ||
            waitpid(pid, NULL, 0) < 0) {
                perror("pdftotext");
                exit(1);
        }
        return (double)(clock_monotonic_us() - start) / 1e3;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
        qsort(values, count, sizeof(*values), compare);
        return values[count / 2];
}

static void measure(struct bench *bench, size_t rounds)
{
        double ours[ROUNDS_MAX], theirs[ROUNDS_MAX];
        struct document document = {0};
        struct rusage usage;

        for (size_t i = 0; i < rounds; i++) {
                theirs[i] = pdftotext_ms(bench);
                ours[i] = upload_ms(bench, &document);
        }
        getrusage(RUSAGE_SELF, &usage);
        printf("document_pages %lld pages\n", (long long)document.page_count);
        printf("document_chunks %lld chunks\n", (long long)document.chunk_count);
        printf("document_upload_to_ready %.0f ms\n", median(ours, rounds));
        printf("document_pdftotext_alone %.0f ms\n", median(theirs, rounds));
        printf("document_speed_of_pdftotext %.2f ratio\n",
               median(theirs, rounds) / median(ours, rounds));
        printf("document_memory_peak %.1f MB\n", (double)usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
        SCOPED_MEM void *ctx = mem_root();
        struct test_folder folder;
        struct bench bench = {.ctx = ctx};
        long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 5;

        if (argc == 3 && strcmp(argv[1], "extract-child") == 0)
                return document_extract_child(argv[2]);
        if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
                fprintf(stderr, "usage: bench_document FILE.pdf [ROUNDS]\n");
                return 2;
        }
        bench.path = argv[1];
        folder = test_folder_new();
        open_all(&bench, &folder);
        measure(&bench, (size_t)rounds);
        documents_free(bench.documents);
        vector_free(bench.vector);
        store_free(bench.store);
        test_folder_remove(&folder);
        return 0;
}
