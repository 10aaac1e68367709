/* SPDX-License-Identifier: Apache-2.0 */
/* One block for all strings of all passages. A text is looked for in the body as a JSON string would
 * have it; a prompt of the user's own may not hold it, then it is copied. */
#include "llm/llm_passages.h"

#include <string.h>

enum { STRINGS = 5 }; /* besides the text */

struct kept_passage {
        struct llm_passage passage;  /* text NULL: in the body */
        size_t body_at, body_length; /* of the escaped text */
};

struct kept_passages {
        struct kept_passage *items;
        size_t count;
        char *strings;
        const char *body;
};

static const char *text_of(const struct llm_passage *passage)
{
        return passage->text ? passage->text : "";
}

static void find_in_body(struct kept_passage *kept, const struct llm_passage *passage,
                         const char *body, size_t body_length)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer escaped = BUFFER_INIT(ctx, body_length + 2);
        const char *found;

        if (!*text_of(passage))
                return;
        buffer_json(&escaped, passage->text);
        if (escaped.overflow)
                return;
        found = memmem(body, body_length, escaped.data + 1, escaped.length - 2);
        if (!found)
                return;
        kept->body_at = (size_t)(found - body);
        kept->body_length = escaped.length - 2;
}

static size_t copy_string(char **to, const char *from, const char **ret)
{
        size_t size = from ? strlen(from) + 1 : 0;

        if (to && from) {
                *ret = memcpy(*to, from, size);
                *to += size;
        }
        return size;
}

/* Copies to *to and sets the fields, or with `to` NULL only counts the bytes. */
static size_t copy_strings(char **to, const struct llm_passage *from, struct kept_passage *kept)
{
        const char *const texts[STRINGS] = {from->document_id, from->chunk_id, from->filename,
                                            from->url, from->title};
        const char **const fields[STRINGS] = {&kept->passage.document_id, &kept->passage.chunk_id,
                                              &kept->passage.filename, &kept->passage.url,
                                              &kept->passage.title};
        size_t size = 0;

        for (size_t i = 0; i < STRINGS; i++)
                size += copy_string(to, texts[i], fields[i]);
        if (!kept->body_length)
                size += copy_string(to, text_of(from), &kept->passage.text);
        return size;
}

struct kept_passages *kept_passages_new(const void *ctx, const struct llm_passage *passages,
                                        size_t count, const char *body, size_t body_length)
{
        struct kept_passages *kept = mem_new(ctx, struct kept_passages);
        size_t size = 0;
        char *to;

        kept->body = body;
        kept->count = count;
        kept->items = mem_array(kept, struct kept_passage, count);
        for (size_t i = 0; i < count; i++) {
                kept->items[i].passage.page = passages[i].page;
                kept->items[i].passage.start = passages[i].start;
                if (body)
                        find_in_body(&kept->items[i], &passages[i], body, body_length);
                size += copy_strings(NULL, &passages[i], &kept->items[i]);
        }
        to = kept->strings = mem_array(kept, char, size + 1);
        for (size_t i = 0; i < count; i++)
                copy_strings(&to, &passages[i], &kept->items[i]);
        return kept;
}

/* The text at a place of the body, unescaped, below ctx. */
static char *read_body(const struct kept_passages *kept, const struct kept_passage *item,
                       const void *ctx)
{
        SCOPED_MEM char *quoted =
                mem_printf(NULL, "\"%.*s\"", (int)item->body_length, kept->body + item->body_at);
        SCOPED_JSON json_t *json = NULL;
        struct error err = ERROR_INIT;

        if (json_read(quoted, item->body_length + 2, &json, &err))
                return mem_strdup(ctx, "");
        return mem_strdup(ctx, json_string_value(json));
}

void kept_passages_move(struct kept_passages *kept)
{
        for (size_t i = 0; i < kept->count; i++) {
                struct kept_passage *item = &kept->items[i];

                if (!item->passage.text)
                        item->passage.text = read_body(kept, item, kept);
        }
        kept->body = NULL;
}

struct llm_passage *kept_passages_read(const struct kept_passages *kept, const void *ctx,
                                       size_t *ret_count)
{
        struct llm_passage *passages = mem_array(ctx, struct llm_passage, kept->count);

        for (size_t i = 0; i < kept->count; i++) {
                passages[i] = kept->items[i].passage;
                if (!passages[i].text)
                        passages[i].text = read_body(kept, &kept->items[i], ctx);
        }
        *ret_count = kept->count;
        return passages;
}
