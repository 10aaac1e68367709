/* SPDX-License-Identifier: Apache-2.0 */
/* Worker pool: one mutex, one condition, a linked queue. */
#include "base/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

struct job {
        struct job *next;
        pool_fn *fn;
        void *arg;
};

struct pool {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct job *first, **last;
        size_t waiting, queue_max, threads;
        bool stopping;
        char name[16];
        pthread_t *ids;
};

static struct job *take_job(struct pool *pool)
{
        struct job *job;

        pthread_mutex_lock(&pool->lock);
        while (!pool->first && !pool->stopping)
                pthread_cond_wait(&pool->wake, &pool->lock);
        job = pool->first;
        if (job) {
                pool->first = job->next;
                if (!pool->first)
                        pool->last = &pool->first;
                pool->waiting--;
        }
        pthread_mutex_unlock(&pool->lock);
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
        pthread_cond_init(&pool->wake, NULL);
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
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
        for (size_t i = 0; i < pool->threads; i++)
                pthread_join(pool->ids[i], NULL);
        pthread_cond_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->lock);
        return mem_free(pool);
}

static bool push(struct pool *pool, pool_fn *fn, void *arg, bool bounded)
{
        struct job *job = mem_new(NULL, struct job);
        bool room;

        job->fn = fn;
        job->arg = arg;
        pthread_mutex_lock(&pool->lock);
        room = !bounded || pool->waiting < pool->queue_max;
        if (room) {
                *pool->last = job;
                pool->last = &job->next;
                pool->waiting++;
                pthread_cond_signal(&pool->wake);
        }
        pthread_mutex_unlock(&pool->lock);
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
