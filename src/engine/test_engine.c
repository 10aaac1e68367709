/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/test_engine.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/test_nodes.h"
#include "llm/llm.h"

#define Q               "{'id':'q','type':'userQuery'}"
#define O               "{'id':'o','type':'output'}"
#define E(s, t)         "{'source':'" s "','target':'" t "'}"
#define G(nodes, edges) "{'nodes':[" nodes "],'edges':[" edges "]}"
#define ECHO(id)        "{'id':'" id "','type':'testEcho'}"
#define GATE(id)        "{'id':'" id "','type':'testGate'}"

/* --- A stage: store, events, engine ------------------------------------------------------------*/
struct stage {
        struct bench bench;
        struct events *events;
        struct engine *engine;
};

static void stage_engine(struct stage *stage, size_t concurrency, size_t queue_max)
{
        const struct engine_options options = {
                .services = {.store = stage->bench.store},
                .events = stage->events,
                .concurrency = concurrency,
                .queue_max = queue_max,
        };

        ok(engine_new(&options, &stage->engine, &err));
}

static int setup(void **state)
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

static int teardown(void **state)
{
        struct stage *stage = *state;

        engine_free(stage->engine);
        events_free(stage->events);
        bench_free(&stage->bench);
        mem_free(stage);
        return 0;
}

static void stage_restart(struct stage *stage, size_t concurrency)
{
        stage->engine = engine_free(stage->engine);
        stage_engine(stage, concurrency, 0);
}

/* --- One execution -----------------------------------------------------------------------------*/
struct play {
        struct stage *stage;
        char id[UUID_TEXT_SIZE];
        bool existing;
        struct error err; /* of its start */
        sem_t started, finished;
};

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

static bool wait_for(sem_t *sem)
{
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 60;
        return sem_timedwait(sem, &until) == 0;
}

static enum status play_request(struct play *play, struct stage *stage,
                                const struct engine_request *request)
{
        struct error err = ERROR_INIT;

        *play = (struct play){.stage = stage, .err = ERROR_INIT};
        sem_init(&play->started, 0, 0);
        sem_init(&play->finished, 0, 0);
        if (engine_start(stage->engine, request, &callbacks, play, NULL, &err)) {
                play->err = err;
                return err.status;
        }
        assert_true(wait_for(&play->started));
        return play->err.status;
}

static void play_start(struct play *play, struct stage *stage, const struct workflow *workflow)
{
        const struct engine_request request = {
                .user_id = stage->bench.user.id, .workflow = workflow, .user_input = "hello"};

        if (play_request(play, stage, &request))
                fail_msg("start: %s", play->err.message);
}

static void play_finish(struct play *play)
{
        assert_true(wait_for(&play->finished));
}

/* The row and its steps, below the bench. */
struct record {
        struct execution row;
        struct step *steps;
        size_t count;
};

static struct record read_record(struct stage *stage, const char *id)
{
        struct record record = {0};

        ok(store_get_execution_full(stage->bench.store, stage->bench.ctx, stage->bench.user.id, id,
                                    &record.row, &record.steps, &record.count, &err));
        return record;
}

static const struct step *find_step(const struct record *record, const char *node_id)
{
        for (size_t i = 0; i < record->count; i++)
                if (strcmp(record->steps[i].node_id, node_id) == 0)
                        return &record->steps[i];
        return NULL;
}

static void assert_step(const struct record *record, const char *node_id, const char *status,
                        int64_t attempt)
{
        const struct step *step = find_step(record, node_id);

        assert_non_null(step);
        assert_string_equal(step->status, status);
        assert_int_equal(step->attempt, attempt);
}

static void assert_holds(const char *text, const char *part)
{
        if (!text || !strstr(text, part))
                fail_msg("\"%s\" is not in: %s", part, text ? text : "NULL");
}

/* Runs a workflow to its end. */
static struct record play_through(struct stage *stage, const char *graph)
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

static const char *event_types_of(struct stage *stage, const struct record *record)
{
        struct buffer *types = mem_new(stage->bench.ctx, struct buffer);
        struct subscription *subscription = NULL;

        *types = BUFFER_INIT(stage->bench.ctx, 100000);
        ok(events_subscribe(stage->events, record->row.workflow_id, record->row.id, 0, gather_type,
                            types, &subscription, &err));
        events_unsubscribe(subscription);
        return buffer_string(types);
}

/* --- Running -----------------------------------------------------------------------------------*/
static void a_chain_runs_and_is_recorded(void **state)
{
        struct stage *stage = *state;
        struct record record = play_through(
                stage, G(Q "," ECHO("a") ",{'id':'b','type':'testEcho','data':{'text':'<{{q.text}}|"
                                         "{{a.text}}>','tokens':2}}," O,
                         E("q", "a") "," E("a", "b") "," E("b", "o")));

        assert_string_equal(record.row.status, "completed");
        assert_string_equal(record.row.output,
                            "{\"text\":\"<hello|hello>\",\"citations\":[],\"format\":\"text\"}");
        assert_null(record.row.error);
        assert_string_equal(record.row.usage, "{\"input_tokens\":2,\"output_tokens\":1,"
                                              "\"cost_dollars\":0.5,\"time_to_first_token_ms\":7}");
        assert_true(record.row.started_at > 0 && record.row.finished_at >= record.row.started_at);
        assert_int_equal(record.count, 4);
        assert_step(&record, "q", "completed", 1);
        assert_step(&record, "a", "completed", 1);
        assert_step(&record, "o", "completed", 1);
        assert_string_equal(find_step(&record, "q")->input, "{\"text\":\"hello\"}");
        assert_string_equal(find_step(&record, "a")->input,
                            "{\"input\":[{\"node_id\":\"q\",\"text\":\"hello\"}]}");
        assert_holds(find_step(&record, "b")->output, "\"text\":\"<hello|hello>\"");
        assert_holds(find_step(&record, "b")->usage, "\"input_tokens\":2");
        assert_null(find_step(&record, "a")->usage);
        assert_string_equal(
                event_types_of(stage, &record),
                "execution_started node_started:q node_completed:q node_started:a "
                "node_completed:a node_started:b node_token:b node_token:b "
                "node_completed:b node_started:o node_completed:o execution_completed ");
        assert_int_equal(engine_running(stage->engine), 0);
}

static void problems_are_told_at_once(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(&stage->bench, G(Q, ""));
        const struct engine_request request = {
                .user_id = stage->bench.user.id, .workflow = &workflow, .user_input = "x"};
        struct problems *problems = problems_new(stage->bench.ctx);
        struct error err = ERROR_INIT;

        assert_int_equal(engine_start(stage->engine, &request, &callbacks, NULL, problems, &err),
                         STATUS_UNPROCESSABLE);
        assert_int_equal(problems->count, 1);
        assert_int_equal(engine_running(stage->engine), 0);
        const struct engine_request bad = {
                .user_id = stage->bench.user.id, .workflow = &workflow, .user_input = "\xFF"};

        assert_int_equal(engine_start(stage->engine, &bad, &callbacks, NULL, NULL, &err),
                         STATUS_INVALID);
}

static void branches_run_at_the_same_time(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," GATE("a") "," GATE("b") "," O,
                                 E("q", "a") "," E("q", "b") "," E("a", "o") "," E("b", "o")));
        struct play play;
        struct node_run *first, *second;

        play_start(&play, stage, &workflow);
        assert_true(gates_wait(2));
        first = gate_take();
        second = gate_take();
        assert_string_not_equal(first->node_id, second->node_id);
        assert_null(first->inputs);
        gate_open(second, second->node_id);
        gate_open(first, first->node_id);
        play_finish(&play);
        struct record record = read_record(stage, play.id);

        assert_string_equal(record.row.status, "completed");
        assert_holds(record.row.output, "\"text\":\"a\\n\\nb\"");
}

static void blocking_work_runs_aside(void **state)
{
        struct record record =
                play_through(*state, G(Q ",{'id':'a','type':'testEcho','data':{'defer':true}}," O,
                                       E("q", "a") "," E("a", "o")));

        assert_string_equal(record.row.status, "completed");
        assert_holds(record.row.output, "\"text\":\"hello\"");
}

static void history_and_context_reach_the_nodes(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench,
                G(Q ",{'id':'a','type':'testEcho','data':{'text':'{{q.context.name}}'}}," O,
                  E("q", "a") "," E("a", "o")));
        const struct llm_message history[] = {{"user", "one"}, {"assistant", "two"}};
        const struct engine_request request = {.user_id = stage->bench.user.id,
                                               .workflow = &workflow,
                                               .user_input = "hello",
                                               .context = "{\"name\":\"Ann\"}",
                                               .history = history,
                                               .history_count = 2};
        struct play play;

        assert_int_equal(play_request(&play, stage, &request), STATUS_OK);
        play_finish(&play);
        struct record record = read_record(stage, play.id);

        assert_holds(record.row.output, "\"text\":\"Ann\"");
        assert_holds(find_step(&record, "a")->output, "\"history\":2,\"last\":\"two\"");
        assert_holds(find_step(&record, "a")->output,
                     mem_printf(stage->bench.ctx, "\"key\":\"%s:a\"", play.id));
        assert_holds(find_step(&record, "q")->input, "\"context\":{\"name\":\"Ann\"}");
}

/* --- Failures ----------------------------------------------------------------------------------*/
#define FAIL(data)       "{'id':'f','type':'testFail','data':{" data "}}"
#define FAIL_CHAIN(data) G(Q "," FAIL(data) "," O, E("q", "f") "," E("f", "o"))

static void failed_attempts_are_tried_again_after_a_pause(void **state)
{
        struct stage *stage = *state;
        int64_t start = clock_monotonic_us();
        struct record record = play_through(stage, FAIL_CHAIN("'failures':2,'max_attempts':3"));

        assert_string_equal(record.row.status, "completed");
        assert_step(&record, "f", "completed", 3);
        /* 250 to 500 ms, then 500 to 1000. */
        assert_true(clock_monotonic_us() - start > 740000);
        assert_string_equal(
                event_types_of(stage, &record),
                "execution_started node_started:q node_completed:q node_started:f "
                "node_retrying:f node_started:f node_retrying:f node_started:f "
                "node_completed:f node_started:o node_completed:o execution_completed ");
}

static void the_last_attempt_fails_the_execution(void **state)
{
        struct stage *stage = *state;
        struct record record = play_through(stage, FAIL_CHAIN("'failures':9,'max_attempts':2"));

        assert_string_equal(record.row.status, "failed");
        assert_null(record.row.output);
        assert_string_equal(record.row.error, "{\"message\":\"broken on purpose\","
                                              "\"type\":\"upstream\",\"node_id\":\"f\"}");
        assert_step(&record, "f", "failed", 2);
        assert_string_equal(find_step(&record, "f")->error,
                            "{\"message\":\"broken on purpose\",\"type\":\"upstream\"}");
        assert_null(find_step(&record, "o"));
        assert_holds(event_types_of(stage, &record), "node_failed:f execution_failed ");
}

static void what_is_not_retryable_fails_at_once(void **state)
{
        struct record record =
                play_through(*state, FAIL_CHAIN("'failures':1,'max_attempts':3,'retryable':false"));

        assert_step(&record, "f", "failed", 1);
        assert_string_equal(record.row.status, "failed");
}

static void a_default_output_lets_the_execution_go_on(void **state)
{
        struct stage *stage = *state;
        struct record record = play_through(
                stage, FAIL_CHAIN("'failures':9,'on_error':'default','default_output':'instead'"));

        assert_string_equal(record.row.status, "completed");
        assert_holds(record.row.output, "\"text\":\"instead\"");
        assert_step(&record, "f", "failed", 1);
        assert_string_equal(find_step(&record, "f")->output, "{\"text\":\"instead\"}");
        assert_holds(find_step(&record, "f")->error, "broken on purpose");
}

#define BRANCHES(data)                                                                             \
        G(Q "," FAIL(data) "," ECHO("good") "," ECHO("bad") "," ECHO("after") "," O,               \
          E("q", "f") ",{'source':'f','sourceHandle':'out','target':'good'},"                      \
                      "{'source':'f','sourceHandle':'error','target':'bad'}," E(                   \
                              "good", "after") "," E("after", "o") "," E("bad", "o"))

static void an_error_branch_is_followed_and_the_other_skipped(void **state)
{
        struct stage *stage = *state;
        struct record record = play_through(stage, BRANCHES("'failures':9,'on_error':'branch'"));

        assert_string_equal(record.row.status, "completed");
        assert_holds(record.row.output, "\"text\":\"broken on purpose\"");
        assert_step(&record, "good", "skipped", 0);
        assert_step(&record, "after", "skipped", 0);
        assert_step(&record, "bad", "completed", 1);
        assert_holds(event_types_of(stage, &record), "node_skipped:good");
        record = play_through(stage, BRANCHES("'on_error':'branch'"));
        assert_string_equal(record.row.status, "completed");
        assert_step(&record, "bad", "skipped", 0);
        assert_step(&record, "after", "completed", 1);
}

static void without_an_output_reached_it_fails(void **state)
{
        struct record record = play_through(
                *state, G(Q "," FAIL("'failures':9,'on_error':'branch'") "," O,
                          E("q", "f") ",{'source':'f','sourceHandle':'out','target':'o'}"));

        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "broken on purpose");
        assert_step(&record, "o", "skipped", 0);
}

static void a_failure_ends_what_runs_beside_it(void **state)
{
        struct stage *stage = *state;
        struct record record = play_through(
                stage, G(Q "," FAIL("'failures':9,'retryable':false") "," GATE("g") "," O,
                         E("q", "g") "," E("q", "f") "," E("f", "o") "," E("g", "o")));

        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "\"node_id\":\"f\"");
        assert_true(strcmp(find_step(&record, "g")->status, "failed") == 0 ||
                    strcmp(find_step(&record, "g")->status, "skipped") == 0);
}

static void templates_without_value_fail_the_node(void **state)
{
        struct record record = play_through(
                *state, G(Q ",{'id':'a','type':'testEcho','data':{'text':'{{q.nothing}}'}}," O,
                          E("q", "a") "," E("a", "o")));

        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "text: {{q.nothing}} has no value");
        assert_int_equal(echo_runs, 0);
}

static void a_node_that_takes_too_long_times_out(void **state)
{
        struct stage *stage = *state;
        struct record record = play_through(
                stage, G(Q ",{'id':'g','type':'testGate','data':{'timeout_seconds':0.05}}," O,
                         E("q", "g") "," E("g", "o")));

        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "\"type\":\"timeout\"");
        assert_holds(record.row.error, "0.05 seconds");
        assert_int_equal(gates_cancelled, 1);
}

/* --- Cancelling --------------------------------------------------------------------------------*/
static void cancelling_takes_effect_while_a_node_waits(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," GATE("g") "," O, E("q", "g") "," E("g", "o")));
        struct error err = ERROR_INIT;
        struct play play;

        play_start(&play, stage, &workflow);
        assert_true(gates_wait(1));
        assert_int_equal(engine_cancel(stage->engine, play.id, &err), STATUS_OK);
        play_finish(&play);
        struct record record = read_record(stage, play.id);

        assert_string_equal(record.row.status, "cancelled");
        assert_int_equal(gates_cancelled, 1);
        assert_step(&record, "g", "failed", 1);
        assert_holds(find_step(&record, "g")->error, "cancelled");
        assert_holds(event_types_of(stage, &record), "node_failed:g execution_cancelled ");
        assert_int_equal(engine_cancel(stage->engine, play.id, &err), STATUS_NOT_FOUND);
}

static void cancelling_takes_effect_in_a_pause(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, FAIL_CHAIN("'failures':9,'max_attempts':10"));
        struct error err = ERROR_INIT;
        struct play play;
        int64_t start = clock_monotonic_us();

        play_start(&play, stage, &workflow);
        assert_int_equal(engine_cancel(stage->engine, play.id, &err), STATUS_OK);
        play_finish(&play);
        assert_string_equal(read_record(stage, play.id).row.status, "cancelled");
        assert_true(clock_monotonic_us() - start < 5000000);
}

/* --- Slots and queue ---------------------------------------------------------------------------*/
static void more_than_fit_wait_in_order(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," GATE("g") "," O, E("q", "g") "," E("g", "o")));
        const struct llm_message history[] = {{"user", "before"}};
        const struct engine_request request = {.user_id = stage->bench.user.id,
                                               .workflow = &workflow,
                                               .user_input = "third",
                                               .history = history,
                                               .history_count = 1};
        struct play plays[4];
        struct error err = ERROR_INIT;

        engine_free(stage->engine);
        stage_engine(stage, 1, 2);
        play_start(&plays[0], stage, &workflow);
        play_start(&plays[1], stage, &workflow);
        assert_int_equal(play_request(&plays[2], stage, &request), STATUS_OK);
        assert_int_equal(play_request(&plays[3], stage, &request), STATUS_UNAVAILABLE);
        assert_true(plays[3].err.retry_after_ms > 0);
        assert_int_equal(engine_running(stage->engine), 1);
        assert_int_equal(engine_queued(stage->engine), 2);
        struct record record = read_record(stage, plays[2].id);

        assert_string_equal(record.row.status, "queued");
        assert_step(&record, "q", "pending", 0);
        assert_holds(find_step(&record, "q")->input, "\"content\":\"before\"");
        assert_int_equal(engine_cancel(stage->engine, plays[1].id, &err), STATUS_OK);
        play_finish(&plays[1]);
        assert_string_equal(read_record(stage, plays[1].id).row.status, "cancelled");
        assert_true(gates_wait(1));
        gate_open(gate_take(), "one");
        play_finish(&plays[0]);
        assert_true(gates_wait(1));
        struct node_run *gate = gate_take();

        assert_string_equal(gate->execution_id, plays[2].id);
        assert_int_equal(gate->history_count, 1);
        gate_open(gate, "three");
        play_finish(&plays[2]);
        assert_holds(read_record(stage, plays[2].id).row.output, "three");
        assert_int_equal(engine_queued(stage->engine), 0);
}

static void post(void *arg)
{
        sem_post(arg);
}

static void ends_can_be_waited_for(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," GATE("g") "," O, E("q", "g") "," E("g", "o")));
        struct play play;
        sem_t ended;

        sem_init(&ended, 0, 0);
        play_start(&play, stage, &workflow);
        engine_when_finished(stage->engine, play.id, post, &ended);
        assert_true(gates_wait(1));
        assert_int_not_equal(sem_trywait(&ended), 0);
        gate_open(gate_take(), "x");
        assert_true(wait_for(&ended));
        assert_string_equal(read_record(stage, play.id).row.status, "completed");
        engine_when_finished(stage->engine, play.id, post, &ended);
        assert_int_equal(sem_trywait(&ended), 0);
        sem_destroy(&ended);
        play_finish(&play);
}

static void an_idempotency_key_runs_once(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," ECHO("a") "," O, E("q", "a") "," E("a", "o")));
        struct engine_request request = {.user_id = stage->bench.user.id,
                                         .workflow = &workflow,
                                         .user_input = "x",
                                         .idempotency_key = "k",
                                         .fingerprint = "f"};
        struct play first, second, third;

        assert_int_equal(play_request(&first, stage, &request), STATUS_OK);
        play_finish(&first);
        assert_int_equal(play_request(&second, stage, &request), STATUS_OK);
        assert_true(second.existing);
        assert_string_equal(second.id, first.id);
        request.fingerprint = "other";
        assert_int_equal(play_request(&third, stage, &request), STATUS_UNPROCESSABLE);
        assert_int_equal(echo_runs, 1);
        assert_int_equal(engine_running(stage->engine), 0);
}

/* --- Stopping and going on ---------------------------------------------------------------------*/
static void a_stop_lets_what_runs_end_and_starts_nothing_more(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," ECHO("a") "," O, E("q", "a") "," E("a", "o")));
        const struct engine_request request = {
                .user_id = stage->bench.user.id, .workflow = &workflow, .user_input = "x"};
        struct play play;

        engine_stop(stage->engine, 1000);
        assert_int_equal(play_request(&play, stage, &request), STATUS_UNAVAILABLE);
}

static void an_interrupted_execution_goes_on_with_the_next_engine(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q ",{'id':'a','type':'testEcho','data':{'tokens':3}}," GATE(
                                         "g") ","
                                              "{'id':'b','type':'testEcho','data':{'text':'{{a."
                                              "text}}+{{g.text}}'}}," O,
                                 E("q", "a") "," E("a", "g") "," E("g", "b") "," E("b", "o")));
        const struct llm_message history[] = {{"user", "before"}};
        const struct engine_request request = {.user_id = stage->bench.user.id,
                                               .workflow = &workflow,
                                               .user_input = "hello",
                                               .history = history,
                                               .history_count = 1};
        struct play play;
        sem_t ended;

        assert_int_equal(play_request(&play, stage, &request), STATUS_OK);
        assert_true(gates_wait(1));
        stage_restart(stage, 0);
        play_finish(&play);
        assert_int_equal(gates_cancelled, 1);
        assert_true(gates_wait(1));
        struct record record = read_record(stage, play.id);

        assert_string_equal(record.row.status, "running");
        assert_step(&record, "g", "running", 2);
        sem_init(&ended, 0, 0);
        engine_when_finished(stage->engine, play.id, post, &ended);
        struct node_run *gate = gate_take();

        assert_int_equal(gate->history_count, 1);
        assert_string_equal(gate->history[0].content, "before");
        gate_open(gate, "open");
        assert_true(wait_for(&ended));
        record = read_record(stage, play.id);
        assert_string_equal(record.row.status, "completed");
        assert_holds(record.row.output, "\"text\":\"hello+open\"");
        assert_holds(record.row.usage, "\"input_tokens\":3");
        assert_int_equal(echo_runs, 2);
        assert_holds(
                event_types_of(stage, &record),
                "node_started:g node_retrying:g node_started:g node_completed:g node_started:b");
        sem_destroy(&ended);
}

static void queued_executions_survive_a_restart(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," GATE("g") "," O, E("q", "g") "," E("g", "o")));
        struct play plays[3];
        sem_t ended;

        engine_free(stage->engine);
        stage_engine(stage, 1, 0);
        for (int i = 0; i < 3; i++)
                play_start(&plays[i], stage, &workflow);
        assert_true(gates_wait(1));
        stage_restart(stage, 2);
        assert_true(gates_wait(2));
        assert_int_equal(engine_running(stage->engine), 2);
        assert_int_equal(engine_queued(stage->engine), 1);
        sem_init(&ended, 0, 0);
        for (int i = 0; i < 3; i++)
                engine_when_finished(stage->engine, plays[i].id, post, &ended);
        for (int i = 0; i < 3; i++) {
                assert_true(gates_wait(1));
                gate_open(gate_take(), "x");
        }
        for (int i = 0; i < 3; i++)
                assert_true(wait_for(&ended));
        for (int i = 0; i < 3; i++)
                assert_string_equal(read_record(stage, plays[i].id).row.status, "completed");
        sem_destroy(&ended);
}

/* The child runs up to the gate, says so and is killed. */
static void run_until_killed(const char *url, const struct workflow *workflow, const char *user_id,
                             int told)
{
        struct stage child = {0};
        struct error err = ERROR_INIT;
        struct play play;
        const struct engine_request request = {
                .user_id = user_id, .workflow = workflow, .user_input = "hello"};

        if (store_open(url, &child.bench.store, &err) ||
            events_new(child.bench.store, &child.events, &err))
                _exit(1);
        stage_engine(&child, 0, 0);
        if (play_request(&play, &child, &request) || !gates_wait(1) ||
            write(told, play.id, UUID_TEXT_SIZE) != UUID_TEXT_SIZE)
                _exit(2);
        pause();
}

static void a_kill_loses_no_committed_step(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, G(Q "," ECHO("a") "," GATE("g") "," O,
                                                E("q", "a") "," E("a", "g") "," E("g", "o")));
        char file[128], id[UUID_TEXT_SIZE];
        struct stat info;
        int told[2];
        sem_t ended;

        snprintf(file, sizeof(file), "%s/runs", stage->bench.folder.path);
        echo_file = file;
        stage->engine = engine_free(stage->engine);
        stage->events = events_free(stage->events);
        stage->bench.store = store_free(stage->bench.store);
        assert_int_equal(pipe(told), 0);
        pid_t child = fork();

        if (child == 0)
                run_until_killed(stage->bench.folder.url, &workflow, stage->bench.user.id, told[1]);
        close(told[1]);
        assert_int_equal(read(told[0], id, sizeof(id)), sizeof(id));
        close(told[0]);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        ok(store_open(stage->bench.folder.url, &stage->bench.store, &err));
        ok(events_new(stage->bench.store, &stage->events, &err));
        stage_engine(stage, 0, 0);
        sem_init(&ended, 0, 0);
        engine_when_finished(stage->engine, id, post, &ended);
        assert_true(gates_wait(1));
        gate_open(gate_take(), "after");
        assert_true(wait_for(&ended));
        struct record record = read_record(stage, id);

        assert_string_equal(record.row.status, "completed");
        assert_step(&record, "a", "completed", 1);
        assert_step(&record, "g", "completed", 2);
        assert_int_equal(stat(file, &info), 0);
        assert_int_equal(info.st_size, 1);
        assert_holds(event_types_of(stage, &record), "node_started:g node_completed:g");
        sem_destroy(&ended);
}

/* --- Many --------------------------------------------------------------------------------------*/
enum { MANY = 10000 };

static long resident_kb(void)
{
        SCOPED_FILE FILE *file = fopen("/proc/self/statm", "r");
        long size, resident;

        assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
        return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

struct crowd {
        sem_t started, finished;
};

static void crowd_started(void *arg, const char *id, bool existing, const struct error *err)
{
        (void)id;
        (void)existing;
        assert_null(err);
        sem_post(&((struct crowd *)arg)->started);
}

static void crowd_finished(void *arg, const char *id)
{
        (void)id;
        sem_post(&((struct crowd *)arg)->finished);
}

static void thousands_wait_in_little_memory(void **state)
{
        static const struct engine_callbacks crowd_callbacks = {crowd_started, crowd_finished};
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, G(Q "," ECHO("a") "," GATE("g") "," O,
                                                E("q", "a") "," E("a", "g") "," E("g", "o")));
        const struct engine_request request = {
                .user_id = stage->bench.user.id, .workflow = &workflow, .user_input = "hello"};
        struct crowd crowd;
        long before = resident_kb(), each;

        sem_init(&crowd.started, 0, 0);
        sem_init(&crowd.finished, 0, 0);
        for (int i = 0; i < MANY; i++)
                ok(engine_start(stage->engine, &request, &crowd_callbacks, &crowd, NULL, &err));
        for (int i = 0; i < MANY; i++)
                assert_true(wait_for(&crowd.started));
        assert_true(gates_wait(MANY));
        assert_int_equal(engine_running(stage->engine), MANY);
        each = (resident_kb() - before) * 1024 / MANY;
        print_message("%d waiting executions: %ld bytes each\n", MANY, each);
        struct node_run *gate;

        while ((gate = gate_take()))
                gate_open(gate, "x");
        for (int i = 0; i < MANY; i++)
                assert_true(wait_for(&crowd.finished));
        assert_int_equal(engine_running(stage->engine), 0);
        assert_int_equal(echo_runs, MANY);
        sem_destroy(&crowd.started);
        sem_destroy(&crowd.finished);
}

#define with_stage(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_stage(a_chain_runs_and_is_recorded),
                with_stage(problems_are_told_at_once),
                with_stage(branches_run_at_the_same_time),
                with_stage(blocking_work_runs_aside),
                with_stage(history_and_context_reach_the_nodes),
                with_stage(failed_attempts_are_tried_again_after_a_pause),
                with_stage(the_last_attempt_fails_the_execution),
                with_stage(what_is_not_retryable_fails_at_once),
                with_stage(a_default_output_lets_the_execution_go_on),
                with_stage(an_error_branch_is_followed_and_the_other_skipped),
                with_stage(without_an_output_reached_it_fails),
                with_stage(a_failure_ends_what_runs_beside_it),
                with_stage(templates_without_value_fail_the_node),
                with_stage(a_node_that_takes_too_long_times_out),
                with_stage(cancelling_takes_effect_while_a_node_waits),
                with_stage(cancelling_takes_effect_in_a_pause),
                with_stage(more_than_fit_wait_in_order),
                with_stage(ends_can_be_waited_for),
                with_stage(an_idempotency_key_runs_once),
                with_stage(a_stop_lets_what_runs_end_and_starts_nothing_more),
                with_stage(an_interrupted_execution_goes_on_with_the_next_engine),
                with_stage(queued_executions_survive_a_restart),
                with_stage(a_kill_loses_no_committed_step),
                with_stage(thousands_wait_in_little_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
