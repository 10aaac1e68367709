/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/test_stage.h"
#include "observe/log.h"
#include "observe/metrics.h"

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
        static const struct engine_callbacks never = {0};
        struct problems *problems = problems_new(stage->bench.ctx);
        struct error err = ERROR_INIT;

        assert_int_equal(engine_start(stage->engine, &request, &never, NULL, problems, &err),
                         STATUS_UNPROCESSABLE);
        assert_int_equal(problems->count, 1);
        assert_int_equal(engine_running(stage->engine), 0);
        const struct engine_request bad = {
                .user_id = stage->bench.user.id, .workflow = &workflow, .user_input = "\xFF"};

        assert_int_equal(engine_start(stage->engine, &bad, &never, NULL, NULL, &err),
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

struct lines {
        size_t count, with_ids, nodes;
};

static struct lines read_log(const char *path, const char *execution_id)
{
        SCOPED_FILE FILE *file = fopen(path, "r");
        struct lines lines = {0};
        char line[8192];

        assert_non_null(file);
        while (fgets(line, sizeof(line), file)) {
                SCOPED_JSON json_t *json = json_loads(line, 0, NULL);

                assert_non_null(json);
                lines.count++;
                lines.with_ids +=
                        strcmp(json_get_text(json, "execution_id", ""), execution_id) == 0 &&
                        strcmp(json_get_text(json, "request_id", ""), "r-7") == 0;
                if (strcmp(json_get_text(json, "event_type", ""), "node_execution") != 0)
                        continue;
                lines.nodes += json_get_text(json, "node_id", NULL) &&
                               json_object_get(json, "attempt") &&
                               json_object_get(json, "duration_ms") &&
                               strcmp(json_get_text(json, "status", ""), "completed") == 0;
        }
        return lines;
}

static void logs_and_metrics_tell_of_it(void **state)
{
        struct stage *stage = *state;
        char *file = mem_printf(stage->bench.ctx, "%s/log", stage->bench.folder.path);
        const struct log_options options = {.file = file, .level = LOG_LEVEL_INFO};
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q "," ECHO("a") "," O, E("q", "a") "," E("a", "o")));
        struct trace trace = {.request_id = "r-7"};
        const struct engine_request request = {.user_id = stage->bench.user.id,
                                               .workflow = &workflow,
                                               .user_input = "hello",
                                               .trace = &trace};
        struct buffer metrics = BUFFER_INIT(stage->bench.ctx, 1000000);
        struct play play;

        ok(log_start(&options, &err));
        assert_int_equal(play_request(&play, stage, &request), STATUS_OK);
        play_finish(&play);
        log_stop();
        struct lines lines = read_log(file, play.id);

        assert_int_equal(lines.count, 5);
        assert_int_equal(lines.with_ids, 5);
        assert_int_equal(lines.nodes, 3);
        metrics_write(&metrics, METRICS_TEXT);
        assert_holds(metrics.data, "flowgenix_workflow_executions_total{status=\"completed\"} ");
        assert_holds(metrics.data, "flowgenix_workflow_executions_running 0\n");
        assert_holds(metrics.data,
                     "flowgenix_node_executions_total{type=\"testEcho\",status=\"completed\"} ");
        assert_holds(metrics.data,
                     "flowgenix_node_execution_duration_seconds_count{type=\"output\"} ");
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_stage(a_chain_runs_and_is_recorded),
                with_stage(problems_are_told_at_once),
                with_stage(branches_run_at_the_same_time),
                with_stage(blocking_work_runs_aside),
                with_stage(history_and_context_reach_the_nodes),
                with_stage(logs_and_metrics_tell_of_it),
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
