/* SPDX-License-Identifier: Apache-2.0 */
/* Runs and attempts: the engine's own view of an execution, for the files of this folder.
 *
 * A `struct run` is the actor of one execution. Only its turn touches it: messages come in through
 * the inbox from any thread, one turn at a time handles them on the engine's pool and then lets the
 * execution advance. What others may touch is said below. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/graph_cache.h"
#include "engine/timers.h"
#include "llm/llm.h"
#include "observe/trace.h"

#define CONTAINER(pointer, type, member)                                                           \
        ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

enum {
        GRAPH_CACHE_MAX = 256,
        COMMIT_TRIES = 5,
        INTERRUPTED_MAX = 5,           /* starts of the program that may die in one step */
        OUTPUT_MAX = 16 * 1024 * 1024, /* bytes of one node's output as JSON */
        FILLED_MAX = 4 * 1024 * 1024,  /* bytes of a filled template */
};

struct run;
struct attempt;

/* --- Messages ----------------------------------------------------------------------------------*/
enum message_kind {
        MESSAGE_COMMITTED,    /* run->commit was written, or failed */
        MESSAGE_COMMIT_AGAIN, /* run->commit_again rang */
        MESSAGE_ENDED,        /* of struct attempt: run returned and succeed or fail was called */
        MESSAGE_RELEASE,      /* of struct attempt: its inputs are not needed any more */
        MESSAGE_TIMEOUT,      /* of struct attempt */
        MESSAGE_RETRY,        /* of struct node_state */
        MESSAGE_FULL,         /* the event log wants a commit */
        MESSAGE_ACTIVATE,     /* the queue gave a slot */
        MESSAGE_CANCEL,
        MESSAGE_STOP,    /* the engine ends: start nothing more */
        MESSAGE_ABANDON, /* it ends now: cancel what is in flight */
};

/* In at most one inbox at a time. */
struct message {
        struct message *next;
        enum message_kind kind;
};

/* Any thread. The run must be kept alive by what posts: an attempt, a commit, the table's lock. */
void run_post(struct run *run, struct message *message);

/* A timer that posts. Turn only. */
struct alarm {
        struct timer timer;
        struct run *run;
        struct message message;
        bool set; /* armed, or rang and not yet handled */
};
void alarm_set(struct alarm *alarm, struct run *run, enum message_kind kind, int64_t delay_us);
/* False if its message is on the way: then `set` stays until that is handled. */
bool alarm_cancel(struct alarm *alarm);

/* --- Nodes of a run ----------------------------------------------------------------------------*/
enum node_status {
        NODE_PENDING,
        NODE_STARTING, /* starts when the commit that names it is done */
        NODE_RUNNING,
        NODE_PAUSING, /* between two attempts */
        NODE_COMPLETED,
        NODE_FAILED,
        NODE_SKIPPED,
};

struct node_state {
        enum node_status status;
        bool in_draft;    /* its row is part of the next commit */
        bool interrupted; /* in flight when an earlier engine ended */
        bool released;    /* counts no more among the uses of its sources */
        unsigned attempt; /* 0: none yet */
        size_t undecided; /* incoming edges whose source has not ended */
        size_t uses;      /* successors and templates that may still want the output */
        int64_t started_at, finished_at; /* wall clock */
        int64_t started_us;
        json_t *output;         /* NULL: none, or let go of (then the store has it) */
        const char *input_text; /* child of the run */
        /* Children of the draft or commit that writes them; NULL once it is done. */
        const char *output_text, *usage_text, *error_text;
        const char *skip_reason; /* constant */
        struct node_usage usage;
        struct error *error; /* child of the run; of the last attempt that failed */
        struct attempt *current;
        struct alarm retry;
};

/* --- Commits -----------------------------------------------------------------------------------*/
/* Everything one write says; a talloc root, so that the writer's thread may read it. */
struct commit {
        struct execution_commit parts;
        struct execution row;
        struct idempotency idempotency;
        struct event_batch batch;
        size_t *nodes; /* in the order in which they changed */
        size_t count;
        bool has_events, final;
        unsigned tries;
        struct error err; /* what the writer said */
        struct run *run;
};

/* --- The run -----------------------------------------------------------------------------------*/
enum run_phase {
        RUN_STARTING, /* the row is being written */
        RUN_QUEUED,   /* written, waits for a slot */
        RUN_LOADING,  /* has a slot; taken up from the store */
        RUN_ACTIVE,
        RUN_ENDING, /* the final state is being written */
        RUN_OVER,   /* nothing more is said; freed when its attempts are back */
};

struct waiter {
        struct waiter *next;
        pool_fn *done;
        void *arg;
};

struct run {
        char id[UUID_TEXT_SIZE]; /* first: the key of the engine's tree; constant, as are the next */
        struct engine *engine;
        char workflow_id[UUID_TEXT_SIZE], user_id[UUID_TEXT_SIZE];
        int64_t workflow_version;
        struct graph *graph; /* NULL until loaded */
        char *user_input, *context_text;
        json_t *context;
        struct llm_message *history;
        size_t history_count;
        struct trace trace;
        struct engine_callbacks callbacks;
        void *callback_arg;

        _Atomic(struct message *) inbox;
        atomic_bool cancel_asked, full_asked;
        struct message cancel, stop, abandon, activate, full, committed;

        /* Under the engine's lock. */
        bool in_table, in_queue;
        bool reserved; /* counted as queued, not yet in the queue */
        bool admitted; /* has a slot */
        struct run *queue_next, *queue_previous;
        struct run *all_next, *all_previous;
        struct waiter *waiters;

        /* Turn only. */
        enum run_phase phase;
        bool began;     /* the caller was told that it started */
        bool told;      /* execution_started was emitted, in this life or an earlier one */
        bool recovered; /* taken up from the store */
        bool stopping;  /* starts nothing more */
        bool held_back; /* something was not started because of that */
        bool flushed;   /* and what was emitted is written */
        bool row_due;   /* the row does not say "running" yet */
        bool settled;   /* how it ends is decided: `status` */
        const char *status;
        struct event_log *log;
        struct node_state *nodes;
        size_t *ended, ended_count; /* ended, successors not yet looked at */
        size_t busy;                /* nodes starting, running or pausing */
        size_t in_flight;           /* attempts under way */
        size_t attempts;            /* with abandoned ones that are not back yet */
        struct commit *draft, *commit;
        struct alarm commit_again;
        int64_t created_at, started_at, started_us;
        struct error *error; /* why it failed */
        size_t error_node;   /* SIZE_MAX: none */
        struct node_usage usage;
        int64_t first_token_at; /* start of the step whose time to first token counts */
        const char *result;     /* output of the execution, child of the run */
        size_t result_node;
};

/* The caller's alone until run_hand_over: messages wait. */
struct run *run_new(struct engine *engine, const struct trace *trace) MUST_USE;
/* From now on the run belongs to its turns: it may be gone when this returns. */
void run_hand_over(struct run *run);
/* Without a word to anyone: for runs that never began. */
struct run *run_free(struct run *run);
enum status run_open_log(struct run *run, struct error *err) MUST_USE;
/* Allocates the nodes' states; the graph is there. */
void run_prepare(struct run *run);
/* Nothing more will happen to it here: leaves table and queue and tells those who wait. */
void run_over(struct run *run);
/* In a turn: the attempt begins after it, on this thread or another. */
void run_schedule_attempt(struct attempt *attempt);

/* --- Scheduling (run_schedule.c) ---------------------------------------------------------------*/
/* Makes the nodes that wait for nothing ready, and follows up what ends at once. */
void run_begin(struct run *run);
/* Looks at what ended, starts or skips successors, decides the end, writes what is to be written. */
void run_advance(struct run *run);
bool node_has_ended(const struct node_state *state);
/* A node ended with status COMPLETED, FAILED or SKIPPED. */
void run_node_ended(struct run *run, size_t node, enum node_status status);
/* Counts a node that ended in an earlier life. */
void run_count_ended(struct run *run, size_t node);
/* Ends it as failed, through no node's fault. */
void run_fail(struct run *run, const struct error *err);
/* Ends everything that has not ended; the execution's status will be "cancelled". */
void run_cancel(struct run *run);
bool run_edge_is_live(const struct run *run, const struct graph_edge *edge);

/* --- Nodes (run_node.c) ------------------------------------------------------------------------*/
/* Ends a node that no attempt can help. */
void run_fail_node(struct run *run, size_t node, const struct error *err);
/* Runs a NODE_INSTANT node to its end. */
void run_instant_node(struct run *run, size_t node);
/* Begins an attempt on a node whose row is committed. */
void run_start_attempt(struct run *run, size_t node);
void run_attempt_ended(struct run *run, struct attempt *attempt);
void run_attempt_timed_out(struct run *run, struct attempt *attempt);
void run_retry(struct run *run, struct node_state *state);
/* Takes the node's attempt away from it: cancelled, its result ignored. */
void run_abandon_attempt(struct run *run, size_t node);
/* --- Inputs (run_input.c) ----------------------------------------------------------------------*/
/* New references; *ret_params is NULL if the graph's own need no filling. A template without value is
 * UNPROCESSABLE. */
enum status run_gather(struct run *run, size_t node, json_t **ret_inputs, json_t **ret_params,
                       struct error *err) MUST_USE;
/* What the node's row shows as input: where each value came from and how it begins. */
char *run_input_text(struct run *run, size_t node) MUST_USE;
/* Of the first start node: all that came with the request, so that a later engine has it too. */
char *run_start_input_text(struct run *run, const void *ctx) MUST_USE;
/* Reads that back. */
void run_read_start_input(struct run *run, const char *input_text);
/* The node took its inputs, or never will: outputs that nobody else wants are let go of. */
void run_release_sources(struct run *run, size_t node);

/* --- Commits (run_commit.c) --------------------------------------------------------------------*/
/* The commit being put together. */
struct commit *run_draft(struct run *run);
/* The node's row changed. */
void run_draft_node(struct run *run, size_t node);
/* Sends the draft with what was emitted; `final` sets the execution's end. */
void run_commit(struct run *run, bool final);
/* The first one: inserts the row, as running if the nodes are prepared, else as queued. */
void run_commit_insert(struct run *run, const struct engine_request *request);
void run_committed(struct run *run);
void run_commit_again(struct run *run);
/* JSON {message, type, node_id?} below ctx. */
char *error_json(const void *ctx, const struct error *err, const char *node_id) MUST_USE;
/* JSON of usage, or NULL if no model was used. */
char *usage_json(const void *ctx, const struct node_usage *usage) MUST_USE;

/* --- Reports (run_report.c): events, log lines and metrics -------------------------------------*/
void report_started(struct run *run);
void report_node_started(struct run *run, size_t node);
void report_node_ended(struct run *run, size_t node);
void report_retry(struct run *run, size_t node, int64_t delay_ms);
void report_interrupted(struct run *run, size_t node);
/* Before the final commit: the event that goes with it. */
void report_ending(struct run *run, const struct commit *commit);
/* After it. */
void report_ended(struct run *run);

/* --- Recovery (recovery.c) ---------------------------------------------------------------------*/
/* Makes runs of what is unfinished in the store and queues them. */
enum status engine_recover(struct engine *engine, struct error *err) MUST_USE;
/* Graph and steps from the store, then on with it. */
void run_load(struct run *run);

/* --- Attempts (attempt.c) ----------------------------------------------------------------------*/
struct attempt {
        struct node_run run; /* first: the node's view */
        struct run *owner;
        size_t node;
        unsigned number;
        struct trace trace;
        struct alarm timeout;    /* turn only */
        json_t *inputs, *params; /* turn only: what `run` borrows; params NULL: the graph's */
        struct message ended, release;
        bool abandoned, over; /* turn only: result is ignored; `ended` was handled */
        atomic_bool cancelled;
        void (*deferred)(struct node_run *run);

        pthread_mutex_t lock; /* recursive: a cancelled call may end on the spot; of the rest */
        bool returned, told, cancel_asked;
        bool failed, retryable;
        json_t *output;
        struct node_usage usage;
        struct error *error;
};

/* Adopts inputs and params. */
struct attempt *attempt_new(struct run *run, size_t node, json_t *inputs, json_t *params) MUST_USE;
struct attempt *attempt_free(struct attempt *attempt);
/* Runs the node's function on this thread; MESSAGE_ENDED may be posted before it returns. */
void attempt_begin(struct attempt *attempt);
/* The same for NODE_INSTANT types, without a message. */
void attempt_run_instant(struct attempt *attempt);
void attempt_cancel(struct attempt *attempt);
void attempt_release(struct attempt *attempt);

/* --- The engine (engine.c) ---------------------------------------------------------------------*/
struct engine {
        struct node_services services;
        struct events *events;
        struct pool *pool;     /* turns and nodes */
        struct pool *blocking; /* nodes that wait for the network on a thread; made when needed */
        struct timers *timers;
        struct graph_cache *graphs;
        char owner[UUID_TEXT_SIZE]; /* of leases */
        size_t concurrency, queue_max;

        pthread_mutex_t lock;
        pthread_cond_t gone; /* a run was freed */
        void *table;         /* tsearch tree of runs by id */
        struct run *all;
        size_t alive, running, queued;
        struct run *queue_first, *queue_last;
        bool stopping;
};

/* A slot, or a place in the queue; UNAVAILABLE if there is neither. */
enum status engine_admit(struct engine *engine, struct run *run, struct error *err) MUST_USE;
/* Into table and list; false if the engine is ending. */
bool engine_add(struct engine *engine, struct run *run);
/* Waits for a slot at the end of the queue; true if there is one at once. */
bool engine_enter_queue(struct engine *engine, struct run *run);
/* Out of table and queue; gives the slot to the next. Returns the waiters. */
struct waiter *engine_leave(struct engine *engine, struct run *run) MUST_USE;
/* Frees it. */
void engine_forget(struct engine *engine, struct run *run);
/* Runs fn on a thread for blocking work. */
void engine_block(struct engine *engine, pool_fn *fn, void *arg);
