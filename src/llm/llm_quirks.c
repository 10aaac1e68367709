/* SPDX-License-Identifier: Apache-2.0 */
/* Quirks: what servers refused once, so that the next call leaves it out from the start. A bounded
 * table; when it is full the oldest entry goes. */
#include <string.h>

#include "llm/llm_internal.h"

enum { QUIRKS_MAX = 128, QUIRK_KEY_MAX = 320 };

struct quirk_row {
        char key[QUIRK_KEY_MAX];
        unsigned quirks;
};

struct quirks {
        pthread_mutex_t lock;
        struct quirk_row rows[QUIRKS_MAX];
        size_t next;
};

static int quirks_close(struct quirks *quirks)
{
        pthread_mutex_destroy(&quirks->lock);
        return 0;
}

struct quirks *llm_quirks_new(const void *ctx)
{
        struct quirks *quirks = mem_new(ctx, struct quirks);

        pthread_mutex_init(&quirks->lock, NULL);
        talloc_set_destructor(quirks, quirks_close);
        return quirks;
}

static struct quirk_row *find(struct quirks *quirks, const char *key)
{
        for (size_t i = 0; i < QUIRKS_MAX; i++) {
                if (strcmp(quirks->rows[i].key, key) == 0)
                        return &quirks->rows[i];
        }
        return NULL;
}

static void write_key(char key[QUIRK_KEY_MAX], const char *base_url, const char *model)
{
        snprintf(key, QUIRK_KEY_MAX, "%s %s", base_url, model);
}

unsigned llm_quirks_get(struct quirks *quirks, const char *base_url, const char *model)
{
        char key[QUIRK_KEY_MAX];
        const struct quirk_row *row;
        unsigned known;

        write_key(key, base_url, model);
        pthread_mutex_lock(&quirks->lock);
        row = find(quirks, key);
        known = row ? row->quirks : 0;
        pthread_mutex_unlock(&quirks->lock);
        return known;
}

void llm_quirks_add(struct quirks *quirks, const struct endpoint *endpoint)
{
        char key[QUIRK_KEY_MAX];
        struct quirk_row *row;

        if (!endpoint->quirks)
                return;
        write_key(key, endpoint->base_url, endpoint->model);
        pthread_mutex_lock(&quirks->lock);
        row = find(quirks, key);
        if (!row) {
                row = &quirks->rows[quirks->next++ % QUIRKS_MAX];
                memcpy(row->key, key, sizeof(key));
        }
        row->quirks = endpoint->quirks;
        pthread_mutex_unlock(&quirks->lock);
}
