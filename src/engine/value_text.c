/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/value_text.h"

#include <math.h>
#include <string.h>

static void append_real(struct buffer *out, double value)
{
        char text[40];

        if (!isfinite(value)) {
                buffer_append(out, "null", 4);
                return;
        }
        snprintf(text, sizeof(text), "%.17g", value);
        buffer_append(out, text, strlen(text));
        /* It stays a real number when read again. */
        if (!strpbrk(text, ".e"))
                buffer_append(out, ".0", 2);
}

static void append_object(struct buffer *out, const json_t *object)
{
        const char *key;
        json_t *member;
        bool comma = false;

        buffer_append(out, "{", 1);
        json_object_foreach ((json_t *)(uintptr_t)object, key, member) {
                if (comma)
                        buffer_append(out, ",", 1);
                comma = true;
                buffer_json_n(out, key, strlen(key));
                buffer_append(out, ":", 1);
                value_append(out, member);
        }
        buffer_append(out, "}", 1);
}

static void append_array(struct buffer *out, const json_t *array)
{
        const json_t *item;
        size_t i;

        buffer_append(out, "[", 1);
        json_array_foreach (array, i, item) {
                if (i > 0)
                        buffer_append(out, ",", 1);
                value_append(out, item);
        }
        buffer_append(out, "]", 1);
}

void value_append(struct buffer *out, const json_t *value)
{
        switch (json_typeof(value)) {
        case JSON_OBJECT:
                append_object(out, value);
                break;
        case JSON_ARRAY:
                append_array(out, value);
                break;
        case JSON_STRING:
                buffer_json_n(out, json_string_value(value), json_string_length(value));
                break;
        case JSON_INTEGER:
                buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
                break;
        case JSON_REAL:
                append_real(out, json_real_value(value));
                break;
        case JSON_TRUE:
                buffer_append(out, "true", 4);
                break;
        case JSON_FALSE:
                buffer_append(out, "false", 5);
                break;
        case JSON_NULL:
                buffer_append(out, "null", 4);
                break;
        }
}
