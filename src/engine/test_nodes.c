/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/test_nodes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/nodes/nodes.h"
#include "llm/llm.h"

static const struct node_port inputs[] = {
        {.id = "input", .label = "Input", .type = PORT_ANY, .multiple = true},
        {0},
};
static const struct node_port outputs[] = {
        {.id = "out", .label = "Out", .type = PORT_ANY},
        {.id = "error", .label = "Error", .type = PORT_ANY},
        {0},
};

/* --- testEcho ----------------------------------------------------------------------------------*/
static const struct node_param echo_params[] = {
        {.name = "text", .label = "Text", .type = PARAM_TEMPLATE},
        {.name = "defer", .label = "Defer", .type = PARAM_BOOLEAN, .default_json = "false"},
        {.name = "failures", .label = "Failures", .type = PARAM_INTEGER, .default_json = "0"},
        {.name = "retryable", .label = "Retryable", .type = PARAM_BOOLEAN, .default_json = "true"},
        {.name = "tokens", .label = "Tokens", .type = PARAM_INTEGER, .default_json = "0"},
        {0},
};

int echo_runs;
const char *echo_file;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void count_run(void)
{
        pthread_mutex_lock(&lock);
        echo_runs++;
        if (echo_file) {
                FILE *file = fopen(echo_file, "a");

                fputc('x', file);
                fclose(file);
        }
        pthread_mutex_unlock(&lock);
}

static json_t *echo_output(struct node_run *run)
{
        struct buffer text = BUFFER_INIT(run->ctx, NODE_TEXT_MAX);
        const char *own = node_param_text(run, "text");
        const json_t *input;
        size_t i;

        if (own)
                buffer_text(&text, own);
        json_array_foreach (json_object_get(run->inputs, "input"), i, input)
                if (!own)
                        buffer_printf(&text, "%s%s", i ? "+" : "",
                                      json_get_text(input, "text", "?"));
        return json_pack("{s:s, s:i, s:s, s:s}", "text", buffer_string(&text), "history",
                         (int)run->history_count, "last",
                         run->history_count ? run->history[run->history_count - 1].content : "",
                         "key", run->idempotency_key);
}

static void echo(struct node_run *run)
{
        struct node_usage usage = {.input_tokens = json_get_int(run->params, "tokens", 0),
                                   .output_tokens = 1,
                                   .cost_dollars = 0.5,
                                   .time_to_first_token_ms = 7};
        json_t *output = echo_output(run);

        usage.has_tokens = usage.input_tokens > 0;
        for (int64_t i = 0; i < usage.input_tokens; i++)
                node_token(run, "tok ", 4);
        count_run();
        node_succeed(run, output, usage.has_tokens ? &usage : NULL);
}

static void run_echo(struct node_run *run)
{
        if (json_get_flag(run->params, "defer", false))
                node_defer(run, echo);
        else
                echo(run);
}

static const struct node_type echo_type = {
        .type = "testEcho",
        .title = "Echo",
        .description = "",
        .category = "test",
        .inputs = inputs,
        .outputs = outputs,
        .params = echo_params,
        .run = run_echo,
};

/* --- testFail ----------------------------------------------------------------------------------*/
/* Attempts are told apart by the tries of this execution, kept in the idempotency key's node. */
static void run_fail(struct node_run *run)
{
        static pthread_mutex_t tries_lock = PTHREAD_MUTEX_INITIALIZER;
        static char last_key[200];
        static int tries;
        struct error err = ERROR_INIT;
        int64_t failures = json_get_int(run->params, "failures", 0);
        bool fail;

        pthread_mutex_lock(&tries_lock);
        if (strcmp(last_key, run->idempotency_key) != 0) {
                snprintf(last_key, sizeof(last_key), "%s", run->idempotency_key);
                tries = 0;
        }
        fail = tries++ < failures;
        pthread_mutex_unlock(&tries_lock);
        if (!fail) {
                echo(run);
                return;
        }
        error_set(&err, STATUS_UPSTREAM, "broken on purpose");
        node_fail(run, &err, json_get_flag(run->params, "retryable", true));
}

static const struct node_type fail_type = {
        .type = "testFail",
        .title = "Fail",
        .description = "",
        .category = "test",
        .inputs = inputs,
        .outputs = outputs,
        .params = echo_params,
        .run = run_fail,
};

/* --- testGate ----------------------------------------------------------------------------------*/
struct gate {
        struct node_run *run;
        struct gate *next, *previous;
};

static struct gate *first, *last;
static size_t waiting;
int gates_cancelled;

static void leave(struct gate *gate)
{
        if (gate->previous)
                gate->previous->next = gate->next;
        else
                first = gate->next;
        if (gate->next)
                gate->next->previous = gate->previous;
        else
                last = gate->previous;
        waiting--;
        gate->run->state = NULL;
}

static void run_gate(struct node_run *run)
{
        struct gate *gate = mem_new(run->ctx, struct gate);

        node_release_inputs(run);
        pthread_mutex_lock(&lock);
        gate->run = run;
        run->state = gate;
        gate->previous = last;
        if (last)
                last->next = gate;
        else
                first = gate;
        last = gate;
        waiting++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
}

static void cancel_gate(struct node_run *run)
{
        struct error err = ERROR_INIT;

        pthread_mutex_lock(&lock);
        if (run->state)
                leave(run->state);
        gates_cancelled++;
        pthread_mutex_unlock(&lock);
        error_set(&err, STATUS_CANCELLED, "cancelled");
        node_fail(run, &err, false);
}

static const struct node_type gate_type = {
        .type = "testGate",
        .title = "Gate",
        .description = "",
        .category = "test",
        .inputs = inputs,
        .outputs = outputs,
        .params = echo_params,
        .run = run_gate,
        .cancel = cancel_gate,
};

bool gates_wait(size_t count)
{
        struct timespec until;
        int result = 0;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 60;
        pthread_mutex_lock(&lock);
        while (waiting < count && result == 0)
                result = pthread_cond_timedwait(&changed, &lock, &until);
        pthread_mutex_unlock(&lock);
        return result == 0;
}

struct node_run *gate_take(void)
{
        struct node_run *run = NULL;

        pthread_mutex_lock(&lock);
        if (first) {
                run = first->run;
                leave(first);
        }
        pthread_mutex_unlock(&lock);
        return run;
}

void gate_open(struct node_run *gate, const char *text)
{
        node_succeed(gate, json_pack("{s:s}", "text", text), NULL);
}

void gates_forget(void)
{
        pthread_mutex_lock(&lock);
        first = last = NULL;
        waiting = 0;
        pthread_mutex_unlock(&lock);
}

/* -----------------------------------------------------------------------------------------------*/
void test_nodes_install(void)
{
        static const struct node_type *const types[] = {&echo_type, &fail_type, &gate_type, NULL};

        node_types_extend(types);
}
