/* SPDX-License-Identifier: Apache-2.0 */
/* Cache: a hash by key and a list by last use, under one lock that is never held for longer than a
 * copy. What has run out of time goes when it is asked for or when it is oldest. */
#include "cache/cache.h"

#include <pthread.h>
#include <string.h>
#include <sys/queue.h>
#include <uthash.h>

#include "base/clock.h"
#include "observe/metrics.h"

struct entry {
        TAILQ_ENTRY(entry) use;
        UT_hash_handle hh;
        char *key;
        void *data;
        size_t length, cost;
        int64_t ends_us;
};

TAILQ_HEAD(entry_list, entry);

struct cache {
        pthread_mutex_t lock;
        struct cache_options options;
        struct entry *entries;
        struct entry_list used; /* the last one was used last */
        size_t bytes;
};

/* What an entry takes beside its bytes: three allocations and its share of the hash table. */
enum { ENTRY_OVERHEAD = sizeof(struct entry) + 400 };

struct cache *cache_new(const struct cache_options *options)
{
        struct cache *cache = mem_new(NULL, struct cache);

        pthread_mutex_init(&cache->lock, NULL);
        cache->options = *options;
        if (!cache->options.now_us)
                cache->options.now_us = clock_monotonic_us;
        TAILQ_INIT(&cache->used);
        return cache;
}

static void drop(struct cache *cache, struct entry *entry)
{
        HASH_DEL(cache->entries, entry);
        TAILQ_REMOVE(&cache->used, entry, use);
        cache->bytes -= entry->cost;
        mem_free(entry);
}

static void shrink(struct cache *cache, size_t bytes_max)
{
        while (cache->bytes > bytes_max)
                drop(cache, TAILQ_FIRST(&cache->used));
}

struct cache *cache_free(struct cache *cache)
{
        if (!cache)
                return NULL;
        shrink(cache, 0);
        pthread_mutex_destroy(&cache->lock);
        return mem_free(cache);
}

/* An entry that is still good. */
static struct entry *find(struct cache *cache, const char *key)
{
        struct entry *entry;

        HASH_FIND_STR(cache->entries, key, entry);
        if (entry && entry->ends_us <= cache->options.now_us()) {
                drop(cache, entry);
                return NULL;
        }
        return entry;
}

static struct entry *entry_new(const char *key, const void *data, size_t length)
{
        struct entry *entry = mem_new(NULL, struct entry);

        entry->key = mem_strdup(entry, key);
        entry->data = length ? mem_dup(entry, data, length) : NULL;
        entry->length = length;
        entry->cost = length + strlen(key) + ENTRY_OVERHEAD;
        return entry;
}

void cache_put(struct cache *cache, const char *key, const void *data, size_t length,
               unsigned ttl_ms)
{
        struct entry *old, *entry = NULL;

        if (length < cache->options.bytes_max)
                entry = entry_new(key, data, length);
        pthread_mutex_lock(&cache->lock);
        old = find(cache, key);
        if (old)
                drop(cache, old);
        if (entry && entry->cost <= cache->options.bytes_max) {
                shrink(cache, cache->options.bytes_max - entry->cost);
                entry->ends_us = cache->options.now_us() + (int64_t)ttl_ms * 1000;
                HASH_ADD_KEYPTR(hh, cache->entries, entry->key, strlen(entry->key), entry);
                TAILQ_INSERT_TAIL(&cache->used, entry, use);
                cache->bytes += entry->cost;
                entry = NULL;
        }
        pthread_mutex_unlock(&cache->lock);
        mem_free(entry);
}

static char *copy(const void *ctx, const struct entry *entry)
{
        char *data = mem_array(ctx, char, entry->length + 1);

        if (entry->length)
                memcpy(data, entry->data, entry->length);
        return data;
}

bool cache_get(struct cache *cache, const void *ctx, const char *key, char **ret_data,
               size_t *ret_length)
{
        struct entry *entry;

        pthread_mutex_lock(&cache->lock);
        entry = find(cache, key);
        if (entry) {
                TAILQ_REMOVE(&cache->used, entry, use);
                TAILQ_INSERT_TAIL(&cache->used, entry, use);
                *ret_data = copy(ctx, entry);
                *ret_length = entry->length;
        }
        pthread_mutex_unlock(&cache->lock);
        metric_add(METRIC_cache_requests_total, 1, entry ? "hit" : "miss");
        return entry != NULL;
}
