/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: the thread is woken only for a deadline before the one it sleeps for, so that arming and
 * cancelling long time limits, the usual case, wakes nobody. */
#include "engine/timers.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"

struct timers {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        pthread_t thread;
        struct heap heap;
        int64_t sleeps_until; /* INT64_MAX: for ever */
        bool stopping;
};

static void sleep_until(struct timers *timers, int64_t deadline_us)
{
        const struct timespec when = {
                .tv_sec = deadline_us / 1000000,
                .tv_nsec = deadline_us % 1000000 * 1000,
        };

        timers->sleeps_until = deadline_us;
        if (deadline_us == INT64_MAX)
                pthread_cond_wait(&timers->wake, &timers->lock);
        else
                pthread_cond_timedwait(&timers->wake, &timers->lock, &when);
}

static void *keep_time(void *arg)
{
        struct timers *timers = arg;

        pthread_setname_np(pthread_self(), "timers");
        pthread_mutex_lock(&timers->lock);
        while (!timers->stopping) {
                struct timer *first = (struct timer *)heap_first(&timers->heap);

                if (!first || first->item.key > clock_monotonic_us()) {
                        sleep_until(timers, first ? first->item.key : INT64_MAX);
                        continue;
                }
                heap_remove(&timers->heap, &first->item);
                first->armed = false;
                first->fire(first);
        }
        pthread_mutex_unlock(&timers->lock);
        return NULL;
}

enum status timers_new(struct timers **ret, struct error *err)
{
        struct timers *timers = mem_new(NULL, struct timers);
        pthread_condattr_t attributes;

        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_mutex_init(&timers->lock, NULL);
        pthread_cond_init(&timers->wake, &attributes);
        pthread_condattr_destroy(&attributes);
        timers->sleeps_until = INT64_MAX;
        if (pthread_create(&timers->thread, NULL, keep_time, timers)) {
                mem_free(timers);
                return error_set(err, STATUS_INTERNAL, "cannot start the timer thread");
        }
        *ret = timers;
        return STATUS_OK;
}

struct timers *timers_free(struct timers *timers)
{
        if (!timers)
                return NULL;
        pthread_mutex_lock(&timers->lock);
        timers->stopping = true;
        pthread_cond_signal(&timers->wake);
        pthread_mutex_unlock(&timers->lock);
        pthread_join(timers->thread, NULL);
        pthread_cond_destroy(&timers->wake);
        pthread_mutex_destroy(&timers->lock);
        return mem_free(timers);
}

void timers_arm(struct timers *timers, struct timer *timer, int64_t delay_us)
{
        timer->item.key = clock_monotonic_us() + delay_us;
        pthread_mutex_lock(&timers->lock);
        heap_add(&timers->heap, timers, &timer->item);
        timer->armed = true;
        if (timer->item.key < timers->sleeps_until)
                pthread_cond_signal(&timers->wake);
        pthread_mutex_unlock(&timers->lock);
}

bool timers_cancel(struct timers *timers, struct timer *timer)
{
        bool armed;

        pthread_mutex_lock(&timers->lock);
        armed = timer->armed;
        if (armed)
                heap_remove(&timers->heap, &timer->item);
        timer->armed = false;
        pthread_mutex_unlock(&timers->lock);
        return armed;
}
