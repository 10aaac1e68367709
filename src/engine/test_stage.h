/* SPDX-License-Identifier: Apache-2.0 */
/* A store, events and an engine, and executions that are started, waited for and read. */
#pragma once

#include "engine/engine.h"
#include "engine/test_engine.h"
#include "engine/test_nodes.h"
#include "llm/llm.h"

/* Graphs with ' for ": G(Q "," ECHO("a") "," O, E("q", "a") "," E("a", "o")). */
#define Q               "{'id':'q','type':'userQuery'}"
#define O               "{'id':'o','type':'output'}"
#define E(s, t)         "{'source':'" s "','target':'" t "'}"
#define G(nodes, edges) "{'nodes':[" nodes "],'edges':[" edges "]}"
#define ECHO(id)        "{'id':'" id "','type':'testEcho'}"
#define GATE(id)        "{'id':'" id "','type':'testGate'}"

struct stage {
        struct bench bench;
        struct events *events;
        struct engine *engine;
        struct node_services services; /* of engines made from now on; the store is filled in */
};

int stage_set_up(void **state);
int stage_tear_down(void **state);
#define with_stage(function)                                                                       \
        cmocka_unit_test_setup_teardown(function, stage_set_up, stage_tear_down)

/* A new engine; the one before was freed. */
void stage_engine(struct stage *stage, size_t concurrency, size_t queue_max);
/* Frees the engine, without grace, and makes another. */
void stage_restart(struct stage *stage, size_t concurrency);

struct play {
        char id[UUID_TEXT_SIZE];
        bool existing;
        struct error err; /* of its start */
        sem_t started, finished;
};

/* Starts and waits until the row is there. */
enum status play_request(struct play *play, struct stage *stage,
                         const struct engine_request *request);
/* With the input "hello"; must succeed. */
void play_start(struct play *play, struct stage *stage, const struct workflow *workflow);
void play_finish(struct play *play);
/* Up to a minute. */
bool wait_for(sem_t *sem);
/* sem_post, as a pool_fn. */
void post(void *arg);

/* The row and its steps, below the bench. */
struct record {
        struct execution row;
        struct step *steps;
        size_t count;
};

struct record read_record(struct stage *stage, const char *id);
/* Runs a workflow to its end. */
struct record play_through(struct stage *stage, const char *graph);
const struct step *find_step(const struct record *record, const char *node_id); /* or NULL */
void assert_step(const struct record *record, const char *node_id, const char *status,
                 int64_t attempt);
void assert_holds(const char *text, const char *part);
/* "execution_started node_started:q ..." as the store and memory give them. */
const char *event_types_of(struct stage *stage, const struct record *record);
