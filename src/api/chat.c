/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/chat: a conversation is executions of a workflow with the messages so far as history.
 *
 * A turn outlives its request: when the person leaves, the execution goes on and its answer is
 * kept. It is settled once the execution has ended; one whose process died in between is settled
 * when the conversation is next read. */
#include <pthread.h>
#include <string.h>

#include "api/execute.h"
#include "api/follow.h"
#include "api/routes.h"
#include "api/views.h"
#include "llm/llm.h"
#include "observe/log.h"

enum { HISTORY_MAX = 20, CONTENT_MAX = 100000 };

/* The jobs of a turn on the watchers follow each other: run_started, then run_finished. Beside them
 * only a stream's end uses the turn, and settles under the lock. */
struct turn {
        struct app *app;
        struct request *req; /* until answered; of the jobs */
        struct trace trace;
        bool stream;
        char workflow_id[UUID_TEXT_SIZE], user_id[UUID_TEXT_SIZE], execution_id[UUID_TEXT_SIZE];
        struct chat_message question, answer;
        bool saved;             /* both messages are in the store */
        int references;         /* under lock */
        bool started, finished; /* under lock: run_started is done, the engine is */
        pthread_mutex_t lock;
};

static struct turn *turn_new(struct request *req, const char *workflow_id, const char *content)
{
        struct turn *turn = mem_new(NULL, struct turn);
        const char *accept = request_header(req, "Accept");

        turn->app = app_of(req);
        turn->req = req;
        turn->trace = req->trace;
        turn->stream = accept && strstr(accept, "text/event-stream");
        memcpy(turn->workflow_id, workflow_id, UUID_TEXT_SIZE);
        memcpy(turn->user_id, user_of(req)->id, UUID_TEXT_SIZE);
        turn->question = (struct chat_message){
                .workflow_id = turn->workflow_id,
                .user_id = turn->user_id,
                .role = mem_strdup(turn, "user"),
                .content = mem_strdup(turn, content),
                .status = mem_strdup(turn, "complete"),
                .execution_id = turn->execution_id,
        };
        turn->answer = turn->question;
        turn->answer.role = mem_strdup(turn, "assistant");
        turn->answer.content = mem_strdup(turn, "");
        turn->answer.status = mem_strdup(turn, "pending");
        turn->references = 1;
        pthread_mutex_init(&turn->lock, NULL);
        return turn;
}

static void turn_release(struct turn *turn)
{
        pthread_mutex_lock(&turn->lock);
        int left = --turn->references;
        pthread_mutex_unlock(&turn->lock);
        if (left)
                return;
        pthread_mutex_destroy(&turn->lock);
        mem_free(turn);
}

/* --- Settling ----------------------------------------------------------------------------------*/
/* Saves an answer, unless the conversation was cleared meanwhile. */
static enum status save(struct app *app, const struct chat_message *answer, struct error *err)
{
        if (store_finish_message(app->store, answer->id, answer->content, answer->citations,
                                 answer->status, err) == STATUS_NOT_FOUND)
                *err = ERROR_INIT;
        return err->status;
}

/* Fills the answer from its ended execution and saves it. */
static enum status settle(struct app *app, const void *ctx, struct chat_message *answer,
                          struct error *err)
{
        struct execution execution = {0};
        SCOPED_JSON json_t *result = NULL;

        if (store_get_execution(app->store, ctx, NULL, answer->execution_id, &execution, err))
                return err->status;
        if (!execution.finished_at)
                return STATUS_OK;
        bool completed = strcmp(execution.status, "completed") == 0;
        const char *json = completed ? execution.output : execution.error;
        const char *fallback = completed ? "" : "The run was cancelled.";

        result = json ? json_loads(json, 0, NULL) : NULL;
        answer->content =
                mem_strdup(ctx, json_get_text(result, completed ? "text" : "message", fallback));
        json_t *citations = json_object_get(result, "citations");
        answer->citations = citations ? json_write(ctx, citations) : NULL;
        answer->status = mem_strdup(ctx, completed ? "complete" : "failed");
        return save(app, answer, err);
}

static enum status settle_turn(struct turn *turn, struct error *err)
{
        pthread_mutex_lock(&turn->lock);
        if (strcmp(turn->answer.status, "pending") == 0 &&
            settle(turn->app, turn, &turn->answer, err) == STATUS_NOT_FOUND)
                error_set(err, STATUS_NOT_FOUND, "The workflow was deleted before it answered");
        pthread_mutex_unlock(&turn->lock);
        return err->status;
}

/* --- Answering ---------------------------------------------------------------------------------*/
static struct reply reply_answer(struct turn *turn)
{
        struct error err = ERROR_INIT;
        struct view view;

        if (settle_turn(turn, &err))
                return reply_error(turn->req, &err);
        view_begin(&view, turn->req);
        view_message(&view.json, &turn->answer);
        return view_reply(&view, 200);
}

/* On a watcher thread: the execution has ended, and run_started is done. */
static void run_finished(void *arg)
{
        struct turn *turn = arg;
        struct error err = ERROR_INIT;
        TRACE_SCOPE(&turn->trace);

        if (turn->req)
                request_finish(turn->req, reply_answer(turn));
        else if (turn->saved && settle_turn(turn, &err) && err.status != STATUS_NOT_FOUND)
                log_failure(LOG_LEVEL_ERROR, LOG_application_error, "answer not saved", &err);
        turn_release(turn);
}

/* Of the engine and run_started, the one that comes second goes on. */
static void continue_turn(struct turn *turn, bool *mine)
{
        pthread_mutex_lock(&turn->lock);
        *mine = true;
        bool both = turn->started && turn->finished;
        pthread_mutex_unlock(&turn->lock);
        if (both)
                pool_continue(turn->app->watchers, run_finished, turn);
}

static void on_finished(void *arg, const char *execution_id)
{
        struct turn *turn = arg;

        (void)execution_id;
        continue_turn(turn, &turn->finished);
}

/* After the last event, which is told when the row is final. */
static void send_message(struct stream *stream, void *arg)
{
        struct turn *turn = *(struct turn **)arg;
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, VIEW_MAX);
        struct json_writer json = JSON_WRITER(&body);
        struct error err = ERROR_INIT;

        if (settle_turn(turn, &err))
                return;
        view_message(&json, &turn->answer);
        stream_send(stream, 0, "message", body.data, body.length);
}

/* The follower frees its argument at the very end; that is when it lets go of the turn. */
static int release_held_turn(struct turn **held)
{
        turn_release(*held);
        return 0;
}

static struct turn **hold_turn(struct turn *turn)
{
        struct turn **held = mem_new(NULL, struct turn *);

        *held = turn;
        pthread_mutex_lock(&turn->lock);
        turn->references++;
        pthread_mutex_unlock(&turn->lock);
        talloc_set_destructor(held, release_held_turn);
        return held;
}

static enum status add_messages(struct turn *turn, struct error *err)
{
        if (store_add_message(turn->app->store, &turn->question, turn, err) ||
            store_add_message(turn->app->store, &turn->answer, turn, err))
                return err->status;
        turn->saved = true;
        return STATUS_OK;
}

/* On a watcher thread: the execution's row exists. */
static void run_started(void *arg)
{
        struct turn *turn = arg;
        struct request *req = turn->req;
        struct error err = ERROR_INIT;
        TRACE_SCOPE(&turn->trace);

        if (add_messages(turn, &err) || turn->stream)
                turn->req = NULL;
        if (err.status)
                request_finish(req, reply_error(req, &err));
        else if (turn->stream)
                request_finish(req, follow_execution(req, turn->workflow_id, turn->execution_id, 0,
                                                     send_message, hold_turn(turn)));
        continue_turn(turn, &turn->started);
}

static void on_started(void *arg, const char *execution_id, bool existing, const struct error *err)
{
        struct turn *turn = arg;

        (void)existing;
        if (err) {
                request_finish(turn->req, reply_error(turn->req, err));
                turn_release(turn);
                return;
        }
        memcpy(turn->execution_id, execution_id, UUID_TEXT_SIZE);
        pool_continue(turn->app->watchers, run_started, turn);
}

/* --- Handlers ----------------------------------------------------------------------------------*/
static enum status load_history(struct request *req, const char *workflow_id,
                                struct llm_message **ret, size_t *ret_count, struct error *err)
{
        struct page page = {.limit = HISTORY_MAX};
        struct chat_message *rows = NULL;
        size_t count = 0;

        if (store_list_messages(app_of(req)->store, req->ctx, user_of(req)->id, workflow_id, &page,
                                &rows, &count, err))
                return err->status;
        *ret = mem_array(req->ctx, struct llm_message, count);
        *ret_count = 0;
        for (size_t i = count; i-- > 0;)
                if (strcmp(rows[i].status, "complete") == 0)
                        (*ret)[(*ret_count)++] =
                                (struct llm_message){rows[i].role, rows[i].content};
        return STATUS_OK;
}

struct message_body {
        char *content;
};

static const struct field message_fields[] = {
        {"content", FIELD_STRING, FIELD_REQUIRED, offsetof(struct message_body, content), 1,
         CONTENT_MAX, 0},
        {0},
};

static struct reply send(struct request *req)
{
        static const struct engine_callbacks callbacks = {on_started, on_finished};
        struct message_body body = {0};
        struct llm_message *history = NULL;
        struct error err = ERROR_INIT;
        const char *workflow_id;
        size_t count = 0;
        int64_t version;

        if (id_param(req, "workflow_id", &workflow_id, &err) ||
            request_fields(req, message_fields, &body, &err) ||
            store_check_workflow(app_of(req)->store, user_of(req)->id, workflow_id, &version,
                                 &err) ||
            load_history(req, workflow_id, &history, &count, &err))
                return reply_error(req, &err);
        const struct execute_request request = {
                .workflow_id = workflow_id,
                .user_input = body.content,
                .history = history,
                .history_count = count,
        };
        struct turn *turn = turn_new(req, workflow_id, body.content);
        struct reply later = reply_later(req);

        if (execute_workflow(req, &request, &callbacks, turn, &err)) {
                request_finish(req, reply_error(req, &err));
                turn_release(turn);
        }
        return later;
}

/* An answer whose execution is no longer kept will not come any more. */
static enum status settle_row(struct app *app, const void *ctx, struct chat_message *row,
                              struct error *err)
{
        if (settle(app, ctx, row, err) != STATUS_NOT_FOUND)
                return err->status;
        *err = ERROR_INIT;
        row->content = mem_strdup(ctx, "The run that was to answer is no longer kept.");
        row->status = mem_strdup(ctx, "failed");
        return save(app, row, err);
}

static struct reply list_messages(struct request *req)
{
        struct app *app = app_of(req);
        struct page page;
        struct chat_message *rows = NULL;
        size_t count = 0;
        int64_t version;
        struct error err = ERROR_INIT;
        struct view view;
        const char *workflow_id;

        if (id_param(req, "workflow_id", &workflow_id, &err) || page_read(req, &page, &err) ||
            store_check_workflow(app->store, user_of(req)->id, workflow_id, &version, &err) ||
            store_list_messages(app->store, req->ctx, user_of(req)->id, workflow_id, &page, &rows,
                                &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++) {
                if (strcmp(rows[i].status, "pending") == 0 &&
                    settle_row(app, req->ctx, &rows[i], &err))
                        return reply_error(req, &err);
                view_message(&view.json, &rows[i]);
        }
        return view_list_reply(&view, &page);
}

static struct reply clear_messages(struct request *req)
{
        struct app *app = app_of(req);
        int64_t version;
        struct error err = ERROR_INIT;
        const char *workflow_id;

        if (id_param(req, "workflow_id", &workflow_id, &err) ||
            store_check_workflow(app->store, user_of(req)->id, workflow_id, &version, &err) ||
            store_clear_messages(app->store, user_of(req)->id, workflow_id, &err))
                return reply_error(req, &err);
        return reply_empty(req, 204);
}

const struct route chat_routes[] = {
        {METHOD_GET, "/api/v1/chat/{workflow_id}/messages", 0, 0, list_messages, NULL},
        {METHOD_POST, "/api/v1/chat/{workflow_id}/messages", 0, INPUT_BODY, send, NULL},
        {METHOD_DELETE, "/api/v1/chat/{workflow_id}/messages", 0, 0, clear_messages, NULL},
        {0},
};
