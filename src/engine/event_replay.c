/* SPDX-License-Identifier: Apache-2.0 */
/* Replay: the batches of a workflow merged by sequence number, page by page.
 *
 * The store gives batches by their last number, and those of different executions interleave: one
 * that ends later may begin earlier. No log falls behind its channel by more than EVENTS_SPAN_MAX
 * numbers before it is committed, so what is EVENTS_SPAN_SEEN behind the last page is complete. */
#include <stdlib.h>
#include <string.h>

#include "engine/events_internal.h"
#include "engine/heap.h"

enum { PAGE = 200, NODE_JSON_MAX = 8192 };

/* A batch being read; in the heap by the number of its current event. */
struct source {
        struct heap_item item; /* first */
        struct unpacker unpacker;
        const char *execution_id;
        const struct kept_output *outputs; /* of memory parts */
        bool stored;                       /* outputs are in the store */
        struct execution *execution;       /* read when first needed */
        struct step *steps;
        size_t step_count;
};

struct merge {
        const struct replay *replay;
        void *ctx;
        struct heap sources;
        struct buffer json;
        int64_t told;
};

/* Moves to the next event; the source leaves the heap at its end. */
static void advance(struct merge *merge, struct source *source)
{
        if (unpack_next(&source->unpacker)) {
                source->item.key = source->unpacker.event.seq;
                heap_sink(&merge->sources, &source->item);
        } else {
                heap_remove(&merge->sources, &source->item);
                mem_free(source);
        }
}

static struct source *add_source(struct merge *merge, const char *execution_id, const char *lines)
{
        struct source *source = mem_new(merge->ctx, struct source);

        source->execution_id = mem_strdup(source, execution_id);
        source->unpacker.at = mem_strdup(source, lines);
        if (!unpack_next(&source->unpacker)) {
                mem_free(source);
                return NULL;
        }
        source->item.key = source->unpacker.event.seq;
        heap_add(&merge->sources, merge->ctx, &source->item);
        return source;
}

/* --- Outputs -----------------------------------------------------------------------------------*/
static const char *kept(const struct source *source)
{
        for (const struct kept_output *output = source->outputs; output; output = output->next)
                if (output->seq == source->unpacker.event.seq)
                        return output->text;
        return NULL;
}

static const char *step_output(const struct source *source)
{
        SCOPED_MEM void *ctx = mem_root();
        struct text node = source->unpacker.event.node;
        struct buffer id = BUFFER_INIT(ctx, NODE_JSON_MAX);

        for (size_t i = 0; i < source->step_count; i++) {
                buffer_clear(&id);
                buffer_json(&id, source->steps[i].node_id);
                if (id.length == node.length && memcmp(id.data, node.start, node.length) == 0)
                        return source->steps[i].output;
        }
        return NULL;
}

/* An execution that is gone by now has no output: its events are about to go too. */
static enum status stored_output(struct merge *merge, struct source *source, const char **ret,
                                 struct error *err)
{
        struct store *store = merge->replay->events->store;

        if (!source->execution) {
                source->execution = mem_new(source, struct execution);
                if (store_get_execution_full(store, source, NULL, source->execution_id,
                                             source->execution, &source->steps, &source->step_count,
                                             err) &&
                    err->status != STATUS_NOT_FOUND)
                        return err->status;
                *err = ERROR_INIT;
        }
        *ret = source->unpacker.event.code == EVENT_NODE_COMPLETED ? step_output(source)
                                                                   : source->execution->output;
        return STATUS_OK;
}

/* --- Merging -----------------------------------------------------------------------------------*/
static enum status tell_event(struct merge *merge, struct source *source, struct error *err)
{
        const struct replay *replay = merge->replay;
        const struct packed_event *packed = &source->unpacker.event;
        const char *output = NULL;

        if (event_carries_output(packed->code)) {
                output = kept(source);
                if (source->stored && stored_output(merge, source, &output, err))
                        return err->status;
        }
        buffer_clear(&merge->json);
        event_write_json(&merge->json, replay->workflow_id, source->execution_id, packed, output);
        const struct event event = {
                .seq = packed->seq,
                .execution_id = source->execution_id,
                .type = event_types[packed->code],
                .json = buffer_string(&merge->json),
                .length = merge->json.length,
        };

        replay->tell(&event, replay->arg);
        return STATUS_OK;
}

/* The same event may come from memory and store: the second one is passed over. */
static enum status tell_until(struct merge *merge, int64_t upto, struct error *err)
{
        struct heap_item *first;

        while ((first = heap_first(&merge->sources)) && first->key <= upto) {
                struct source *source = (struct source *)first;

                if (first->key > merge->told) {
                        if (tell_event(merge, source, err))
                                return err->status;
                        merge->told = first->key;
                }
                advance(merge, source);
        }
        return STATUS_OK;
}

static void add_memory(struct merge *merge)
{
        for (const struct memory_part *part = merge->replay->memory; part; part = part->next) {
                struct source *source = add_source(merge, part->execution_id, part->lines);

                if (source)
                        source->outputs = part->outputs;
        }
}

/* Adds the batches behind *after and moves it; *ret_complete up to which number nothing is missing.
 */
static enum status add_page(struct merge *merge, int64_t *after, int64_t *ret_complete,
                            struct error *err)
{
        const struct replay *replay = merge->replay;
        SCOPED_MEM void *ctx = mem_root();
        struct event_batch *batches = NULL;
        size_t count = 0;

        if (store_get_events(replay->events->store, ctx, replay->workflow_id, replay->execution_id,
                             *after, PAGE, &batches, &count, err))
                return err->status;
        for (size_t i = 0; i < count; i++) {
                struct source *source =
                        add_source(merge, batches[i].execution_id, batches[i].packed);

                *after = batches[i].last_seq;
                if (source)
                        source->stored = true;
        }
        if (count < PAGE)
                *ret_complete = INT64_MAX;
        else
                *ret_complete = replay->execution_id ? *after : *after - EVENTS_SPAN_SEEN;
        return STATUS_OK;
}

enum status replay_run(const struct replay *replay, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct merge merge = {
                .replay = replay,
                .ctx = ctx,
                .json = BUFFER_INIT(ctx, EVENTS_JSON_MAX),
                .told = replay->after,
        };
        int64_t after = replay->after, complete = 0;

        add_memory(&merge);
        do {
                if (add_page(&merge, &after, &complete, err))
                        return err->status;
                if (tell_until(&merge, complete < replay->upto ? complete : replay->upto, err))
                        return err->status;
        } while (complete < replay->upto);
        return STATUS_OK;
}
