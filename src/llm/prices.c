/* SPDX-License-Identifier: Apache-2.0 */
/* Price table. A file that does not read is an error at start-up, not a bill of 0 later. */
#include "llm/prices.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "llm/prices_data.h"

enum { PRICE_FILE_MAX = 1024 * 1024 };

struct price {
        const char *provider, *model;
        double input, output;
};

struct prices {
        struct price *items;
        size_t count;
};

static enum status read_file(const char *file, struct buffer *text, struct error *err)
{
        SCOPED_FILE FILE *stream = fopen(file, "re");
        char bytes[4096];
        size_t got;

        if (!stream)
                return error_set(err, STATUS_INVALID, "the price file %s cannot be read: %s", file,
                                 strerror(errno));
        while ((got = fread(bytes, 1, sizeof(bytes), stream)) > 0)
                buffer_append(text, bytes, got);
        if (ferror(stream))
                return error_set(err, STATUS_INVALID, "the price file %s cannot be read", file);
        return buffer_check(text, "the price file", err);
}

static bool read_price(const void *ctx, const json_t *json, struct price *ret)
{
        const json_t *input = json_object_get(json, "input");
        const json_t *output = json_object_get(json, "output");

        *ret = (struct price){
                .provider = mem_strdup(ctx, json_get_text(json, "provider", NULL)),
                .model = mem_strdup(ctx, json_get_text(json, "model", NULL)),
                .input = json_number_value(input),
                .output = json_number_value(output),
        };
        return ret->provider && ret->model && json_is_number(input) && json_is_number(output) &&
               ret->input >= 0 && ret->output >= 0;
}

static enum status read_table(struct prices *prices, const json_t *root, struct error *err)
{
        const json_t *list = json_object_get(root, "prices"), *item;
        size_t i;

        if (!json_is_array(list))
                return error_set(err, STATUS_INVALID, "the price file has no list \"prices\"");
        prices->items = mem_array(prices, struct price, json_array_size(list) + 1);
        json_array_foreach (list, i, item) {
                if (!read_price(prices, item, &prices->items[i]))
                        return error_set(err, STATUS_INVALID,
                                         "prices[%zu] of the price file needs provider, model, and "
                                         "input and output in dollars per million tokens",
                                         i);
        }
        prices->count = json_array_size(list);
        return STATUS_OK;
}

enum status prices_load(const void *ctx, const char *file, struct prices **ret, struct error *err)
{
        SCOPED_MEM void *scratch = mem_root();
        struct buffer text = BUFFER_INIT(scratch, PRICE_FILE_MAX);
        SCOPED_JSON json_t *root = NULL;
        struct prices *prices;

        if (file && *file) {
                if (read_file(file, &text, err))
                        return err->status;
        } else {
                buffer_append(&text, prices_json, prices_json_length);
        }
        if (json_read(buffer_string(&text), text.length, &root, err))
                return error_prefix(err, "the price file");
        prices = mem_new(ctx, struct prices);
        if (read_table(prices, root, err)) {
                mem_free(prices);
                return err->status;
        }
        *ret = prices;
        return STATUS_OK;
}

/* "gpt-5" covers "gpt-5-2026-01-01" but not "gpt-5.4": a prefix ends where a word of the id does.
 */
static size_t match_length(const struct price *price, const char *provider, const char *model)
{
        size_t length = strlen(price->model);

        if (strcmp(price->provider, provider) != 0 || strncmp(price->model, model, length) != 0)
                return 0;
        if (isalnum((unsigned char)model[length]) || model[length] == '.')
                return 0;
        return length;
}

double prices_cost(const struct prices *prices, const char *provider, const char *model,
                   int64_t input_tokens, int64_t output_tokens)
{
        const struct price *best = NULL;
        size_t best_length = 0;

        for (size_t i = 0; i < prices->count; i++) {
                size_t length = match_length(&prices->items[i], provider, model);

                if (length > best_length) {
                        best_length = length;
                        best = &prices->items[i];
                }
        }
        if (!best)
                return 0;
        return ((double)input_tokens * best->input + (double)output_tokens * best->output) / 1e6;
}
