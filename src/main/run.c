/* SPDX-License-Identifier: Apache-2.0 */
/* flowgenix run: one workflow, once, without a server. The same parts as `serve` work on a database
 * in a temporary folder, which is removed at the end. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/views.h"
#include "main/commands.h"
#include "main/parts.h"
#include "observe/log.h"

enum { FILE_MAX = 8 * 1024 * 1024, DOCUMENTS_MAX = 1000, READ_SIZE = 64 * 1024, GRACE_MS = 2000 };

struct run_options {
        const char *file, *input;
        const char *documents[DOCUMENTS_MAX];
        size_t document_count;
        bool json, quiet;
};

struct run {
        const struct run_options *options;
        void *ctx;
        struct app *app;
        struct user user;
        struct workflow workflow;
        char execution_id[UUID_TEXT_SIZE];
        sigset_t signals; /* SIGINT, SIGTERM, SIGHUP, and SIGUSR1 for "the wait is over" */
        struct error start_error;
};

/* --- Arguments ---------------------------------------------------------------------------------*/
static enum status add_document(struct run_options *options, const char *path, struct error *err)
{
        if (options->document_count >= DOCUMENTS_MAX)
                return error_set(err, STATUS_INVALID, "at most %d documents", DOCUMENTS_MAX);
        options->documents[options->document_count++] = path;
        return STATUS_OK;
}

static enum status parse(int argc, char **argv, struct run_options *ret, struct error *err)
{
        static const struct option options[] = {
                {"input", required_argument, NULL, 'i'},
                {"document", required_argument, NULL, 'd'},
                {"json", no_argument, NULL, 'j'},
                {"quiet", no_argument, NULL, 'q'},
                {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (option == 'i')
                        ret->input = optarg;
                else if (option == 'j')
                        ret->json = true;
                else if (option == 'q')
                        ret->quiet = true;
                else if (option != 'd')
                        return error_set(err, STATUS_INVALID,
                                         "unknown option or missing value; see run --help");
                else if (add_document(ret, optarg, err))
                        return err->status;
        }
        if (optind != argc - 1 || !ret->input)
                return error_set(err, STATUS_INVALID,
                                 "give one workflow file and --input; see run --help");
        ret->file = argv[optind];
        return STATUS_OK;
}

static enum status read_all(const void *ctx, int fd, const char *name, struct buffer *ret,
                            struct error *err)
{
        char piece[READ_SIZE];
        ssize_t got = 0;

        *ret = BUFFER_INIT(ctx, FILE_MAX);
        while (!ret->overflow && (got = read(fd, piece, sizeof(piece))) > 0)
                buffer_append(ret, piece, (size_t)got);
        if (got < 0)
                return error_set(err, STATUS_NOT_FOUND, "%s: %s", name, strerror(errno));
        return buffer_check(ret, name, err);
}

static enum status read_file(const void *ctx, const char *path, struct buffer *ret,
                             struct error *err)
{
        SCOPED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return error_set(err, STATUS_NOT_FOUND, "%s: %s", path, strerror(errno));
        return read_all(ctx, fd, path, ret, err);
}

static enum status read_input(struct run *run, const char **ret, struct error *err)
{
        struct buffer text;

        *ret = run->options->input;
        if (strcmp(*ret, "-") != 0)
                return STATUS_OK;
        if (read_all(run->ctx, STDIN_FILENO, "standard input", &text, err))
                return err->status;
        *ret = buffer_string(&text);
        if (strlen(*ret) != text.length)
                return error_set(err, STATUS_INVALID, "standard input holds a NUL byte");
        return STATUS_OK;
}

/* --- Set-up ------------------------------------------------------------------------------------*/
static void say(const struct run *run, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(const struct run *run, const char *format, ...)
{
        va_list args;

        if (run->options->quiet)
                return;
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
}

static enum status create_workflow(struct run *run, struct error *err)
{
        struct buffer text;
        SCOPED_JSON json_t *file = NULL;
        struct problems *problems = problems_new(run->ctx);

        if (read_file(run->ctx, run->options->file, &text, err))
                return err->status;
        if (json_read(buffer_string(&text), text.length, &file, err))
                return error_prefix(err, "%s", run->options->file);
        json_t *data = json_object_get(file, "workflow_data");

        data = data ? data : file;
        if (graph_check_shape(data, problems, err))
                return error_prefix(err, "%s", run->options->file);
        run->user = (struct user){
                .email = mem_strdup(run->ctx, "local@localhost"),
                .full_name = mem_strdup(run->ctx, "Local"),
                .password_hash = mem_strdup(run->ctx, "!"), /* nobody logs in here */
        };
        if (store_create_user(run->app->store, &run->user, run->ctx, err))
                return err->status;
        run->workflow = (struct workflow){
                .owner_id = run->user.id,
                .name = mem_strdup(run->ctx, "run"),
                .description = mem_strdup(run->ctx, ""),
                .graph = json_write(run->ctx, data),
        };
        return store_create_workflow(run->app->store, &run->workflow, run->ctx, err);
}

static enum status upload(struct run *run, const char *path, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        char piece[READ_SIZE];
        struct upload *upload;
        struct document document = {0};
        bool duplicate;
        ssize_t got;

        if (fd < 0)
                return error_set(err, STATUS_NOT_FOUND, "%s: %s", path, strerror(errno));
        if (upload_begin(run->app->documents, ctx, path, &upload, err))
                return error_prefix(err, "%s", path);
        while ((got = read(fd, piece, sizeof(piece))) > 0)
                if (upload_write(upload, piece, (size_t)got, err))
                        return error_prefix(err, "%s", path);
        if (got < 0)
                return error_set(err, STATUS_NOT_FOUND, "%s: %s", path, strerror(errno));
        say(run, "reading %s", path);
        if (upload_finish(upload, run->user.id, run->workflow.id, ctx, &document, &duplicate, err))
                return error_prefix(err, "%s", path);
        return STATUS_OK;
}

/* --- Waiting -----------------------------------------------------------------------------------*/
/* Waits for wake_up(); CANCELLED on Ctrl+C, SIGTERM or SIGHUP. */
static enum status wait_for_wake_up(struct run *run, struct error *err)
{
        int signal = sigwaitinfo(&run->signals, NULL);

        while (signal < 0 && errno == EINTR)
                signal = sigwaitinfo(&run->signals, NULL);
        if (signal == SIGUSR1)
                return STATUS_OK;
        return error_set(err, STATUS_CANCELLED, "stopped");
}

static void wake_up(void)
{
        kill(getpid(), SIGUSR1);
}

static void wait_for_documents(void *arg)
{
        struct run *run = arg;

        documents_wait_idle(run->app->documents);
        wake_up();
}

static enum status check_documents(struct run *run, struct error *err)
{
        struct page page = {.limit = 100};
        struct document *rows;
        size_t count;

        do {
                if (store_list_documents(run->app->store, run->ctx, run->user.id, NULL, &page,
                                         &rows, &count, err))
                        return err->status;
                for (size_t i = 0; i < count; i++) {
                        if (strcmp(rows[i].status, "ready") != 0)
                                return error_set(err, STATUS_UNPROCESSABLE, "%s: %s",
                                                 rows[i].filename,
                                                 rows[i].error ? rows[i].error : rows[i].status);
                        say(run, "ready   %s (%lld passages)", rows[i].filename,
                            (long long)rows[i].chunk_count);
                }
                page.cursor = page.next_cursor;
        } while (page.cursor);
        return STATUS_OK;
}

static enum status feed(struct run *run, struct error *err)
{
        for (size_t i = 0; i < run->options->document_count; i++)
                if (upload(run, run->options->documents[i], err))
                        return err->status;
        if (!run->options->document_count)
                return STATUS_OK;
        pool_continue(run->app->watchers, wait_for_documents, run);
        if (wait_for_wake_up(run, err))
                return err->status;
        return check_documents(run, err);
}

/* --- The execution -----------------------------------------------------------------------------*/
static void on_started(void *arg, const char *execution_id, bool existing, const struct error *err)
{
        struct run *run = arg;

        (void)existing;
        if (err)
                run->start_error = *err;
        else
                memcpy(run->execution_id, execution_id, UUID_TEXT_SIZE);
        if (err)
                wake_up();
}

static void on_finished(void *arg, const char *execution_id)
{
        (void)arg;
        (void)execution_id;
        wake_up();
}

static void tell(const struct event *event, void *arg)
{
        SCOPED_JSON json_t *json = json_loadb(event->json, event->length, 0, NULL);
        const char *node_id = json_get_text(json, "node_id", "");

        if (strcmp(event->type, "node_token") != 0)
                say(arg, "%-20s %s", event->type, node_id);
}

static enum status execute(struct run *run, struct error *err)
{
        static const struct engine_callbacks callbacks = {on_started, on_finished};
        struct problems *problems = problems_new(run->ctx);
        struct subscription *subscription = NULL;
        struct engine_request request = {.user_id = run->user.id, .workflow = &run->workflow};

        if (read_input(run, &request.user_input, err) ||
            events_subscribe(run->app->events, run->workflow.id, NULL, -1, tell, run, &subscription,
                             err))
                return err->status;
        if (engine_start(run->app->engine, &request, &callbacks, run, problems, err)) {
                for (size_t i = 0; i < problems->count; i++)
                        say(run, "%s: %s %s",
                            problems->items[i].node_id ? problems->items[i].node_id : "graph",
                            problems->items[i].path, problems->items[i].message);
        } else if (!wait_for_wake_up(run, err)) {
                *err = run->start_error;
        }
        events_unsubscribe(subscription);
        return err->status;
}

/* --- The answer --------------------------------------------------------------------------------*/
static void print_citations(const json_t *citations)
{
        size_t index;
        json_t *citation;

        json_array_foreach ((json_t *)(uintptr_t)citations, index, citation) {
                int64_t page = json_get_int(citation, "page", 0);
                const char *url = json_get_text(citation, "url", NULL);

                printf("%s[%zu] %s", index ? "" : "\n", index + 1,
                       url ? url : json_get_text(citation, "filename", ""));
                if (page)
                        printf(", page %lld", (long long)page);
                printf(": \"%s\"\n", json_get_text(citation, "quote", ""));
        }
}

static enum status print_answer(struct run *run, struct error *err)
{
        struct execution execution = {0};
        struct step *steps = NULL;
        size_t count = 0;

        if (store_get_execution_full(run->app->store, run->ctx, NULL, run->execution_id, &execution,
                                     &steps, &count, err))
                return err->status;
        bool completed = strcmp(execution.status, "completed") == 0;
        const char *text = completed ? execution.output : execution.error;
        SCOPED_JSON json_t *json = text ? json_loads(text, 0, NULL) : NULL;

        if (run->options->json) {
                struct buffer out = BUFFER_INIT(run->ctx, VIEW_MAX);
                struct json_writer writer = JSON_WRITER(&out);

                view_execution(&writer, &execution, steps, count);
                puts(buffer_string(&out));
        } else if (completed) {
                puts(json_get_text(json, "text", ""));
                print_citations(json_object_get(json, "citations"));
        }
        if (completed)
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE, "%s",
                         json_get_text(json, "message", execution.status));
}

/* --- The whole ---------------------------------------------------------------------------------*/
static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
        (void)stat;
        (void)kind;
        (void)walk;
        return remove(path);
}

static enum status run_in(struct run *run, const struct config *config, struct error *err)
{
        if (parts_open(config, &run->app, err))
                return err->status;
        if (!create_workflow(run, err) && !feed(run, err) && !execute(run, err))
                print_answer(run, err);
        engine_stop(run->app->engine, err->status == STATUS_CANCELLED ? 0 : GRACE_MS);
        run->app = parts_close(run->app);
        return err->status;
}

static void block_signals(struct run *run)
{
        sigemptyset(&run->signals);
        sigaddset(&run->signals, SIGINT);
        sigaddset(&run->signals, SIGTERM);
        sigaddset(&run->signals, SIGHUP);
        sigaddset(&run->signals, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &run->signals, NULL);
        signal(SIGPIPE, SIG_IGN);
}

static enum status start_log(const struct config *config, struct error *err)
{
        struct log_options options = {.file = config->LOG_FILE ? config->LOG_FILE : "/dev/null"};

        if (log_level_parse(config->LOG_LEVEL, &options.level, err))
                return err->status;
        return log_start(&options, err);
}

enum status command_run(const struct config *config, int argc, char **argv, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct run_options options = {0};
        struct run run = {.options = &options, .ctx = ctx};
        struct config here = *config;
        const char *parent = getenv("TMPDIR");
        char *folder = mem_printf(ctx, "%s/flowgenix-run-XXXXXX", parent ? parent : "/tmp");

        if (parse(argc, argv, &options, err) || start_log(config, err))
                return err->status;
        if (!mkdtemp(folder))
                return error_set(err, STATUS_UNAVAILABLE, "%s: %s", folder, strerror(errno));
        here.DATA_DIR = folder;
        here.DATABASE_URL = mem_printf(ctx, "sqlite:%s/flowgenix.db", folder);
        block_signals(&run);
        run_in(&run, &here, err);
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        log_stop();
        return err->status;
}
