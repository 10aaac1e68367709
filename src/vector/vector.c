/* SPDX-License-Identifier: Apache-2.0 */
/* Argument checks in front of whichever engine is in use. */
#include <math.h>

#include "vector/vector_engine.h"

/* Unit vectors stay below 1; far larger values would overflow sums of squares. */
#define VECTOR_VALUE_MAX 1e6f

enum status vector_new(struct store *store, struct vector **ret, struct error *err)
{
        return vector_memory_new(store, 0, ret, err);
}

struct vector *vector_free(struct vector *vector)
{
        if (!vector)
                return NULL;
        vector->ops->close(vector);
        return mem_free(vector);
}

static enum status check_dims(size_t dims, struct error *err)
{
        if (dims >= 1 && dims <= VECTOR_DIMS_MAX)
                return STATUS_OK;
        return error_set(err, STATUS_INVALID, "a vector has 1 to %d dimensions, not %zu",
                         VECTOR_DIMS_MAX, dims);
}

static enum status check_values(const float *values, size_t dims, struct error *err)
{
        for (size_t i = 0; i < dims; i++) {
                if (!(fabsf(values[i]) <= VECTOR_VALUE_MAX)) /* false for NaN too */
                        return error_set(err, STATUS_INVALID,
                                         "a vector holds a value that is not a usable number");
        }
        return STATUS_OK;
}

enum status vector_add(struct vector *vector, const char *workflow_id, const char *model,
                       size_t dims, const struct vector_item *items, size_t count,
                       struct error *err)
{
        if (check_dims(dims, err))
                return err->status;
        for (size_t i = 0; i < count; i++) {
                if (check_values(items[i].values, dims, err))
                        return err->status;
        }
        if (!count)
                return STATUS_OK;
        return vector->ops->add(vector, workflow_id, model, dims, items, count, err);
}

void vector_forget_document(struct vector *vector, const char *workflow_id, const char *document_id)
{
        vector->ops->forget_document(vector, workflow_id, document_id);
}

void vector_forget_workflow(struct vector *vector, const char *workflow_id)
{
        vector->ops->forget_workflow(vector, workflow_id);
}

enum status vector_search(struct vector *vector, const void *ctx, const struct document_set *set,
                          const char *model, const float *query, size_t dims, size_t limit,
                          struct vector_hit **ret, size_t *ret_count, struct error *err)
{
        *ret = NULL;
        *ret_count = 0;
        if (check_dims(dims, err) || check_values(query, dims, err))
                return err->status;
        if (!limit)
                return STATUS_OK;
        if (limit > VECTOR_LIMIT_MAX)
                limit = VECTOR_LIMIT_MAX;
        return vector->ops->search(vector, ctx, set, model, query, dims, limit, ret, ret_count,
                                   err);
}
