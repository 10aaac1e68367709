/* SPDX-License-Identifier: Apache-2.0 */
/* How a pipeline ends and starts again. This program is also its own victim of kill -9 (`crash-at
 * PLACE …`). */
#include <fcntl.h>
#include <sys/wait.h>

#include "document/test_pipeline.h"

static void a_stop_is_quick_and_the_next_start_goes_on(void **state)
{
        struct pipeline *pipeline = start(*state);
        struct extract_limits limits = EXTRACT_LIMITS_DEFAULT;
        struct document slow = upload(pipeline, "slow.pdf", pdf_slow(pipeline, 400000)), text;

        wait_for(pipeline, "extracting");
        text = upload(pipeline, "a.txt", BYTES("Words."));
        pipeline->documents = documents_free(pipeline->documents);
        assert_string_equal(look(pipeline, slow.id).status, "extracting");
        limits.seconds = 1; /* it is not to hold up the test */
        start_with(pipeline, &limits);
        documents_wait_idle(pipeline->documents);
        assert_string_equal(look(pipeline, slow.id).status, "failed");
        assert_string_equal(look(pipeline, slow.id).error,
                            "reading the file took longer than 1 seconds");
        assert_string_equal(look(pipeline, text.id).status, "ready");
        stop(pipeline);
}

/* Runs this program as `crash-at PLACE …`, and returns when it has killed itself. */
static void crash_at(struct fixture *fixture, const char *place)
{
        int how = 0;
        pid_t pid = fork();

        if (pid == 0) {
                execl("/proc/self/exe", "test_documents", "crash-at", place, fixture->folder.path,
                      fixture->alice.id, fixture->alices.id, NULL);
                _exit(1);
        }
        assert_int_equal(waitpid(pid, &how, 0), pid);
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

static void die_in_third_call(void)
{
        if (atomic_load(&test_embed_calls) == 3)
                kill(getpid(), SIGKILL);
}

/* In the process that is to die: uploads a document of many chunks. */
static int crash(char **arguments)
{
        struct fixture *fixture = mem_new(NULL, struct fixture);
        struct pipeline *pipeline;

        snprintf(fixture->folder.path, sizeof(fixture->folder.path), "%s", arguments[3]);
        fixture->alices.owner_id = arguments[4];
        fixture->alices.id = arguments[5];
        if (store_open(mem_printf(fixture, "sqlite:%s/test.db", arguments[3]), &fixture->store,
                       &fixture->err))
                return 2;
        pipeline = pipeline_new(fixture);
        pipeline->model = "m";
        if (strcmp(arguments[2], "middle of embedding") == 0)
                test_embed_hook = die_in_third_call;
        else
                pipeline->crash_at = arguments[2];
        start_with(pipeline, NULL);
        upload(pipeline, "a.txt", long_text(pipeline, 2000));
        documents_wait_idle(pipeline->documents);
        return 3;
}

static void killed_processing_is_taken_up(void **state)
{
        static const char *const places[] = {"extracting", "chunking", "embedding",
                                             "middle of embedding"};
        struct fixture *fixture = *state;

        for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
                struct pipeline *pipeline = pipeline_new(fixture);
                struct document *unfinished, document;
                size_t count;

                crash_at(fixture, places[i]);
                ok(fixture, store_unfinished_documents(fixture->store, fixture, &unfinished, &count,
                                                       &fixture->err));
                assert_int_equal(count, 1);
                pipeline->model = "m";
                atomic_store(&test_embed_calls, 0);
                start_with(pipeline, NULL);
                documents_wait_idle(pipeline->documents);
                document = look(pipeline, unfinished[0].id);
                assert_string_equal(document.status, "ready");
                check_chunks(pipeline, &document);
                assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM chunks"),
                                 document.chunk_count);
                assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM embeddings"),
                                 document.chunk_count);
                /* Two batches were embedded before the end, and are not paid for again. */
                if (strcmp(places[i], "middle of embedding") == 0)
                        assert_int_equal(atomic_load(&test_embed_calls),
                                         (document.chunk_count + 63) / 64 - 2);
                ok(fixture,
                   documents_delete(pipeline->documents, NULL, document.id, &fixture->err));
                assert_int_equal(files_in(pipeline), 0);
                stop(pipeline);
        }
}

static char *old_file(const struct pipeline *pipeline, const char *name)
{
        char *path = mem_printf(pipeline, "%s/%s", pipeline->folder, name);
        const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
        int fd = open(path, O_WRONLY | O_CREAT, 0600);

        assert_true(fd >= 0);
        assert_int_equal(futimens(fd, times), 0);
        close(fd);
        return path;
}

static void files_without_a_document_are_swept(void **state)
{
        struct pipeline *pipeline = start(*state);
        struct document document = process(pipeline, "a.txt", BYTES("Words."));
        const char *gone[] = {old_file(pipeline, "019a5c20-1111-7aaa-8bbb-0123456789ab"),
                              old_file(pipeline, "019a5c20-1111-7aaa-8bbb-0123456789ab.txt"),
                              old_file(pipeline, ".part-019a5c20-1111-7aaa-8bbb-0123456789ab")};
        const char *kept[] = {old_file(pipeline, "notes of an administrator"),
                              old_file(pipeline, document.id)};

        pipeline->documents = documents_free(pipeline->documents);
        start_with(pipeline, NULL);
        documents_wait_idle(pipeline->documents);
        for (size_t i = 0; i < ARRAY_LENGTH(gone); i++)
                assert_int_equal(access(gone[i], F_OK), -1);
        for (size_t i = 0; i < ARRAY_LENGTH(kept); i++)
                assert_int_equal(access(kept[i], F_OK), 0);
        stop(pipeline);
}

static void a_missing_file_fails_with_words(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = pipeline_new(fixture);
        struct document document = {.owner_id = fixture->alice.id,
                                    .workflow_id = fixture->alices.id,
                                    .filename = TEXT("a.txt"),
                                    .content_type = TEXT("text/plain"),
                                    .sha256 = TEXT("aa")};
        char *existing;

        ok(fixture,
           store_create_document(fixture->store, &document, fixture, &existing, &fixture->err));
        start_with(pipeline, NULL);
        documents_wait_idle(pipeline->documents);
        assert_string_equal(look(pipeline, document.id).error,
                            "the uploaded file is not there any more");
        stop(pipeline);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                store_test(a_stop_is_quick_and_the_next_start_goes_on),
                store_test(killed_processing_is_taken_up),
                store_test(files_without_a_document_are_swept),
                store_test(a_missing_file_fails_with_words),
        };

        if (argc == 3 && strcmp(argv[1], "extract-child") == 0)
                return document_extract_child(argv[2]);
        if (argc == 6 && strcmp(argv[1], "crash-at") == 0)
                return crash(argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
