/* SPDX-License-Identifier: Apache-2.0 */
#include "document/test_pipeline.h"
#include "observe/metrics.h"

/* --- Upload to ready ---------------------------------------------------------------------------*/
static void every_format_becomes_ready(void **state)
{
        static const char *const pages[] = {"The boiler of the machine holds nine bar of pressure. "
                                            "It is made of brass and weighs four kilograms.\n"
                                            "Never open it while it is hot, the steam burns skin.",
                                            "The grinder turns at nine hundred revolutions.\n"
                                            "Its burrs are made of steel and last for five years "
                                            "when they are cleaned every week with a soft brush."};
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        const struct {
                const char *name, *type;
                struct bytes bytes;
                int64_t pages;
        } files[] = {
                {"a.pdf", "application/pdf", pdf_new(fixture, pages, 2), 2},
                {"a.docx",
                 "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                 docx_new(fixture, "<w:p><w:r><w:t>Words of a document.</w:t></w:r></w:p>", NULL),
                 0},
                {"a.txt", "text/plain", BYTES("Plain words."), 0},
                {"a.md", "text/markdown", BYTES("# Title\n\nWords below."), 0},
                {"a.html", "text/html", BYTES("<h1>Title</h1><p>Words below it.</p>"), 0},
                {"a.csv", "text/csv", BYTES("part,price\npump,12\n"), 0},
        };

        for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
                struct document document = process(pipeline, files[i].name, files[i].bytes);

                if (strcmp(document.status, "ready") != 0)
                        fail_msg("%s: %s", files[i].name, document.error);
                assert_string_equal(document.filename, files[i].name);
                assert_string_equal(document.content_type, files[i].type);
                assert_int_equal(document.file_size, files[i].bytes.length);
                assert_int_equal(document.page_count, files[i].pages);
                assert_null(document.error);
                assert_true(document.progress == 1);
                check_chunks(pipeline, &document);
        }
        assert_memory_equal(pipeline->told.statuses, "extracting ", 11);
        assert_non_null(strstr(pipeline->told.statuses, "extracting chunking ready extracting"));
        assert_false(pipeline->told.fell);
        stop(pipeline);
}

static void pages_and_headings_are_kept(void **state)
{
        static const char *const pages[] = {
                "The boiler of the machine holds nine bar of pressure. It is made of brass. "
                "Its weight\nis four kilograms, and it is hot when the machine is on for a while.",
                NULL,
                "The grinder turns at nine hundred revolutions. Its burrs are made of steel and\n"
                "last for five years when they are cleaned every week with a small soft brush."};
        struct pipeline *pipeline = start(*state);
        struct document pdf = process(pipeline, "a.pdf", pdf_new(pipeline, pages, 3));
        struct document text = process(pipeline, "a.md", BYTES("# Use\n## Cleaning\nRinse it."));
        size_t count;
        struct chunk *chunks = chunks_of(pipeline, pdf.id, &count);

        assert_int_equal(count, 2);
        assert_int_equal(chunks[0].page, 1);
        assert_int_equal(chunks[1].page, 3);
        assert_memory_equal(chunks[1].content, "The grinder", 11);
        chunks = chunks_of(pipeline, text.id, &count);
        assert_string_equal(chunks[0].heading, "Use > Cleaning");
        assert_string_equal(chunks[0].content, "Use\n\nCleaning\n\nRinse it.");
        stop(pipeline);
}

static void files_are_stored_as_sent_under_our_names(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct bytes bytes = BYTES("Bytes \xE9 as they came.\r\n");
        struct document document = process(pipeline, "../../../tmp/evil\n.txt", bytes);
        SCOPED_FD int fd = -1;
        struct stat about;
        char content[64];

        assert_string_equal(document.filename, "evil.txt");
        ok(fixture, documents_open(pipeline->documents, &document, &fd, &fixture->err));
        assert_int_equal(read(fd, content, sizeof(content)), bytes.length);
        assert_memory_equal(content, bytes.data, bytes.length);
        assert_int_equal(stat(mem_printf(pipeline, "%s/%s", pipeline->folder, document.id), &about),
                         0);
        assert_int_equal(about.st_mode & 0777, 0600);
        assert_int_equal(
                stat(mem_printf(pipeline, "%s/%s.txt", pipeline->folder, document.id), &about), 0);
        assert_int_equal(about.st_mode & 0777, 0600);
        assert_int_equal(files_in(pipeline), 2);
        assert_int_equal(strlen(document.sha256), 64);
        stop(pipeline);
}

static void the_same_bytes_are_recognised(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct document first = process(pipeline, "one.txt", BYTES("The same bytes."));
        struct document second, bad;
        bool duplicate = false;

        ok(fixture, try_upload(pipeline, &fixture->alices, "two.txt", BYTES("The same bytes."),
                               &second, &duplicate, &fixture->err));
        assert_true(duplicate);
        assert_string_equal(second.id, first.id);
        assert_string_equal(second.filename, "one.txt");
        assert_int_equal(files_in(pipeline), 2);
        ok(fixture, try_upload(pipeline, &fixture->bobs, "one.txt", BYTES("The same bytes."),
                               &second, &duplicate, &fixture->err));
        assert_false(duplicate);
        /* What failed may be tried again. */
        bad = process(pipeline, "bad.pdf", BYTES("%PDF-1.4 nothing"));
        assert_string_equal(bad.status, "failed");
        assert_string_not_equal(upload(pipeline, "bad.pdf", BYTES("%PDF-1.4 nothing")).id, bad.id);
        stop(pipeline);
}

static void refused_uploads_leave_nothing(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct document document;
        bool duplicate;
        struct workflow nowhere = fixture->alices;
        struct bytes large = {.length = (30 << 20) + 1};

        large.data = mem_array(pipeline, char, large.length);
        nowhere.id = TEXT("019a5c20-1111-7aaa-8bbb-0123456789ab");
#define REFUSED(workflow, name, bytes, status)                                                     \
        expect(fixture, (status),                                                                  \
               try_upload(pipeline, (workflow), (name), (bytes), &document, &duplicate,            \
                          &fixture->err))
        REFUSED(&fixture->alices, "a.txt", large, STATUS_TOO_LARGE);
        REFUSED(&fixture->alices, "a.txt", BYTES(""), STATUS_INVALID);
        REFUSED(&fixture->alices, "..", BYTES("text"), STATUS_INVALID);
        REFUSED(&fixture->alices, "a.pdf", BYTES("text"), STATUS_UNSUPPORTED_TYPE);
        REFUSED(&fixture->alices, "a.txt", BYTES("%PDF-1.4"), STATUS_UNSUPPORTED_TYPE);
        REFUSED(&nowhere, "a.txt", BYTES("text"), STATUS_NOT_FOUND);
        assert_int_equal(files_in(pipeline), 0);
        stop(pipeline);
}

static void a_full_queue_refuses_uploads(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = pipeline_new(fixture);
        struct upload *upload_;

        pipeline->queue_max = 2;
        start_with(pipeline, NULL);
        documents_wait_idle(pipeline->documents);
        for (size_t i = 0; i < 4; i++) /* two at work, two waiting */
                upload(pipeline, "slow.pdf", pdf_slow(pipeline, 400000 + i));
        wait_for(pipeline, "extracting extracting");
        assert_int_equal(documents_waiting(pipeline->documents), 2);
        expect(fixture, STATUS_UNAVAILABLE,
               upload_begin(pipeline->documents, pipeline, "a.txt", &upload_, &fixture->err));
        assert_true(fixture->err.retry_after_ms > 0);
        stop(pipeline);
}

static void failures_say_why_and_leave_no_chunks(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        /* Fails in the middle: chunks of the first rows are stored by then. */
        struct buffer csv = BUFFER_INIT(pipeline, 16 << 20);
        struct document document;

        buffer_text(&csv, "name,text\n");
        for (int i = 0; i < 20000; i++)
                buffer_printf(&csv, "row %d,\"some words that fill the record of this row\"\n", i);
        for (int i = 0; i < 1100; i++)
                buffer_text(&csv, ",");
        document = process(pipeline, "a.csv", (struct bytes){csv.data, csv.length});
        assert_string_equal(document.status, "failed");
        assert_string_equal(document.error, "row 20002 has more than 1000 columns");
        assert_int_equal(document.chunk_count, 0);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM chunks"), 0);
        assert_int_equal(files_in(pipeline), 1);
        stop(pipeline);
}

/* --- Deleting ----------------------------------------------------------------------------------*/
static void nothing_is_left(struct pipeline *pipeline)
{
        struct fixture *fixture = pipeline->fixture;

        assert_int_equal(files_in(pipeline), 0);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM documents"), 0);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM chunks"), 0);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM embeddings"), 0);
}

static void a_ready_document_is_deleted_with_everything(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct document document;

        pipeline->model = "m";
        document = process(pipeline, "a.txt", BYTES("Words to be embedded."));
        assert_int_equal(files_in(pipeline), 2);
        expect(fixture, STATUS_NOT_FOUND,
               documents_delete(pipeline->documents, fixture->bob.id, document.id, &fixture->err));
        ok(fixture,
           documents_delete(pipeline->documents, fixture->alice.id, document.id, &fixture->err));
        nothing_is_left(pipeline);
        stop(pipeline);
}

static void a_document_is_deleted_while_it_is_read(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct document document = upload(pipeline, "slow.pdf", pdf_slow(pipeline, 400000));

        wait_for(pipeline, "extracting");
        ok(fixture, documents_delete(pipeline->documents, NULL, document.id, &fixture->err));
        documents_wait_idle(pipeline->documents); /* at once, not after the minute it would take */
        nothing_is_left(pipeline);
        stop(pipeline);
}

static struct pipeline *hooked;
static char hooked_id[UUID_TEXT_SIZE];

static void delete_hooked(void)
{
        struct error err = ERROR_INIT;

        if (atomic_load(&test_embed_calls) == 2)
                assert_int_equal(documents_delete(hooked->documents, NULL, hooked_id, &err), 0);
}

static void a_document_is_deleted_while_it_is_embedded(void **state)
{
        struct pipeline *pipeline = start(*state);
        struct document document;
        struct bytes text = long_text(pipeline, 2000);

        pipeline->model = "m";
        hooked = pipeline;
        atomic_store(&test_embed_calls, 0);
        pthread_mutex_lock(&pipeline->lock); /* nothing is told until the hook knows the id */
        document = upload(pipeline, "a.txt", text);
        snprintf(hooked_id, sizeof(hooked_id), "%s", document.id);
        test_embed_hook = delete_hooked;
        pthread_mutex_unlock(&pipeline->lock);
        documents_wait_idle(pipeline->documents);
        test_embed_hook = NULL;
        assert_int_equal(atomic_load(&test_embed_calls), 2);
        nothing_is_left(pipeline);
        stop(pipeline);
}

static void a_workflow_goes_with_its_documents(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct document kept;
        bool duplicate;

        for (int i = 0; i < 5; i++)
                upload(pipeline, "a.txt", long_text(pipeline, 5 + (unsigned)i));
        ok(fixture, try_upload(pipeline, &fixture->bobs, "b.txt", BYTES("Bob's."), &kept,
                               &duplicate, &fixture->err));
        upload(pipeline, "slow.pdf", pdf_slow(pipeline, 400000));
        ok(fixture, documents_delete_workflow(pipeline->documents, fixture->alice.id,
                                              fixture->alices.id, &fixture->err));
        documents_wait_idle(pipeline->documents);
        assert_int_equal(files_in(pipeline), 2);
        assert_string_equal(look(pipeline, kept.id).status, "ready");
        stop(pipeline);
}

/* --- Embeddings --------------------------------------------------------------------------------*/
static size_t found_by_meaning(struct pipeline *pipeline, const char *model, const char *words)
{
        struct fixture *fixture = pipeline->fixture;
        const struct document_set set = {.workflow_id = fixture->alices.id};
        struct vector_hit *hits;
        size_t count, dims;
        float *query;

        ok(fixture, llm_embed(NULL, pipeline, NULL, LLM_EMBED_QUERY, &words, 1, &query, &dims,
                              &fixture->err));
        ok(fixture, vector_search(pipeline->vector, pipeline, &set, model, query, dims, 5, &hits,
                                  &count, &fixture->err));
        return count;
}

static void chunks_are_embedded_and_embedded_again(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct document document;

        pipeline->model = "one";
        document = process(pipeline, "a.txt", long_text(pipeline, 3000));
        assert_string_equal(document.status, "ready");
        assert_non_null(strstr(pipeline->told.statuses, "chunking embedding embedding"));
        assert_false(pipeline->told.fell);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM embeddings"),
                         document.chunk_count);
        assert_int_equal(found_by_meaning(pipeline, "test/one", "Paragraph"), 5);
        assert_int_equal(found_by_meaning(pipeline, "test/two", "Paragraph"), 0);
        pipeline->model = "two";
        ok(fixture, documents_reembed(pipeline->documents, fixture->alices.id, &fixture->err));
        documents_wait_idle(pipeline->documents);
        assert_int_equal(found_by_meaning(pipeline, "test/two", "Paragraph"), 5);
        assert_string_equal(look(pipeline, document.id).status, "ready");
        stop(pipeline);
}

static void a_model_that_fails_leaves_the_words(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct document document;

        pipeline->model = "m";
        atomic_store(&test_embed_fails, true);
        document = process(pipeline, "a.txt", BYTES("Words about otters."));
        atomic_store(&test_embed_fails, false);
        assert_string_equal(document.status, "ready");
        assert_string_equal(document.error,
                            "found by words only, not by meaning: the model is out");
        ok(fixture, documents_reembed(pipeline->documents, fixture->alices.id, &fixture->err));
        documents_wait_idle(pipeline->documents);
        document = look(pipeline, document.id);
        assert_string_equal(document.status, "ready");
        assert_null(document.error);
        assert_int_equal(found_by_meaning(pipeline, "test/m", "otters"), 1);
        stop(pipeline);
}

/* --- Many --------------------------------------------------------------------------------------*/
enum { CROWD = 4, EACH = 8 };

struct uploader {
        struct pipeline *pipeline;
        unsigned number;
};

static void *upload_many(void *arg)
{
        const struct uploader *uploader = arg;
        SCOPED_MEM void *ctx = mem_root();
        struct pipeline own = *uploader->pipeline;

        for (unsigned i = 0; i < EACH; i++) {
                struct bytes text = long_text(ctx, 20 + uploader->number * EACH + i);
                struct error err = ERROR_INIT;
                struct upload *upload;
                struct document document;
                bool duplicate;

                if (upload_begin(own.documents, ctx, "a.txt", &upload, &err) ||
                    upload_write(upload, text.data, text.length, &err) ||
                    upload_finish(upload, own.fixture->alice.id, own.fixture->alices.id, ctx,
                                  &document, &duplicate, &err))
                        abort();
                if (i % 4 == 3 && documents_delete(own.documents, NULL, document.id, &err))
                        abort();
        }
        return NULL;
}

static void many_upload_and_delete_at_once(void **state)
{
        struct fixture *fixture = *state;
        struct pipeline *pipeline = start(fixture);
        struct uploader uploaders[CROWD];
        pthread_t threads[CROWD];
        enum { LEFT = CROWD * EACH * 3 / 4 };

        pipeline->model = "m";
        for (unsigned i = 0; i < CROWD; i++) {
                uploaders[i] = (struct uploader){pipeline, i};
                assert_int_equal(pthread_create(&threads[i], NULL, upload_many, &uploaders[i]), 0);
        }
        for (unsigned i = 0; i < CROWD; i++)
                pthread_join(threads[i], NULL);
        documents_wait_idle(pipeline->documents);
        assert_int_equal(
                fixture_count(fixture, "SELECT count(*) FROM documents WHERE status = 'ready'"),
                LEFT);
        assert_int_equal(fixture_count(fixture, "SELECT count(*) FROM documents"), LEFT);
        assert_int_equal(files_in(pipeline), 2 * LEFT);
        assert_int_equal(documents_waiting(pipeline->documents), 0);
        stop(pipeline);
}

static void figures_move(void **state)
{
        struct pipeline *pipeline = start(*state);
        struct buffer out = BUFFER_INIT(pipeline, 8 << 20);

        pipeline->model = "m";
        process(pipeline, "a.txt", BYTES("Words."));
        process(pipeline, "a.pdf", BYTES("%PDF-1.4 bad"));
        metrics_write(&out, METRICS_TEXT);
        assert_non_null(strstr(out.data, "flowgenix_documents_processed_total{status=\"ready\"}"));
        assert_non_null(strstr(out.data, "flowgenix_documents_processed_total{status=\"failed\"}"));
        assert_non_null(strstr(
                out.data,
                "flowgenix_document_processing_duration_seconds_count{stage=\"extracting\"}"));
        assert_non_null(
                strstr(out.data,
                       "flowgenix_document_processing_duration_seconds_count{stage=\"chunking\"}"));
        assert_non_null(strstr(
                out.data,
                "flowgenix_document_processing_duration_seconds_count{stage=\"embedding\"}"));
        stop(pipeline);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                store_test(every_format_becomes_ready),
                store_test(pages_and_headings_are_kept),
                store_test(files_are_stored_as_sent_under_our_names),
                store_test(the_same_bytes_are_recognised),
                store_test(refused_uploads_leave_nothing),
                store_test(a_full_queue_refuses_uploads),
                store_test(failures_say_why_and_leave_no_chunks),
                store_test(a_ready_document_is_deleted_with_everything),
                store_test(a_document_is_deleted_while_it_is_read),
                store_test(a_document_is_deleted_while_it_is_embedded),
                store_test(a_workflow_goes_with_its_documents),
                store_test(chunks_are_embedded_and_embedded_again),
                store_test(a_model_that_fails_leaves_the_words),
                store_test(many_upload_and_delete_at_once),
                store_test(figures_move),
        };

        if (argc == 3 && strcmp(argv[1], "extract-child") == 0)
                return document_extract_child(argv[2]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
