/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/events.h"
#include "engine/events_internal.h"
#include "engine/test_engine.h"

/* --- What a subscriber saw ---------------------------------------------------------------------*/
struct seen {
        pthread_mutex_t lock;
        size_t count;
        int64_t first, last;
        bool gap; /* a number that is not one above the one before */
        char types[400];
        char last_json[2000];
        sem_t *gate; /* if set, the first event posts the one and waits for the other */
        sem_t *arrived;
};

static void see(const struct event *event, void *arg)
{
        struct seen *seen = arg;

        if (seen->gate && seen->count == 0) {
                sem_post(seen->arrived);
                sem_wait(seen->gate);
        }
        pthread_mutex_lock(&seen->lock);
        if (seen->count == 0)
                seen->first = event->seq;
        else if (event->seq != seen->last + 1)
                seen->gap = true;
        seen->last = event->seq;
        seen->count++;
        if (strlen(seen->types) + strlen(event->type) + 2 < sizeof(seen->types)) {
                size_t used = strlen(seen->types);

                snprintf(seen->types + used, sizeof(seen->types) - used, "%s ", event->type);
        }
        snprintf(seen->last_json, sizeof(seen->last_json), "%.*s", (int)event->length, event->json);
        pthread_mutex_unlock(&seen->lock);
}

#define SEEN ((struct seen){.lock = PTHREAD_MUTEX_INITIALIZER})

/* --- Executions without an engine --------------------------------------------------------------*/
struct flow {
        struct bench *bench;
        struct events *events;
        struct workflow workflow;
        struct event_log *log;
        struct execution row;
        char id[UUID_TEXT_SIZE];
        bool inserted;
};

static struct flow begin(struct bench *bench, struct events *events, struct workflow workflow)
{
        struct flow flow = {.bench = bench, .events = events, .workflow = workflow};

        uuid_new(flow.id);
        ok(event_log_new(events, bench->ctx, workflow.id, flow.id, NULL, NULL, &flow.log, &err));
        return flow;
}

static void commit(struct flow *flow, const char *status, struct step *step, const char *output)
{
        SCOPED_MEM void *ctx = mem_root();
        struct event_batch batch;
        struct execution_commit parts = {
                .execution_id = flow->id,
                .workflow_id = flow->workflow.id,
                .steps = step,
                .step_count = step ? 1 : 0,
        };

        flow->row = (struct execution){
                .id = flow->id,
                .workflow_id = flow->workflow.id,
                .user_id = flow->bench->user.id,
                .workflow_version = 1,
                .status = TEXT(status),
                .user_input = TEXT("x"),
                .output = TEXT(output),
                .created_at = 1,
                .started_at = 1,
                .finished_at = strcmp(status, "running") == 0 ? 0 : 2,
        };
        if (flow->inserted)
                parts.update = &flow->row;
        else
                parts.insert = &flow->row;
        flow->inserted = true;
        bool any = event_log_take(flow->log, ctx, &batch);

        if (any)
                parts.events = &batch;
        commit_now(flow->bench->store, &parts);
        if (any)
                event_log_committed(flow->log, &batch);
}

static void end(struct flow *flow)
{
        flow->log = mem_free(flow->log);
}

static struct subscription *subscribe(struct flow *flow, bool only_it, int64_t after,
                                      struct seen *seen)
{
        struct subscription *subscription = NULL;

        ok(events_subscribe(flow->events, flow->workflow.id, only_it ? flow->id : NULL, after, see,
                            seen, &subscription, &err));
        return subscription;
}

struct stage {
        struct bench bench;
        struct events *events;
        struct workflow workflow;
};

static int setup(void **state)
{
        struct stage *stage = mem_new(NULL, struct stage);

        stage->bench = bench_new();
        ok(events_new(stage->bench.store, &stage->events, &err));
        stage->workflow = bench_workflow(&stage->bench, "{'nodes':[],'edges':[]}");
        *state = stage;
        return 0;
}

static int teardown(void **state)
{
        struct stage *stage = *state;

        events_free(stage->events);
        bench_free(&stage->bench);
        mem_free(stage);
        return 0;
}

static struct flow stage_begin(struct stage *stage)
{
        return begin(&stage->bench, stage->events, stage->workflow);
}

/* --- Tests -------------------------------------------------------------------------------------*/
static void events_are_told_in_the_contracts_shape(void **state)
{
        struct flow flow = stage_begin(*state);
        struct seen all = SEEN, own = SEEN;
        struct subscription *a = subscribe(&flow, false, -1, &all),
                            *b = subscribe(&flow, true, 0, &own);
        struct error err = ERROR_INIT;
        SCOPED_JSON json_t *json = NULL;

        event_emit(flow.log, "execution_started", NULL, "{\"workflow_version\":1}");
        event_emit_token(flow.log, "no\tde\"1", "a \"b\"\n\xC3\xA9", 8);
        assert_int_equal(all.count, 2);
        assert_int_equal(own.count, 2);
        assert_int_equal(all.first, 1);
        assert_int_equal(json_read(all.last_json, strlen(all.last_json), &json, &err), STATUS_OK);
        assert_string_equal(json_get_text(json, "type", ""), "node_token");
        assert_string_equal(json_get_text(json, "execution_id", ""), flow.id);
        assert_string_equal(json_get_text(json, "workflow_id", ""), flow.workflow.id);
        assert_string_equal(json_get_text(json, "node_id", ""), "no\tde\"1");
        assert_int_equal(json_get_int(json, "seq", 0), 2);
        assert_int_equal(strlen(json_get_text(json, "timestamp", "")), 24);
        assert_string_equal(json_string_value(json_path(json, "data.text")), "a \"b\"\n\xC3\xA9");
        events_unsubscribe(a);
        event_emit(flow.log, "node_started", "n", NULL);
        assert_int_equal(all.count, 2);
        assert_int_equal(own.count, 3);
        events_unsubscribe(b);
        end(&flow);
}

static void the_past_comes_from_memory_and_store(void **state)
{
        struct flow flow = stage_begin(*state);
        struct step step = {.node_id = TEXT("n"),
                            .type = TEXT("llmEngine"),
                            .attempt = 1,
                            .status = TEXT("completed"),
                            .output = TEXT("{\"text\":\"t\"}")};
        struct seen memory = SEEN, store = SEEN, late = SEEN;

        event_emit(flow.log, "execution_started", NULL, NULL);
        for (int i = 0; i < 20; i++)
                event_emit_token(flow.log, "n", "word ", 5);
        event_emit_output(flow.log, "n", "{\"text\":\"t\"}", "{\"usage\":null,\"duration_ms\":5}");
        events_unsubscribe(subscribe(&flow, false, 0, &memory));
        assert_int_equal(memory.count, 22);
        assert_non_null(
                strstr(memory.last_json,
                       "\"data\":{\"output\":{\"text\":\"t\"},\"usage\":null,\"duration_ms\":5}"));
        commit(&flow, "running", &step, NULL);
        event_emit(flow.log, "node_started", "o", NULL);
        struct subscription *live = subscribe(&flow, false, 21, &store);

        assert_int_equal(store.count, 2);
        assert_int_equal(store.first, 22);
        event_emit_final(flow.log, "execution_completed", "{\"text\":\"end\"}", "{\"usage\":null}");
        assert_int_equal(store.count, 2);
        event_emit(flow.log, "node_token", "n", "{}");
        commit(&flow, "completed", NULL, "{\"text\":\"end\"}");
        assert_int_equal(store.count, 3);
        assert_false(store.gap);
        end(&flow);
        events_unsubscribe(subscribe(&flow, true, 0, &late));
        assert_int_equal(late.count, 24);
        assert_int_equal(late.first, 1);
        assert_false(late.gap);
        assert_string_equal(late.last_json, store.last_json);
        assert_non_null(strstr(late.last_json, "{\"output\":{\"text\":\"end\"},\"usage\":null}"));
        events_unsubscribe(live);
}

static void replayed_events_equal_live_ones(void **state)
{
        struct flow flow = stage_begin(*state);
        struct seen live = SEEN, again = SEEN;
        struct subscription *subscription = subscribe(&flow, false, 0, &live);

        event_emit(flow.log, "node_failed", "n",
                   "{\"error\":{\"message\":\"\\t\\n\"},\"attempt\":1}");
        commit(&flow, "running", NULL, NULL);
        events_unsubscribe(subscribe(&flow, false, 0, &again));
        assert_string_equal(again.last_json, live.last_json);
        events_unsubscribe(subscription);
        end(&flow);
}

static void the_end_is_told_with_its_commit_and_holds_the_order(void **state)
{
        struct flow one = stage_begin(*state), two = stage_begin(*state);
        struct seen seen = SEEN, late = SEEN;
        struct subscription *subscription = subscribe(&one, false, 0, &seen);

        event_emit_final(one.log, "execution_failed", NULL, "{\"error\":{}}");
        event_emit(two.log, "node_started", "n", NULL);
        assert_int_equal(seen.count, 0);
        events_unsubscribe(subscribe(&two, false, 0, &late));
        assert_int_equal(late.count, 0);
        struct subscription *joined = subscribe(&two, false, 0, &late);

        commit(&one, "failed", NULL, NULL);
        assert_string_equal(seen.types, "execution_failed node_started ");
        assert_string_equal(late.types, "execution_failed node_started ");
        assert_null(strstr(seen.types, "output"));
        events_unsubscribe(joined);
        events_unsubscribe(subscription);
        end(&one);
        end(&two);
}

static void an_end_without_commit_is_not_told(void **state)
{
        struct flow one = stage_begin(*state), two = stage_begin(*state);
        struct seen seen = SEEN;
        struct subscription *subscription = subscribe(&one, false, 0, &seen);

        event_emit_final(one.log, "execution_completed", "{}", NULL);
        event_emit(two.log, "node_started", "n", NULL);
        end(&one);
        assert_string_equal(seen.types, "node_started ");
        assert_int_equal(seen.first, 2);
        events_unsubscribe(subscription);
        end(&two);
}

static void numbers_go_on_after_a_restart_and_jump_after_a_crash(void **state)
{
        struct stage *stage = *state;
        struct flow one = stage_begin(stage), two, three;
        struct seen seen = SEEN, after_crash = SEEN;

        event_emit(one.log, "execution_started", NULL, NULL);
        event_emit_final(one.log, "execution_completed", NULL, NULL);
        commit(&one, "completed", NULL, NULL);
        end(&one);
        two = stage_begin(stage);
        commit(&two, "running", NULL, NULL);
        struct subscription *subscription = subscribe(&two, false, -1, &seen);

        event_emit(two.log, "execution_started", NULL, NULL);
        assert_int_equal(seen.first, 3);
        events_unsubscribe(subscription);
        /* Left running and uncommitted, as by a crash. */
        end(&two);
        three = stage_begin(stage);
        subscription = subscribe(&three, false, 2, &after_crash);
        event_emit(three.log, "execution_started", NULL, NULL);
        assert_int_equal(after_crash.count, 1);
        assert_int_equal(after_crash.first, 2 + (1 << 20) + 1);
        events_unsubscribe(subscription);
        end(&three);
}

static void tokens_are_packed_small(void **state)
{
        struct flow flow = stage_begin(*state);
        struct event_batch batch;

        for (int i = 0; i < 1000; i++)
                event_emit_token(flow.log, "a-node-with-a-long-name", "word ", 5);
        assert_true(event_log_take(flow.log, flow.bench->ctx, &batch));
        assert_int_equal(batch.first_seq, 1);
        assert_int_equal(batch.last_seq, 1000);
        assert_true(strlen(batch.packed) < 20000);
        event_log_committed(flow.log, &batch);
        assert_false(event_log_take(flow.log, flow.bench->ctx, &batch));
        end(&flow);
}

static void damaged_batches_end_where_they_break(void **state)
{
        static const char *const texts[] = {
                "",
                "\n",
                "1",
                "1\t2\ta\t-\t{}",
                "x\t2\ta\t-\t{}\n",
                "1\t2\tzz\t-\t{}\n",
                "1\t2\tz\t-\t{}\n",
                "1\t2\ta\t-\n",
                "9999999999999999999\t1\ta\t-\t{}\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
                struct unpacker unpacker = {.at = texts[i]};

                assert_false(unpack_next(&unpacker));
        }
}

static void count_call(void *arg)
{
        ++*(int *)arg;
}

static void logs_that_fall_behind_are_asked_to_commit(void **state)
{
        struct stage *stage = *state;
        struct event_log *quiet = NULL, *busy = NULL;
        struct event_batch batch;
        int quiet_calls = 0, busy_calls = 0;

        ok(event_log_new(stage->events, NULL, stage->workflow.id, "e1", count_call, &quiet_calls,
                         &quiet, &err));
        ok(event_log_new(stage->events, NULL, stage->workflow.id, "e2", count_call, &busy_calls,
                         &busy, &err));
        event_emit(quiet, "node_started", "n", NULL);
        for (int i = 0; i < EVENTS_SPAN_MAX; i++)
                event_emit_token(busy, "n", "x", 1);
        assert_int_equal(quiet_calls, 0);
        event_emit_token(busy, "n", "x", 1);
        assert_int_equal(quiet_calls, 1);
        event_emit_token(busy, "n", "x", 1);
        assert_int_equal(quiet_calls, 1);
        assert_int_equal(busy_calls, 1);
        assert_true(event_log_take(busy, stage->bench.ctx, &batch));
        event_log_committed(busy, &batch);
        event_emit_token(busy, "n", "x", 1);
        assert_int_equal(busy_calls, 1);
        mem_free(quiet);
        mem_free(busy);
}

struct slow {
        struct flow *flow;
        struct seen *seen;
        struct subscription *subscription;
};

static void *subscribe_slowly(void *arg)
{
        struct slow *slow = arg;

        slow->subscription = subscribe(slow->flow, false, 0, slow->seen);
        return NULL;
}

/* Nobody watched when the end was emitted: whoever joins before its commit gets it in its place. */
static void an_unwatched_end_is_told_to_who_joins_before_its_commit(void **state)
{
        struct flow one = stage_begin(*state), two = stage_begin(*state);
        struct seen seen = SEEN;
        struct slow slow = {&one, &seen, NULL};
        pthread_t thread;

        event_emit(one.log, "execution_started", NULL, NULL);
        event_emit_final(one.log, "execution_completed", "{\"text\":\"end\"}", NULL);
        event_emit(two.log, "node_started", "n", NULL);
        pthread_create(&thread, NULL, subscribe_slowly, &slow);
        event_emit(two.log, "node_failed", "n", "{\"error\":{}}");
        commit(&one, "completed", NULL, "{\"text\":\"end\"}");
        pthread_join(thread, NULL);
        event_emit(two.log, "node_retrying", "n", NULL);
        assert_string_equal(seen.types, "execution_started execution_completed node_started "
                                        "node_failed node_retrying ");
        assert_false(seen.gap);
        events_unsubscribe(slow.subscription);
        end(&one);
        end(&two);
}

/* More comes in while the past is told than is kept for a subscriber. */
static void a_slow_catching_up_loses_nothing(void **state)
{
        enum { MANY = 6000 };
        struct flow flow = stage_begin(*state);
        struct seen seen = SEEN;
        struct slow slow = {&flow, &seen, NULL};
        char text[1000];
        sem_t gate, arrived;
        pthread_t thread;

        memset(text, 'x', sizeof(text));
        sem_init(&gate, 0, 0);
        sem_init(&arrived, 0, 0);
        seen.gate = &gate;
        seen.arrived = &arrived;
        event_emit(flow.log, "node_started", "n", NULL);
        pthread_create(&thread, NULL, subscribe_slowly, &slow);
        sem_wait(&arrived);
        for (int i = 0; i < MANY; i++) {
                event_emit_token(flow.log, "n", text, sizeof(text));
                if (i == MANY / 2)
                        commit(&flow, "running", NULL, NULL);
        }
        sem_post(&gate);
        pthread_join(thread, NULL);
        event_emit_token(flow.log, "n", "x", 1);
        assert_int_equal(seen.count, MANY + 2);
        assert_false(seen.gap);
        events_unsubscribe(slow.subscription);
        sem_destroy(&gate);
        sem_destroy(&arrived);
        end(&flow);
}

/* --- Races -------------------------------------------------------------------------------------*/
enum { WRITERS = 3, RUNS = 12, TOKENS = 60, READERS = 4 };

struct race {
        struct stage *stage;
        atomic_bool over;
        atomic_int failures;
};

static void *write_runs(void *arg)
{
        struct race *race = arg;

        for (int run = 0; run < RUNS; run++) {
                struct flow flow = stage_begin(race->stage);

                commit(&flow, "running", NULL, NULL);
                event_emit(flow.log, "execution_started", NULL, NULL);
                for (int i = 0; i < TOKENS; i++) {
                        event_emit_token(flow.log, "n", "word ", 5);
                        if (i % 20 == 19)
                                commit(&flow, "running", NULL, NULL);
                }
                event_emit_final(flow.log, "execution_completed", "{}", NULL);
                commit(&flow, "completed", NULL, "{}");
                end(&flow);
        }
        return NULL;
}

/* Joins again and again from where it stopped; over all joins every number comes once. */
static void *read_on(void *arg)
{
        struct race *race = arg;
        struct seen seen = SEEN;
        struct error err = ERROR_INIT;
        unsigned turn = 0;
        bool last_round = false;

        while (!last_round) {
                struct subscription *subscription = NULL;

                last_round = race->over;
                if (events_subscribe(race->stage->events, race->stage->workflow.id, NULL, seen.last,
                                     see, &seen, &subscription, &err)) {
                        race->failures++;
                        break;
                }
                struct timespec pause = {.tv_nsec = 1000000L * (turn++ % 4)};

                nanosleep(&pause, NULL);
                events_unsubscribe(subscription);
        }
        if (seen.gap || seen.first != 1 || seen.last != (int64_t)WRITERS * RUNS * (TOKENS + 2))
                race->failures++;
        return NULL;
}

static void readers_that_come_and_go_miss_nothing(void **state)
{
        struct race race = {.stage = *state};
        pthread_t writers[WRITERS], readers[READERS];

        for (int i = 0; i < READERS; i++)
                pthread_create(&readers[i], NULL, read_on, &race);
        /* Keeps the channel: while executions run, numbers must not jump. */
        struct flow keeper = stage_begin(*state);

        for (int i = 0; i < WRITERS; i++)
                pthread_create(&writers[i], NULL, write_runs, &race);
        for (int i = 0; i < WRITERS; i++)
                pthread_join(writers[i], NULL);
        race.over = true;
        for (int i = 0; i < READERS; i++)
                pthread_join(readers[i], NULL);
        assert_int_equal(race.failures, 0);
        end(&keeper);
}

#define with_stage(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_stage(events_are_told_in_the_contracts_shape),
                with_stage(the_past_comes_from_memory_and_store),
                with_stage(replayed_events_equal_live_ones),
                with_stage(the_end_is_told_with_its_commit_and_holds_the_order),
                with_stage(an_end_without_commit_is_not_told),
                with_stage(numbers_go_on_after_a_restart_and_jump_after_a_crash),
                with_stage(tokens_are_packed_small),
                cmocka_unit_test(damaged_batches_end_where_they_break),
                with_stage(logs_that_fall_behind_are_asked_to_commit),
                with_stage(an_unwatched_end_is_told_to_who_joins_before_its_commit),
                with_stage(a_slow_catching_up_loses_nothing),
                with_stage(readers_that_come_and_go_miss_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
