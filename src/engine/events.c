/* SPDX-License-Identifier: Apache-2.0 */
/* Channels and subscriptions. A channel lives while a log or a subscription uses it. */
#include "engine/events.h"

#include <search.h>
#include <string.h>

#include "engine/events_internal.h"

/* Numbers skipped when executions were left unfinished: more than a crash can have told. */
enum { SEQ_JUMP = 1 << 20, PENDING_MAX = 4 * 1024 * 1024 };

static int compare_channels(const void *a, const void *b)
{
        const struct channel *left = a, *right = b;

        return strcmp(left->workflow_id, right->workflow_id);
}

enum status events_new(struct store *store, struct events **ret, struct error *err)
{
        struct events *events = mem_new(NULL, struct events);

        (void)err;
        events->store = store;
        pthread_mutex_init(&events->lock, NULL);
        *ret = events;
        return STATUS_OK;
}

struct events *events_free(struct events *events)
{
        if (!events)
                return NULL;
        pthread_mutex_destroy(&events->lock);
        return mem_free(events);
}

/* --- Channels ----------------------------------------------------------------------------------*/
static struct channel *channel_new(struct events *events, const char *workflow_id)
{
        struct channel *channel = mem_new(NULL, struct channel);

        channel->workflow_id = mem_strdup(channel, workflow_id);
        channel->events = events;
        channel->waiting_end = &channel->waiting;
        channel->scratch = channel->token = channel->node = BUFFER_INIT(channel, EVENTS_JSON_MAX);
        pthread_mutex_init(&channel->lock, NULL);
        pthread_cond_init(&channel->went_on, NULL);
        return channel;
}

static struct channel *find_or_add(struct events *events, const char *workflow_id)
{
        const struct channel key = {.workflow_id = workflow_id};
        struct channel *channel;

        pthread_mutex_lock(&events->lock);
        struct channel **found = tfind(&key, &events->channels, compare_channels);

        if (found) {
                channel = *found;
        } else {
                channel = channel_new(events, workflow_id);
                tsearch(channel, &events->channels, compare_channels);
        }
        channel->references++;
        pthread_mutex_unlock(&events->lock);
        return channel;
}

/* Later users wait for the first one's read: nobody gives a number before. */
static enum status load(struct channel *channel, struct error *err)
{
        bool unfinished = false;
        int64_t last = 0;

        pthread_mutex_lock(&channel->lock);
        if (!channel->loaded && !store_last_seq(channel->events->store, channel->workflow_id, &last,
                                                &unfinished, err)) {
                channel->last = unfinished ? last + SEQ_JUMP : last;
                channel->loaded = true;
        }
        pthread_mutex_unlock(&channel->lock);
        return err->status;
}

enum status channel_get(struct events *events, const char *workflow_id, struct channel **ret,
                        struct error *err)
{
        struct channel *channel = find_or_add(events, workflow_id);

        if (load(channel, err)) {
                channel_put(channel);
                return err->status;
        }
        *ret = channel;
        return STATUS_OK;
}

void channel_put(struct channel *channel)
{
        struct events *events = channel->events;
        bool unused;

        pthread_mutex_lock(&events->lock);
        unused = --channel->references == 0;
        if (unused)
                tdelete(channel, &events->channels, compare_channels);
        pthread_mutex_unlock(&events->lock);
        if (!unused)
                return;
        pthread_cond_destroy(&channel->went_on);
        pthread_mutex_destroy(&channel->lock);
        mem_free(channel);
}

/* --- Subscriptions -----------------------------------------------------------------------------*/
struct waiting_event *waiting_event_new(const struct event *event)
{
        struct waiting_event *copy = mem_new(NULL, struct waiting_event);

        memcpy(copy->execution_id, event->execution_id,
               strnlen(event->execution_id, sizeof(copy->execution_id) - 1));
        copy->event = *event;
        copy->event.execution_id = copy->execution_id;
        if (event->json)
                copy->event.json = mem_strndup(copy, event->json, event->length);
        return copy;
}

static void clear_pending(struct subscription *subscription)
{
        while (subscription->pending) {
                struct waiting_event *first = subscription->pending;

                subscription->pending = first->next;
                mem_free(first);
        }
        subscription->pending_end = &subscription->pending;
        subscription->pending_bytes = 0;
}

void subscription_offer(struct subscription *subscription, const struct event *event)
{
        if (subscription->execution_id &&
            strcmp(subscription->execution_id, event->execution_id) != 0)
                return;
        if (!subscription->catching_up) {
                subscription->tell(event, subscription->arg);
                return;
        }
        subscription->pending_bytes += sizeof(struct waiting_event) + event->length;
        if (subscription->overflow || subscription->pending_bytes > PENDING_MAX) {
                subscription->overflow = true;
                clear_pending(subscription);
                return;
        }
        *subscription->pending_end = waiting_event_new(event);
        subscription->pending_end = &(*subscription->pending_end)->next;
}

static void attach(struct subscription *subscription)
{
        struct channel *channel = subscription->channel;

        subscription->joined = channel->unwatched;
        subscription->next = channel->subscriptions;
        if (subscription->next)
                subscription->next->previous = subscription;
        channel->subscriptions = subscription;
}

static void detach(struct subscription *subscription)
{
        if (subscription->previous)
                subscription->previous->next = subscription->next;
        else
                subscription->channel->subscriptions = subscription->next;
        if (subscription->next)
                subscription->next->previous = subscription->previous;
}

static void copy_part(const struct log_part *part, const struct event_log_state *log, void *ctx,
                      struct memory_part **list)
{
        struct memory_part *copy = mem_new(ctx, struct memory_part);

        copy->next = *list;
        copy->execution_id = mem_strdup(ctx, log->execution_id);
        copy->lines = mem_strndup(ctx, part->lines.data, part->lines.length);
        for (const struct kept_output *output = part->outputs; output; output = output->next) {
                struct kept_output *kept = mem_new(ctx, struct kept_output);

                *kept = (struct kept_output){copy->outputs, output->seq,
                                             mem_strdup(ctx, output->text)};
                copy->outputs = kept;
        }
        *list = copy;
}

/* What may be in memory only; taken before the store is read, so that nothing slips through. */
static struct memory_part *copy_memory(const struct channel *channel, const char *execution_id,
                                       int64_t after, void *ctx)
{
        struct memory_part *list = NULL;

        for (const struct event_log_state *log = channel->logs; log; log = log->next) {
                if (execution_id && strcmp(execution_id, log->execution_id) != 0)
                        continue;
                if (log->fresh.last > after)
                        copy_part(&log->fresh, log, ctx, &list);
                if (log->taken.last > after)
                        copy_part(&log->taken, log, ctx, &list);
        }
        return list;
}

static void go_live(struct subscription *subscription)
{
        for (struct waiting_event *event = subscription->pending; event; event = event->next)
                subscription->tell(&event->event, subscription->arg);
        clear_pending(subscription);
        subscription->catching_up = false;
}

/* One round: what was told so far is replayed while live events wait. True when it is live. */
static bool catch_up(struct subscription *subscription, int64_t *after, struct error *err)
{
        struct channel *channel = subscription->channel;
        SCOPED_MEM void *ctx = mem_root();
        struct replay replay = {
                .events = channel->events,
                .workflow_id = channel->workflow_id,
                .execution_id = subscription->execution_id,
                .after = *after,
                .tell = subscription->tell,
                .arg = subscription->arg,
        };

        pthread_mutex_lock(&channel->lock);
        channel->joining++;
        while (channel_told(channel) < subscription->joined)
                pthread_cond_wait(&channel->went_on, &channel->lock);
        channel->joining--;
        subscription->overflow = false;
        clear_pending(subscription);
        replay.upto = channel_told(channel);
        replay.memory = copy_memory(channel, subscription->execution_id, *after, ctx);
        pthread_mutex_unlock(&channel->lock);
        if (replay.upto > *after && replay_run(&replay, err))
                return false;
        *after = replay.upto;
        pthread_mutex_lock(&channel->lock);
        if (!subscription->overflow)
                go_live(subscription);
        pthread_mutex_unlock(&channel->lock);
        return !subscription->catching_up;
}

enum status events_subscribe(struct events *events, const char *workflow_id,
                             const char *execution_id, int64_t after, event_fn *tell, void *arg,
                             struct subscription **ret, struct error *err)
{
        struct channel *channel = NULL;

        if (channel_get(events, workflow_id, &channel, err))
                return err->status;
        struct subscription *subscription = mem_new(NULL, struct subscription);

        subscription->channel = channel;
        subscription->execution_id = mem_strdup(subscription, execution_id);
        subscription->tell = tell;
        subscription->arg = arg;
        subscription->pending_end = &subscription->pending;
        subscription->catching_up = after >= 0;
        pthread_mutex_lock(&channel->lock);
        attach(subscription);
        pthread_mutex_unlock(&channel->lock);
        while (subscription->catching_up && !catch_up(subscription, &after, err)) {
                if (err->status) {
                        events_unsubscribe(subscription);
                        return err->status;
                }
        }
        *ret = subscription;
        return STATUS_OK;
}

struct subscription *events_unsubscribe(struct subscription *subscription)
{
        if (!subscription)
                return NULL;
        pthread_mutex_lock(&subscription->channel->lock);
        detach(subscription);
        clear_pending(subscription);
        pthread_mutex_unlock(&subscription->channel->lock);
        channel_put(subscription->channel);
        return mem_free(subscription);
}
