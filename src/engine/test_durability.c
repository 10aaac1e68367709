/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/test_stage.h"

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
static void *stop_engine(void *arg)
{
        struct stage *stage = arg;

        engine_stop(stage->engine, 30000);
        return NULL;
}

static void a_stop_lets_what_runs_end_and_starts_nothing_more(void **state)
{
        struct stage *stage = *state;
        struct workflow ends = bench_workflow(
                &stage->bench, G(Q "," GATE("g") "," O, E("q", "g") "," E("g", "o")));
        struct workflow goes_on =
                bench_workflow(&stage->bench, G(Q "," GATE("g") "," ECHO("a") "," O,
                                                E("q", "g") "," E("g", "a") "," E("a", "o")));
        struct workflow quick = bench_workflow(&stage->bench, G(Q "," O, E("q", "o")));
        const struct engine_request probe = {
                .user_id = stage->bench.user.id, .workflow = &quick, .user_input = "x"};
        struct play first, second, refused;
        pthread_t thread;
        sem_t ended;

        play_start(&first, stage, &ends);
        assert_true(gates_wait(1));
        play_start(&second, stage, &goes_on);
        assert_true(gates_wait(2));
        pthread_create(&thread, NULL, stop_engine, stage);
        while (play_request(&refused, stage, &probe) != STATUS_UNAVAILABLE)
                play_finish(&refused);
        gate_open(gate_take(), "one");
        gate_open(gate_take(), "two");
        pthread_join(thread, NULL);
        play_finish(&first);
        play_finish(&second);
        assert_string_equal(read_record(stage, first.id).row.status, "completed");
        struct record record = read_record(stage, second.id);

        assert_string_equal(record.row.status, "running");
        assert_step(&record, "g", "completed", 1);
        assert_null(find_step(&record, "a"));
        assert_int_equal(gates_cancelled, 0);
        engine_free(stage->engine);
        stage_engine(stage, 0, 0);
        sem_init(&ended, 0, 0);
        engine_when_finished(stage->engine, second.id, post, &ended);
        assert_true(wait_for(&ended));
        record = read_record(stage, second.id);
        assert_string_equal(record.row.status, "completed");
        assert_step(&record, "g", "completed", 1);
        assert_holds(record.row.output, "\"text\":\"two\"");
        sem_destroy(&ended);
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

static void a_deleted_workflow_ends_its_executions(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, G(Q "," GATE("g") "," ECHO("a") "," O,
                                                E("q", "g") "," E("g", "a") "," E("a", "o")));
        struct play play;

        play_start(&play, stage, &workflow);
        assert_true(gates_wait(1));
        ok(store_delete_workflow(stage->bench.store, stage->bench.user.id, workflow.id, &err));
        gate_open(gate_take(), "late");
        play_finish(&play);
        assert_int_equal(engine_running(stage->engine), 0);
}

/* --- Any moment --------------------------------------------------------------------------------*/
enum { RACES = 400 };

/* Executions of parallel branches are cancelled while they begin, run, pause or end, and the engine
 * is stopped under the rest: each ends once, and the next engine finishes what is left. */
static void cancel_and_stop_may_come_at_any_moment(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench,
                G(Q "," ECHO("a") ",{'id':'b','type':'testEcho','data':{'defer':true,'tokens':5}},"
                                  "{'id':'f','type':'testFail','data':{'failures':1,'on_error':'"
                                  "branch'}}," ECHO("c") "," O,
                  E("q", "a") "," E("q", "b") "," E(
                          "q", "f") ","
                                    "{'source':'f','sourceHandle':'error','target':'c'}," E(
                                            "a", "o") "," E("b", "o") "," E("c", "o")));
        struct play *plays = mem_array(stage->bench.ctx, struct play, RACES);
        struct error err = ERROR_INIT;
        size_t cancelled = 0, left = 0;
        sem_t ended;

        for (size_t i = 0; i < RACES; i++) {
                play_start(&plays[i], stage, &workflow);
                if (i % 2 == 0)
                        cancelled += !engine_cancel(stage->engine, plays[i - i % 4].id, &err);
        }
        stage_restart(stage, 0);
        sem_init(&ended, 0, 0);
        for (size_t i = 0; i < RACES; i++) {
                play_finish(&plays[i]);
                assert_int_not_equal(sem_trywait(&plays[i].finished), 0);
                engine_when_finished(stage->engine, plays[i].id, post, &ended);
        }
        for (size_t i = 0; i < RACES; i++)
                assert_true(wait_for(&ended));
        for (size_t i = 0; i < RACES; i++) {
                const char *status = read_record(stage, plays[i].id).row.status;

                left += strcmp(status, "cancelled") == 0;
                assert_true(strcmp(status, "cancelled") == 0 || strcmp(status, "completed") == 0);
        }
        assert_true(left <= cancelled);
        assert_int_equal(engine_running(stage->engine), 0);
        sem_destroy(&ended);
}

/* --- Many --------------------------------------------------------------------------------------*/
enum { MANY = 10000 };

static long resident_kb(void)
{
        SCOPED_FILE FILE *file = fopen("/proc/self/statm", "r");
        char line[200], *resident;

        assert_non_null(fgets(line, sizeof(line), file));
        resident = strchr(line, ' ');
        assert_non_null(resident);
        return strtol(resident, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_stage(more_than_fit_wait_in_order),
                with_stage(ends_can_be_waited_for),
                with_stage(an_idempotency_key_runs_once),
                with_stage(a_stop_lets_what_runs_end_and_starts_nothing_more),
                with_stage(an_interrupted_execution_goes_on_with_the_next_engine),
                with_stage(queued_executions_survive_a_restart),
                with_stage(a_kill_loses_no_committed_step),
                with_stage(a_deleted_workflow_ends_its_executions),
                with_stage(cancel_and_stop_may_come_at_any_moment),
                with_stage(thousands_wait_in_little_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
