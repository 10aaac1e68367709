/* SPDX-License-Identifier: Apache-2.0 */
#include "document/test_embed.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

atomic_bool test_embed_fails;
atomic_uint test_embed_calls;
void (*test_embed_hook)(void);

/* Words of one line mean the same. */
static const char *const meanings[][4] = {
        {"car", "automobile", "vehicle"},
        {"holiday", "vacation", "leave"},
        {"money", "cash", "salary"},
};

static unsigned meaning_of(const char *word, size_t length)
{
        unsigned hash = 5381;

        for (size_t i = 0; i < ARRAY_LENGTH(meanings); i++) {
                for (size_t j = 0; j < 4 && meanings[i][j]; j++) {
                        if (strlen(meanings[i][j]) == length &&
                            strncasecmp(meanings[i][j], word, length) == 0)
                                return (unsigned)i;
                }
        }
        for (size_t i = 0; i < length; i++)
                hash = hash * 33 + (unsigned)tolower((unsigned char)word[i]);
        return 3 + hash % (TEST_DIMS - 3);
}

static void embed(const char *text, float *values)
{
        float sum = 0;

        values[TEST_DIMS - 1] = 0.01F; /* never of length zero */
        while (*text) {
                size_t length = 0;

                while (isalpha((unsigned char)text[length]))
                        length++;
                if (length)
                        values[meaning_of(text, length)] += 1;
                text += length ? length : 1;
        }
        for (size_t i = 0; i < TEST_DIMS; i++)
                sum += values[i] * values[i];
        for (size_t i = 0; i < TEST_DIMS; i++)
                values[i] /= sqrtf(sum);
}

enum status llm_embed(struct llm *llm, const void *ctx, const struct llm_target *target,
                      enum llm_embed_kind kind, const char *const *texts, size_t count, float **ret,
                      size_t *ret_dims, struct error *err)
{
        (void)llm;
        (void)target;
        (void)kind;
        atomic_fetch_add(&test_embed_calls, 1);
        if (test_embed_hook)
                test_embed_hook();
        if (atomic_load(&test_embed_fails))
                return error_set(err, STATUS_UPSTREAM, "the model is out");
        *ret = mem_array(ctx, float, count *TEST_DIMS);
        for (size_t i = 0; i < count; i++)
                embed(texts[i], *ret + i * TEST_DIMS);
        *ret_dims = TEST_DIMS;
        return STATUS_OK;
}
