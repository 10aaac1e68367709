/* SPDX-License-Identifier: Apache-2.0 */
/* Graph cache: a tree to find entries, a list in order of use to drop the oldest. A version never
 * changes, so an entry is never stale. */
#include "engine/graph_cache.h"

#include <inttypes.h>
#include <pthread.h>
#include <search.h>
#include <string.h>

struct cached {
        char key[64]; /* first: the key of the tree */
        struct graph *graph;
        struct cached *newer, *older;
};

struct graph_cache {
        pthread_mutex_t lock;
        void *tree;
        struct cached *newest, *oldest;
        size_t count, max;
};

static int compare(const void *a, const void *b)
{
        return strcmp(((const struct cached *)a)->key, ((const struct cached *)b)->key);
}

static void set_key(struct cached *entry, const char *workflow_id, int64_t version)
{
        snprintf(entry->key, sizeof(entry->key), "%.40s %" PRId64, workflow_id, version);
}

struct graph_cache *graph_cache_new(size_t max)
{
        struct graph_cache *cache = mem_new(NULL, struct graph_cache);

        pthread_mutex_init(&cache->lock, NULL);
        cache->max = max;
        return cache;
}

static void unlink_entry(struct graph_cache *cache, struct cached *entry)
{
        if (entry->newer)
                entry->newer->older = entry->older;
        else
                cache->newest = entry->older;
        if (entry->older)
                entry->older->newer = entry->newer;
        else
                cache->oldest = entry->newer;
}

static void put_first(struct graph_cache *cache, struct cached *entry)
{
        entry->newer = NULL;
        entry->older = cache->newest;
        if (entry->older)
                entry->older->newer = entry;
        else
                cache->oldest = entry;
        cache->newest = entry;
}

static void drop(struct graph_cache *cache, struct cached *entry)
{
        tdelete(entry, &cache->tree, compare);
        unlink_entry(cache, entry);
        cache->count--;
        graph_unref(entry->graph);
        mem_free(entry);
}

struct graph_cache *graph_cache_free(struct graph_cache *cache)
{
        if (!cache)
                return NULL;
        while (cache->oldest)
                drop(cache, cache->oldest);
        pthread_mutex_destroy(&cache->lock);
        return mem_free(cache);
}

struct graph *graph_cache_find(struct graph_cache *cache, const char *workflow_id, int64_t version)
{
        struct cached key, **found;
        struct graph *graph = NULL;

        set_key(&key, workflow_id, version);
        pthread_mutex_lock(&cache->lock);
        found = tfind(&key, &cache->tree, compare);
        if (found) {
                unlink_entry(cache, *found);
                put_first(cache, *found);
                graph = graph_ref((*found)->graph);
        }
        pthread_mutex_unlock(&cache->lock);
        return graph;
}

/* Another thread may have added it meanwhile: then that one stays. */
static void add(struct graph_cache *cache, const char *workflow_id, int64_t version,
                struct graph *graph)
{
        struct cached *entry = mem_new(NULL, struct cached), **found;

        set_key(entry, workflow_id, version);
        pthread_mutex_lock(&cache->lock);
        found = tsearch(entry, &cache->tree, compare);
        if (*found == entry) {
                entry->graph = graph_ref(graph);
                put_first(cache, entry);
                if (++cache->count > cache->max)
                        drop(cache, cache->oldest);
        } else {
                mem_free(entry);
        }
        pthread_mutex_unlock(&cache->lock);
}

static enum status compile(const char *graph_json, struct problems *problems, struct graph **ret,
                           struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *data = NULL;

        if (json_read(graph_json, strlen(graph_json), &data, err))
                return error_prefix(err, "The workflow's graph");
        if (!problems)
                problems = problems_new(ctx);
        *ret = graph_compile(data, problems);
        if (*ret)
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE, "The workflow cannot run: %s",
                         problems->items[0].message);
}

enum status graph_cache_get(struct graph_cache *cache, const char *workflow_id, int64_t version,
                            const char *graph_json, struct problems *problems, struct graph **ret,
                            struct error *err)
{
        *ret = graph_cache_find(cache, workflow_id, version);
        if (*ret)
                return STATUS_OK;
        if (compile(graph_json, problems, ret, err))
                return err->status;
        add(cache, workflow_id, version, *ret);
        return STATUS_OK;
}
