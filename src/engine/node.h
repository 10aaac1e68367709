/* SPDX-License-Identifier: Apache-2.0 */
/* Node types: what a node is called, takes, gives and does, declared in one table.
 *
 * The table drives validation, GET /api/v1/node-types and with it the editor's palette and forms.
 * A node is written once, in nodes/<type>.c, and listed in nodes/nodes.c. */
#pragma once

#include "base/json.h"
#include "document/retrieval.h"
#include "websearch/websearch.h"

enum param_type {
        PARAM_STRING,
        PARAM_TEXT,     /* long text */
        PARAM_TEMPLATE, /* text with {{node_id.field}} */
        PARAM_INTEGER,
        PARAM_NUMBER,
        PARAM_BOOLEAN,
        PARAM_SELECT,    /* one of `options` */
        PARAM_MODEL,     /* a model name */
        PARAM_DOCUMENTS, /* array of document ids */
        PARAM_JSON,
};

struct node_param {
        const char *name, *label;
        enum param_type type;
        const char *default_json;   /* JSON text; NULL: none */
        double minimum, maximum;    /* both 0: not bounded */
        const char *const *options; /* NULL-terminated, for PARAM_SELECT */
        const char *help;
        bool required, advanced;
};

enum port_type { PORT_TEXT, PORT_PASSAGES, PORT_RESULTS, PORT_ANSWER, PORT_ANY };

struct node_port {
        const char *id, *label;
        enum port_type type;
        bool required, multiple; /* inputs only */
};

/* What nodes may use; lives as long as the engine. */
struct node_services {
        struct store *store;
        struct vector *vector;
        struct llm *llm;
        struct websearch *websearch;
        /* Key and base URL of a provider for a user: their own credential, else the environment's.
         * Leaves *ret_key NULL if there is none. Strings below ctx. May block. */
        enum status (*credential)(void *arg, const void *ctx, const char *user_id,
                                  const char *provider, char **ret_key, char **ret_base_url,
                                  struct error *err);
        void *credential_arg;
};

struct node_run;

enum node_flags {
        NODE_INSTANT = 1 << 0, /* pure and quick: runs without a job of its own */
        NODE_START = 1 << 1,   /* takes the execution's input: userQuery */
        NODE_RESULT = 1 << 2,  /* its output is the execution's: output */
};

struct node_type {
        const char *type, *title, *description, *category;
        unsigned flags;
        unsigned timeout_seconds, max_attempts; /* defaults; 0: 60 and 1 */
        /* End with {0}. An output "error" carries {text, type} when on_error is "branch"; a type
         * without it does not know that choice. */
        const struct node_port *inputs, *outputs;
        const struct node_param *params; /* ends with {0}; those of every node come on top */
        /* Checks beyond the parameter table; may be NULL. */
        void (*check)(const char *node_id, const json_t *params, struct problems *problems);
        /* Begins the work on a pool thread; it, or what it started, calls node_succeed or node_fail
         * exactly once, from any thread. NODE_INSTANT types call it before they return. */
        void (*run)(struct node_run *run);
        /* Stops what run started (cancel, timeout); any thread; node_fail follows by the usual way.
         * At most once, after run returned, and never at the same time as or after node_succeed or
         * node_fail: whatever makes that call is still there. NULL: the work is short. */
        void (*cancel)(struct node_run *run);
};

extern const struct node_type *const node_types[];        /* NULL-terminated */
extern const struct node_param node_common_params[];      /* of every node; ends with {0} */
const struct node_type *node_type_find(const char *type); /* NULL if there is none */
/* The table as GET /api/v1/node-types gives it. New reference. */
json_t *node_types_json(void) MUST_USE;

/* --- What a running node sees ------------------------------------------------------------------
 */
struct llm_message;

struct node_run {
        void *ctx; /* talloc context of this attempt; only the thread that works on the node uses it
                    */
        const char *node_id;
        const struct node_services *services;
        /* Shared with other branches: read only, and no references may be kept. */
        const json_t *params; /* defaults filled in, templates resolved */
        /* Values that arrived, by input id: {"query": {...}, "context": {...}}; an input that takes
         * several edges holds an array. */
        const json_t *inputs;
        const char *user_input;
        const json_t *context; /* the caller's */
        const char *user_id, *workflow_id, *execution_id;
        const struct llm_message *history; /* earlier chat messages, oldest first */
        size_t history_count;
        unsigned timeout_ms;
        const struct trace *trace;
        const char *idempotency_key; /* stable over attempts of this step */
        void *state;                 /* the node's own; freed with ctx */
};

struct node_usage {
        int64_t input_tokens, output_tokens;
        double cost_dollars;
        double time_to_first_token_ms; /* < 0: none */
        bool has_tokens;               /* false: the node used no model */
};

/* The node has what it needs and now waits: lets go of params, inputs and context (NULL from then
 * on), so that an execution that waits costs little. Once, inside run; not for NODE_INSTANT. */
void node_release_inputs(struct node_run *run);
/* Calls `work` on a thread for work that blocks for long (a network answer); run then returns. */
void node_defer(struct node_run *run, void (*work)(struct node_run *run));
/* Text for people who watch, as it comes; any thread. */
void node_token(struct node_run *run, const char *text, size_t length);
/* What the attempt used, also if it fails afterwards: paid for is paid for. */
void node_used(struct node_run *run, const struct node_usage *usage);
/* `output` is adopted: a JSON object whose fields templates may name. `usage` may be NULL. */
void node_succeed(struct node_run *run, json_t *output, const struct node_usage *usage);
void node_fail(struct node_run *run, const struct error *err, bool retryable);
/* True once the execution was cancelled or the node timed out. */
bool node_cancelled(const struct node_run *run);
