/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/test_stage.h"

#include <time.h>

void stage_engine(struct stage *stage, size_t concurrency, size_t queue_max)
{
        stage->services.store = stage->bench.store;
        const struct engine_options options = {
                .services = stage->services,
                .events = stage->events,
                .concurrency = concurrency,
                .queue_max = queue_max,
        };

        ok(engine_new(&options, &stage->engine, &err));
}

int stage_set_up(void **state)
{
        struct stage *stage = mem_new(NULL, struct stage);

        test_nodes_install();
        gates_forget();
        echo_runs = gates_cancelled = 0;
        echo_file = NULL;
        stage->bench = bench_new();
        ok(events_new(stage->bench.store, &stage->events, &err));
        stage_engine(stage, 0, 0);
        *state = stage;
        return 0;
}

int stage_tear_down(void **state)
{
        struct stage *stage = *state;

        engine_free(stage->engine);
        events_free(stage->events);
        bench_free(&stage->bench);
        mem_free(stage);
        return 0;
}

void stage_restart(struct stage *stage, size_t concurrency)
{
        stage->engine = engine_free(stage->engine);
        stage_engine(stage, concurrency, 0);
}

/* --- One execution -----------------------------------------------------------------------------*/
static void on_started(void *arg, const char *id, bool existing, const struct error *err)
{
        struct play *play = arg;

        if (err)
                play->err = *err;
        else
                memcpy(play->id, id, UUID_TEXT_SIZE);
        play->existing = existing;
        sem_post(&play->started);
}

static void on_finished(void *arg, const char *id)
{
        struct play *play = arg;

        assert_string_equal(id, play->id);
        sem_post(&play->finished);
}

static const struct engine_callbacks callbacks = {on_started, on_finished};

bool wait_for(sem_t *sem)
{
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 60;
        return sem_timedwait(sem, &until) == 0;
}

enum status play_request(struct play *play, struct stage *stage,
                         const struct engine_request *request)
{
        struct error err = ERROR_INIT;

        *play = (struct play){.err = ERROR_INIT};
        sem_init(&play->started, 0, 0);
        sem_init(&play->finished, 0, 0);
        if (engine_start(stage->engine, request, &callbacks, play, NULL, &err)) {
                play->err = err;
                return err.status;
        }
        assert_true(wait_for(&play->started));
        return play->err.status;
}

void play_start(struct play *play, struct stage *stage, const struct workflow *workflow)
{
        const struct engine_request request = {
                .user_id = stage->bench.user.id, .workflow = workflow, .user_input = "hello"};

        if (play_request(play, stage, &request))
                fail_msg("start: %s", play->err.message);
}

void play_finish(struct play *play)
{
        assert_true(wait_for(&play->finished));
}

struct record read_record(struct stage *stage, const char *id)
{
        struct record record = {0};

        ok(store_get_execution_full(stage->bench.store, stage->bench.ctx, stage->bench.user.id, id,
                                    &record.row, &record.steps, &record.count, &err));
        return record;
}

const struct step *find_step(const struct record *record, const char *node_id)
{
        for (size_t i = 0; i < record->count; i++)
                if (strcmp(record->steps[i].node_id, node_id) == 0)
                        return &record->steps[i];
        return NULL;
}

void assert_step(const struct record *record, const char *node_id, const char *status,
                 int64_t attempt)
{
        const struct step *step = find_step(record, node_id);

        assert_non_null(step);
        assert_string_equal(step->status, status);
        assert_int_equal(step->attempt, attempt);
}

void assert_holds(const char *text, const char *part)
{
        if (!text || !strstr(text, part))
                fail_msg("\"%s\" is not in: %s", part, text ? text : "NULL");
}

/* Runs a workflow to its end. */
struct record play_through(struct stage *stage, const char *graph)
{
        struct workflow workflow = bench_workflow(&stage->bench, graph);
        struct play play;

        play_start(&play, stage, &workflow);
        play_finish(&play);
        return read_record(stage, play.id);
}

/* Types of the execution's events, with node ids: "node_started:q ". */
static void gather_type(const struct event *event, void *arg)
{
        struct buffer *types = arg;
        SCOPED_JSON json_t *json = NULL;
        struct error err = ERROR_INIT;

        assert_int_equal(json_read(event->json, event->length, &json, &err), STATUS_OK);
        const char *node = json_get_text(json, "node_id", NULL);

        buffer_printf(types, "%s%s%s ", event->type, node ? ":" : "", node ? node : "");
}

const char *event_types_of(struct stage *stage, const struct record *record)
{
        struct buffer *types = mem_new(stage->bench.ctx, struct buffer);
        struct subscription *subscription = NULL;

        *types = BUFFER_INIT(stage->bench.ctx, 100000);
        ok(events_subscribe(stage->events, record->row.workflow_id, record->row.id, 0, gather_type,
                            types, &subscription, &err));
        events_unsubscribe(subscription);
        return buffer_string(types);
}

void post(void *arg)
{
        sem_post(arg);
}
