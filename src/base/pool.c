/* SPDX-License-Identifier: Apache-2.0 */
/* Worker pool: one mutex, one semaphore, a linked queue.
 *
 * At most one worker is being woken at a time; when it runs and sees more jobs than its own, it wakes
 * the next. So a burst of short jobs costs a few wake-ups instead of one each. A semaphore, since it
 * keeps its count: a condition's signal may be lost in glibc before 2.41 (bug 25847), and here the
 * next one would not come. */
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>

struct job {
        struct job *next;
        pool_fn *fn;
        void *arg;
};

struct pool {
        pthread_mutex_t lock;
        sem_t wake;
        struct job *first, **last;
        size_t waiting, queue_max, threads;
        size_t idle; /* workers that wait or are being woken */
        bool stopping;
        bool waking; /* one of them */
        char name[16];
        pthread_t *ids;
};

/* Call with the lock held; true if the caller must post the semaphore after unlocking. */
static bool wake_one(struct pool *pool)
{
        if (!pool->first || pool->idle == 0 || pool->waking)
                return false;
        pool->waking = true;
        return true;
}

static void wait_for_job(struct pool *pool)
{
        pool->idle++;
        pthread_mutex_unlock(&pool->lock);
        while (sem_wait(&pool->wake) && errno == EINTR)
                ;
        pthread_mutex_lock(&pool->lock);
        pool->idle--;
        pool->waking = false;
}

static struct job *take_job(struct pool *pool)
{
        struct job *job;
        bool wake;

        pthread_mutex_lock(&pool->lock);
        while (!pool->first && !pool->stopping)
                wait_for_job(pool);
        job = pool->first;
        if (job) {
                pool->first = job->next;
                if (!pool->first)
                        pool->last = &pool->first;
                pool->waiting--;
        }
        wake = wake_one(pool);
        pthread_mutex_unlock(&pool->lock);
        if (wake)
                sem_post(&pool->wake);
        return job;
}

static void *work(void *arg)
{
        struct pool *pool = arg;
        struct job *job;

        pthread_setname_np(pthread_self(), pool->name);
        while ((job = take_job(pool))) {
                job->fn(job->arg);
                mem_free(job);
        }
        return NULL;
}

enum status pool_new(const char *name, size_t threads, size_t queue_max, struct pool **ret,
                     struct error *err)
{
        struct pool *pool = mem_new(NULL, struct pool);

        pthread_mutex_init(&pool->lock, NULL);
        sem_init(&pool->wake, 0, 0);
        pool->last = &pool->first;
        pool->queue_max = queue_max;
        snprintf(pool->name, sizeof(pool->name), "%s", name);
        pool->ids = mem_array(pool, pthread_t, threads);
        for (; pool->threads < threads; pool->threads++) {
                if (pthread_create(&pool->ids[pool->threads], NULL, work, pool)) {
                        pool_free(pool);
                        return error_set(err, STATUS_INTERNAL, "cannot start %zu %s threads",
                                         threads, name);
                }
        }
        *ret = pool;
        return STATUS_OK;
}

struct pool *pool_free(struct pool *pool)
{
        if (!pool)
                return NULL;
        pthread_mutex_lock(&pool->lock);
        pool->stopping = true;
        pthread_mutex_unlock(&pool->lock);
        for (size_t i = 0; i < pool->threads; i++)
                sem_post(&pool->wake);
        for (size_t i = 0; i < pool->threads; i++)
                pthread_join(pool->ids[i], NULL);
        sem_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->lock);
        return mem_free(pool);
}

static bool push(struct pool *pool, pool_fn *fn, void *arg, bool bounded)
{
        struct job *job = mem_new(NULL, struct job);
        bool room, wake;

        job->fn = fn;
        job->arg = arg;
        pthread_mutex_lock(&pool->lock);
        room = !bounded || pool->waiting < pool->queue_max;
        if (room) {
                *pool->last = job;
                pool->last = &job->next;
                pool->waiting++;
        }
        wake = wake_one(pool);
        pthread_mutex_unlock(&pool->lock);
        if (wake)
                sem_post(&pool->wake);
        if (!room)
                mem_free(job);
        return room;
}

enum status pool_submit(struct pool *pool, pool_fn *fn, void *arg, struct error *err)
{
        if (push(pool, fn, arg, /* bounded= */ true))
                return STATUS_OK;
        enum status status =
                error_set(err, STATUS_UNAVAILABLE, "The server is busy; try again in a moment");
        err->retry_after_ms = 1000;
        return status;
}

void pool_continue(struct pool *pool, pool_fn *fn, void *arg)
{
        push(pool, fn, arg, /* bounded= */ false);
}

size_t pool_waiting(struct pool *pool)
{
        size_t waiting;

        pthread_mutex_lock(&pool->lock);
        waiting = pool->waiting;
        pthread_mutex_unlock(&pool->lock);
        return waiting;
}
