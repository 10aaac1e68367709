/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: an event gets its number, is packed for the commit and told. The one that ends an execution
 * waits for the commit, and so do later ones of the channel behind it. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "engine/events_internal.h"

enum { LINES_MAX = 32 * 1024 * 1024, LINES_FULL = 256 * 1024, SCRATCH_KEPT = 64 * 1024 };

/* The handle below the execution's context; its state is a tree of its own. */
struct event_log {
        struct event_log_state *state;
};

/* --- Telling -----------------------------------------------------------------------------------*/
static void tell(struct channel *channel, const struct event *event)
{
        struct subscription *next;

        for (struct subscription *at = channel->subscriptions; at; at = next) {
                next = at->next;
                subscription_offer(at, event);
        }
}

int64_t channel_told(const struct channel *channel)
{
        return channel->waiting ? channel->waiting->event.seq - 1 : channel->last;
}

static void pop_waiting(struct channel *channel)
{
        struct waiting_event *first = channel->waiting;

        if (first->log)
                first->log->final = NULL;
        if (!first->lost && first->event.json)
                tell(channel, &first->event);
        channel->waiting_bytes -= first->event.length;
        channel->waiting = first->next;
        if (!channel->waiting)
                channel->waiting_end = &channel->waiting;
        if (channel->joining)
                pthread_cond_broadcast(&channel->went_on);
        mem_free(first);
}

static void tell_waiting(struct channel *channel)
{
        while (channel->waiting && !channel->waiting->log)
                pop_waiting(channel);
}

static void wait_in_line(struct channel *channel, const struct event *event,
                         struct event_log_state *holder)
{
        struct waiting_event *waiting = waiting_event_new(event);

        waiting->log = holder;
        if (holder)
                holder->final = waiting;
        *channel->waiting_end = waiting;
        channel->waiting_end = &waiting->next;
        channel->waiting_bytes += event->length;
        /* A commit that takes for ever must not fill the memory: then the end is told early. */
        while (channel->waiting_bytes > EVENTS_WAITING_MAX)
                pop_waiting(channel);
        tell_waiting(channel);
}

static void tell_or_wait(struct event_log_state *log, const struct packed_event *packed,
                         const char *output, bool hold)
{
        struct channel *channel = log->channel;
        struct buffer *json = &channel->scratch;
        struct event event = {
                .seq = packed->seq,
                .execution_id = log->execution_id,
                .type = event_types[packed->code],
        };

        if (!channel->subscriptions) {
                if (hold || channel->waiting)
                        channel->unwatched = packed->seq;
                if (!hold)
                        return;
        } else {
                buffer_clear(json);
                event_write_json(json, channel->workflow_id, log->execution_id, packed, output);
                event.json = buffer_string(json);
                event.length = json->length;
        }
        if (hold || channel->waiting)
                wait_in_line(channel, &event, hold ? log : NULL);
        else
                tell(channel, &event);
        if (json->capacity > SCRATCH_KEPT)
                buffer_release(json);
}

/* --- Packing -----------------------------------------------------------------------------------*/
static void keep_output(struct event_log_state *log, int64_t seq, const char *text)
{
        struct kept_output *kept = mem_new(log, struct kept_output);

        kept->seq = seq;
        kept->text = mem_strdup(kept, text);
        kept->next = log->fresh.outputs;
        log->fresh.outputs = kept;
}

static void leave_behind(struct event_log_state *log)
{
        struct channel *channel = log->channel;

        if (log->older)
                log->older->newer = log->newer;
        else if (channel->behind == log)
                channel->behind = log->newer;
        else
                return;
        if (log->newer)
                log->newer->older = log->older;
        else
                channel->newest = log->older;
        log->older = log->newer = NULL;
}

static void join_behind(struct event_log_state *log)
{
        struct channel *channel = log->channel;

        log->older = channel->newest;
        if (log->older)
                log->older->newer = log;
        else
                channel->behind = log;
        channel->newest = log;
}

static void ask_to_commit(struct event_log_state *log)
{
        leave_behind(log);
        log->asked = true;
        if (log->full)
                log->full(log->arg);
}

static void ask_those_behind(struct event_log_state *log)
{
        struct channel *channel = log->channel;

        if (log->fresh.lines.length > LINES_FULL && !log->asked)
                ask_to_commit(log);
        while (channel->behind && channel->last - channel->behind->fresh.first > EVENTS_SPAN_MAX)
                ask_to_commit(channel->behind);
}

static void pack(struct event_log_state *log, const struct packed_event *event, const char *output)
{
        struct log_part *fresh = &log->fresh;

        if (!fresh->first) {
                fresh->lines = BUFFER_INIT(log, LINES_MAX);
                fresh->first = event->seq;
                join_behind(log);
        }
        fresh->last = event->seq;
        pack_event(&fresh->packer, &fresh->lines, event);
        if (output)
                keep_output(log, event->seq, output);
}

/* --- Emitting ----------------------------------------------------------------------------------*/
struct emission {
        enum event_code code;
        const char *node_id;
        struct text data; /* JSON; of tokens, the plain text */
        const char *output;
};

static bool is_final(enum event_code code)
{
        return code >= EVENT_EXECUTION_COMPLETED;
}

static struct text in_buffer(const struct buffer *buffer)
{
        return (struct text){buffer_string(buffer), buffer->length};
}

static void emit_locked(struct event_log_state *log, const struct emission *emission)
{
        struct channel *channel = log->channel;
        struct packed_event event = {
                .seq = ++channel->last,
                .ms = clock_wall_ms(),
                .code = emission->code,
                .data = emission->data,
        };

        if (emission->node_id) {
                buffer_clear(&channel->node);
                buffer_json(&channel->node, emission->node_id);
                event.node = in_buffer(&channel->node);
        }
        if (event.code == EVENT_NODE_TOKEN) {
                buffer_clear(&channel->token);
                buffer_json_n(&channel->token, emission->data.start, emission->data.length);
                event.data = in_buffer(&channel->token);
        }
        pack(log, &event, emission->output);
        tell_or_wait(log, &event, emission->output, is_final(event.code));
        ask_those_behind(log);
        if (channel->token.capacity > SCRATCH_KEPT)
                buffer_release(&channel->token);
}

static void emit(struct event_log *handle, const struct emission *emission)
{
        struct event_log_state *log = handle->state;

        pthread_mutex_lock(&log->channel->lock);
        if (!log->closed) {
                log->closed = is_final(emission->code);
                emit_locked(log, emission);
        }
        pthread_mutex_unlock(&log->channel->lock);
}

static enum event_code find_code(const char *type)
{
        for (unsigned code = 0; code < EVENT_CODES; code++)
                if (strcmp(event_types[code], type) == 0)
                        return (enum event_code)code;
        /* The engine emits none but those of the table. */
        assert(false);
        return EVENT_CODES;
}

static struct text text_of(const char *data)
{
        const char *text = data ? data : "{}";

        return (struct text){text, strlen(text)};
}

void event_emit(struct event_log *log, const char *type, const char *node_id, const char *data)
{
        emit(log, &(struct emission){find_code(type), node_id, text_of(data), NULL});
}

void event_emit_token(struct event_log *log, const char *node_id, const char *text, size_t length)
{
        emit(log, &(struct emission){EVENT_NODE_TOKEN, node_id, {text, length}, NULL});
}

void event_emit_output(struct event_log *log, const char *node_id, const char *output,
                       const char *data)
{
        emit(log, &(struct emission){EVENT_NODE_COMPLETED, node_id, text_of(data), output});
}

void event_emit_final(struct event_log *log, const char *type, const char *output, const char *data)
{
        emit(log, &(struct emission){find_code(type), NULL, text_of(data), output});
}

/* --- Commits -----------------------------------------------------------------------------------*/
static void clear_part(struct log_part *part)
{
        while (part->outputs) {
                struct kept_output *first = part->outputs;

                part->outputs = first->next;
                mem_free(first);
        }
        buffer_release(&part->lines);
        *part = (struct log_part){0};
}

bool event_log_take(struct event_log *handle, const void *ctx, struct event_batch *ret)
{
        struct event_log_state *log = handle->state;
        bool any;

        pthread_mutex_lock(&log->channel->lock);
        assert(!log->taken.first);
        any = log->fresh.first != 0;
        if (any) {
                leave_behind(log);
                log->taken = log->fresh;
                log->fresh = (struct log_part){0};
                log->asked = false;
                *ret = (struct event_batch){
                        .execution_id = mem_strdup(ctx, log->execution_id),
                        .first_seq = log->taken.first,
                        .last_seq = log->taken.last,
                        .packed = log->taken.lines.data,
                };
        }
        pthread_mutex_unlock(&log->channel->lock);
        return any;
}

void event_log_committed(struct event_log *handle, const struct event_batch *batch)
{
        struct event_log_state *log = handle->state;
        struct channel *channel = log->channel;

        pthread_mutex_lock(&channel->lock);
        assert(log->taken.last == batch->last_seq);
        clear_part(&log->taken);
        if (log->final && log->final->event.seq <= batch->last_seq) {
                log->final->log = NULL;
                log->final = NULL;
                tell_waiting(channel);
        }
        pthread_mutex_unlock(&channel->lock);
}

/* --- Life --------------------------------------------------------------------------------------*/
static void unlink_log(struct event_log_state *log)
{
        if (log->previous)
                log->previous->next = log->next;
        else
                log->channel->logs = log->next;
        if (log->next)
                log->next->previous = log->previous;
}

static int log_ends(struct event_log *handle)
{
        struct event_log_state *log = handle->state;
        struct channel *channel = log->channel;

        pthread_mutex_lock(&channel->lock);
        leave_behind(log);
        unlink_log(log);
        if (log->final) {
                log->final->lost = true;
                log->final->log = NULL;
                log->final = NULL;
                tell_waiting(channel);
        }
        mem_free(log);
        pthread_mutex_unlock(&channel->lock);
        channel_put(channel);
        return 0;
}

enum status event_log_new(struct events *events, const void *ctx, const char *workflow_id,
                          const char *execution_id, event_log_full_fn *full, void *arg,
                          struct event_log **ret, struct error *err)
{
        struct channel *channel = NULL;

        if (channel_get(events, workflow_id, &channel, err))
                return err->status;
        struct event_log_state *log = mem_new(NULL, struct event_log_state);
        struct event_log *handle = mem_new(ctx, struct event_log);

        log->channel = channel;
        log->execution_id = mem_strdup(log, execution_id);
        log->full = full;
        log->arg = arg;
        pthread_mutex_lock(&channel->lock);
        log->next = channel->logs;
        if (log->next)
                log->next->previous = log;
        channel->logs = log;
        pthread_mutex_unlock(&channel->lock);
        handle->state = log;
        talloc_set_destructor(handle, log_ends);
        *ret = handle;
        return STATUS_OK;
}
