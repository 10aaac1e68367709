/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: reading, writing and walking jansson values. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH_MAX = 100 };

void json_decref_at(json_t **json)
{
        json_decref(*json);
}

/* jansson's own limit is 2048, deep enough to let a client exhaust a small stack in recursive
 * users of the value; brackets outside strings are counted before it sees the text. */
static bool too_deep(const char *text, size_t length)
{
        int depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < length; i++) {
                char c = text[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"') {
                        in_string = true;
                } else if (c == '[' || c == '{') {
                        if (++depth > JSON_DEPTH_MAX)
                                return true;
                } else if (c == ']' || c == '}') {
                        depth--;
                }
        }
        return false;
}

enum status json_read(const char *text, size_t length, json_t **ret, struct error *err)
{
        json_error_t where;

        if (too_deep(text, length))
                return error_set(err, STATUS_INVALID, "JSON is nested deeper than %d levels",
                                 JSON_DEPTH_MAX);
        json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
        if (!json)
                return error_set(err, STATUS_INVALID, "not valid JSON: %s (line %d, column %d)",
                                 where.text, where.line, where.column);
        *ret = json;
        return STATUS_OK;
}

static int append_chunk(const char *data, size_t length, void *buffer)
{
        buffer_append(buffer, data, length);
        return 0;
}

void json_append(struct buffer *buffer, const json_t *json)
{
        if (!json)
                buffer_text(buffer, "null");
        else if (json_dump_callback(json, append_chunk, buffer, JSON_COMPACT | JSON_ENCODE_ANY))
                buffer->overflow = true;
}

char *json_write(const void *ctx, const json_t *json)
{
        struct buffer buffer = BUFFER_INIT(ctx, SIZE_MAX / 2);

        json_append(&buffer, json);
        return buffer.data ? buffer.data : mem_strdup(ctx, "");
}

const char *json_get_text(const json_t *object, const char *key, const char *fallback)
{
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : fallback;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t fallback)
{
        const json_t *value = json_object_get(object, key);

        return json_is_integer(value) ? json_integer_value(value) : fallback;
}

double json_get_real(const json_t *object, const char *key, double fallback)
{
        const json_t *value = json_object_get(object, key);

        return json_is_number(value) ? json_number_value(value) : fallback;
}

bool json_get_flag(const json_t *object, const char *key, bool fallback)
{
        const json_t *value = json_object_get(object, key);

        return json_is_boolean(value) ? json_is_true(value) : fallback;
}

json_t *json_path(const json_t *root, const char *path)
{
        const json_t *at = root;
        char key[128];

        while (at && *path) {
                if (*path == '[') {
                        char *end;
                        unsigned long index = strtoul(path + 1, &end, 10);

                        if (end == path + 1 || *end != ']')
                                return NULL;
                        at = json_array_get(at, index);
                        path = end + 1;
                } else {
                        size_t length = strcspn(path, ".[");

                        if (length >= sizeof(key))
                                return NULL;
                        memcpy(key, path, length);
                        key[length] = '\0';
                        at = json_object_get(at, key);
                        path += length;
                }
                if (*path == '.')
                        path++;
        }
        return (json_t *)(uintptr_t)at;
}
