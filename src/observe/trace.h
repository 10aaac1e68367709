/* SPDX-License-Identifier: Apache-2.0 */
/* Trace context: the ids that tie log lines, metrics exemplars and outgoing calls together.
 *
 * A `struct trace` is a plain value carried by a request and copied into the execution it starts.
 * The thread that works on it makes it current with TRACE_SCOPE; log lines take their ids from the
 * current trace. W3C Trace Context level 1 on the wire. */
#pragma once

#include <stdbool.h>

#include "base/memory.h"
#include "base/uuid.h"

enum { TRACE_ID_SIZE = 33, SPAN_ID_SIZE = 17, TRACEPARENT_SIZE = 56, TRACE_NAME_SIZE = 65 };

/* An empty string means that there is none. */
struct trace {
        char request_id[UUID_TEXT_SIZE];
        char trace_id[TRACE_ID_SIZE];
        char span_id[SPAN_ID_SIZE]; /* of this program's part */
        bool sampled;
        char user_id[UUID_TEXT_SIZE];
        char workflow_id[UUID_TEXT_SIZE];
        char execution_id[UUID_TEXT_SIZE];
        char node_id[TRACE_NAME_SIZE]; /* cut if longer */
};

/* A new request id and span; joins the caller's trace if `traceparent` (may be NULL) is valid,
 * else starts one. */
void trace_begin(struct trace *trace, const char *traceparent);
/* "00-<trace>-<span>-01" for an outgoing call; returns `text`. */
char *trace_parent(const struct trace *trace, char text[TRACEPARENT_SIZE]);
/* Copies `value` into a field of a trace, cut to fit; NULL clears it. */
#define trace_set(field, value) trace_set_((field), sizeof(field), (value))
void trace_set_(char *field, size_t size, const char *value);

/* Makes `trace` (borrowed, may be NULL) current on this thread until the scope ends. */
#define TRACE_SCOPE(current) TRACE_SCOPE_NUMBERED((current), __COUNTER__)
/* A variable of its own for each, so that scopes may nest; two steps, as ## takes its operands
 * unexpanded. */
#define TRACE_SCOPE_NUMBERED(current, number) TRACE_SCOPE_AS(current, number)
#define TRACE_SCOPE_AS(current, number)                                                            \
        CLEANUP(trace_pop_at)                                                                      \
        __attribute__((unused)) const struct trace *trace_scope_##number = trace_push(current)
const struct trace *trace_push(const struct trace *trace) MUST_USE; /* returns the one before */
void trace_pop_at(const struct trace **before);
const struct trace *trace_current(void); /* NULL outside any scope */
