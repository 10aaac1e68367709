/* SPDX-License-Identifier: Apache-2.0 */
/* Channels, logs and packed events, for the files behind events.h.
 *
 * One mutex a channel covers its numbers, its logs and its subscriptions; events are told under it,
 * which keeps their order and makes unsubscribing safe. Everything a channel or a log allocates is
 * a talloc tree of its own, used under that mutex. */
#pragma once

#include <pthread.h>

#include "base/uuid.h"
#include "engine/events.h"

/* --- Packed events -----------------------------------------------------------------------------
 * A batch is text, one event a line, fields separated by tabs:
 *      seq  time  code  node  data
 * seq and time (ms) are differences to the line before. `node` is a JSON string, empty when it is
 * the one of the line before, "-" when there is none. `data` is a JSON object; of tokens, the JSON
 * string of their text. Outputs are left out. JSON text never holds a raw tab or newline. */
enum event_code {
        EVENT_EXECUTION_STARTED,
        EVENT_NODE_STARTED,
        EVENT_NODE_TOKEN,
        EVENT_NODE_COMPLETED,
        EVENT_NODE_FAILED,
        EVENT_NODE_SKIPPED,
        EVENT_NODE_RETRYING,
        EVENT_EXECUTION_COMPLETED,
        EVENT_EXECUTION_FAILED,
        EVENT_EXECUTION_CANCELLED,
        EVENT_CODES,
};
extern const char *const event_types[EVENT_CODES];
bool event_carries_output(enum event_code code);

struct text {
        const char *start;
        size_t length;
};

struct packed_event {
        int64_t seq, ms;
        enum event_code code;
        struct text node; /* JSON string; length 0: none */
        struct text data;
};

/* Writes lines; zeroed at the start of each batch. */
struct packer {
        int64_t seq, ms;
        size_t node_offset, node_length; /* of the last node written, inside the lines */
};
void pack_event(struct packer *packer, struct buffer *out, const struct packed_event *event);

/* Reads lines. */
struct unpacker {
        const char *at;
        struct packed_event event; /* the current one */
        struct text last_node;
};
/* False at the end (or at a damaged line). */
bool unpack_next(struct unpacker *unpacker);

/* The contract's JSON of an event; `output` as in event_emit_output, NULL: none. */
void event_write_json(struct buffer *out, const char *workflow_id, const char *execution_id,
                      const struct packed_event *event, const char *output);

/* --- Channels ----------------------------------------------------------------------------------*/
enum {
        EVENTS_SPAN_MAX = 5000, /* numbers a log may fall behind before it is full */
        EVENTS_SPAN_SEEN = 8 * EVENTS_SPAN_MAX, /* what replay allows for, with slow commits */
        EVENTS_WAITING_MAX = 16 * 1024 * 1024,  /* bytes behind an event that is not told yet */
        EVENTS_JSON_MAX = 64 * 1024 * 1024,
};

struct events {
        struct store *store;
        pthread_mutex_t lock; /* of `channels` and of each channel's `references` */
        void *channels;       /* tsearch tree by workflow_id */
};

/* An event that is held until its execution is committed, or waits behind one that is. While nobody
 * watches, the held ones alone are in line, without their JSON. */
struct waiting_event {
        struct waiting_event *next;
        struct event_log_state *log; /* held until this log is committed; NULL: free to go */
        bool lost;                   /* its log ended without a commit: not told */
        char execution_id[UUID_TEXT_SIZE];
        struct event event; /* with copies; json NULL: nobody watched */
};
struct waiting_event *waiting_event_new(const struct event *event) MUST_USE;

struct channel {
        const char *workflow_id; /* first: the key of the tree */
        struct events *events;
        unsigned references;
        pthread_mutex_t lock;
        bool loaded;
        int64_t last;      /* the last number given */
        int64_t unwatched; /* the last one held, or behind a held one, that nobody watched */
        struct waiting_event *waiting, **waiting_end;
        size_t waiting_bytes;
        struct event_log_state *logs;            /* all */
        struct event_log_state *behind, *newest; /* with uncommitted events, oldest first */
        struct subscription *subscriptions;
        pthread_cond_t went_on;             /* the first in line is another one */
        unsigned joining;                   /* subscriptions that wait for that */
        struct buffer scratch, node, token; /* of the event being emitted */
};

struct kept_output {
        struct kept_output *next;
        int64_t seq;
        char *text;
};

/* Lines that are not in the store yet. */
struct log_part {
        struct buffer lines;
        struct packer packer;
        int64_t first, last; /* 0: empty */
        struct kept_output *outputs;
};

struct event_log_state {
        struct channel *channel;
        const char *execution_id;
        event_log_full_fn *full;
        void *arg;
        struct log_part fresh, taken;
        bool closed;
        bool asked; /* full was called for what is fresh */
        struct waiting_event *final;
        struct event_log_state *previous, *next; /* of channel->logs */
        struct event_log_state *older, *newer;   /* of channel->behind */
};

/* All up to here were told, to whoever watched. */
int64_t channel_told(const struct channel *channel);
enum status channel_get(struct events *events, const char *workflow_id, struct channel **ret,
                        struct error *err) MUST_USE;
void channel_put(struct channel *channel);

struct subscription {
        struct channel *channel;
        const char *execution_id; /* NULL: all */
        event_fn *tell;
        void *arg;
        bool catching_up; /* live events wait in `pending` */
        bool overflow;    /* some did not fit: catch up again */
        int64_t joined;   /* channel->unwatched when it came */
        struct waiting_event *pending, **pending_end;
        size_t pending_bytes;
        struct subscription *previous, *next;
};

/* Tells, or keeps for later, one event; under the channel's lock. */
void subscription_offer(struct subscription *subscription, const struct event *event);

/* --- Replay ------------------------------------------------------------------------------------*/
/* Copies of log parts that hold events after `after`, taken under the lock. */
struct memory_part {
        struct memory_part *next;
        const char *execution_id;
        const char *lines;
        struct kept_output *outputs;
};

struct replay {
        struct events *events;
        const char *workflow_id, *execution_id;
        int64_t after, upto;
        struct memory_part *memory;
        event_fn *tell;
        void *arg;
};
/* Tells after < seq <= upto from memory and store. */
enum status replay_run(const struct replay *replay, struct error *err) MUST_USE;
