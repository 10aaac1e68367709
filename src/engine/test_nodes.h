/* SPDX-License-Identifier: Apache-2.0 */
/* Node types for tests of the engine.
 *
 * testEcho gives its `text` parameter (a template), or the text of its inputs, and counts its runs.
 * testGate waits until the test opens it. testFail fails `failures` times, then echoes. */
#pragma once

#include "engine/node.h"

void test_nodes_install(void);

/* Waits until `count` gates are waiting, up to a minute; false after that. */
bool gates_wait(size_t count);
/* Takes the gate that has waited longest; NULL if there is none. */
struct node_run *gate_take(void);
/* Lets a taken gate succeed with {text, ...}. */
void gate_open(struct node_run *gate, const char *text);
void gates_forget(void);

extern int echo_runs; /* how often testEcho ran */
extern int gates_cancelled;
/* A file that testEcho appends a byte to at each run, if set: what outlives the process. */
extern const char *echo_file;
