/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables: one walk over the object finds unknown fields, one over the table fills the rest.
 */
#include <string.h>
#include <utf8proc.h>

#include "base/json.h"

struct reading {
        const void *ctx;
        const char *prefix;
        char *out;
        struct problems *problems;
};

static const char *const type_words[] = {
        [FIELD_STRING] = "a string", [FIELD_INT] = "an integer",   [FIELD_REAL] = "a number",
        [FIELD_BOOL] = "a boolean",  [FIELD_OBJECT] = "an object", [FIELD_ARRAY] = "an array",
        [FIELD_ANY] = "a value",
};

static bool type_matches(enum field_type type, const json_t *value)
{
        switch (type) {
        case FIELD_STRING:
                return json_is_string(value);
        case FIELD_INT:
                return json_is_integer(value);
        case FIELD_REAL:
                return json_is_number(value);
        case FIELD_BOOL:
                return json_is_boolean(value);
        case FIELD_OBJECT:
                return json_is_object(value);
        case FIELD_ARRAY:
                return json_is_array(value);
        case FIELD_ANY:
                return true;
        }
        return false;
}

static size_t codepoints(const char *text)
{
        size_t count = 0;

        for (; *text; text++)
                count += ((unsigned char)*text & 0xC0) != 0x80;
        return count;
}

static bool in_bounds(const struct reading *reading, const struct field *field, const json_t *value,
                      const char *path)
{
        bool bounded = field->min != 0 || field->max != 0;

        if (field->type == FIELD_STRING) {
                size_t bytes = json_string_length(value);
                double length = (double)codepoints(json_string_value(value));

                if (bytes > FIELD_TEXT_MAX) {
                        problems_add(reading->problems, NULL, path, "must be at most %d bytes",
                                     FIELD_TEXT_MAX);
                        return false;
                }
                if (bounded && (length < field->min || length > field->max)) {
                        problems_add(reading->problems, NULL, path,
                                     "must have %.0f to %.0f characters", field->min, field->max);
                        return false;
                }
        } else if ((field->type == FIELD_INT || field->type == FIELD_REAL) && bounded) {
                double number = json_number_value(value);

                if (number < field->min || number > field->max) {
                        problems_add(reading->problems, NULL, path, "must be between %g and %g",
                                     field->min, field->max);
                        return false;
                }
        }
        return true;
}

static void store_value(const struct reading *reading, const struct field *field, json_t *value)
{
        void *slot = reading->out + field->offset;

        switch (field->type) {
        case FIELD_STRING:
                *(char **)slot = mem_strdup(reading->ctx, json_string_value(value));
                break;
        case FIELD_INT:
                *(int64_t *)slot = json_integer_value(value);
                break;
        case FIELD_REAL:
                *(double *)slot = json_number_value(value);
                break;
        case FIELD_BOOL:
                *(bool *)slot = json_is_true(value);
                break;
        case FIELD_OBJECT:
        case FIELD_ARRAY:
        case FIELD_ANY:
                *(json_t **)slot = value;
                break;
        }
        if (field->present_offset)
                *(bool *)(reading->out + field->present_offset) = true;
}

static void read_field(const struct reading *reading, const struct field *field,
                       const json_t *object)
{
        json_t *value = json_object_get(object, field->name);
        SCOPED_MEM char *path = mem_printf(NULL, "%s%s", reading->prefix, field->name);

        if (!value || (json_is_null(value) && (field->flags & FIELD_NULLABLE))) {
                if (field->flags & FIELD_REQUIRED)
                        problems_add(reading->problems, NULL, path, "is required");
        } else if (!type_matches(field->type, value)) {
                problems_add(reading->problems, NULL, path, "must be %s", type_words[field->type]);
        } else if (in_bounds(reading, field, value, path)) {
                store_value(reading, field, value);
        }
}

static bool known(const struct field *fields, const char *name)
{
        for (; fields->name; fields++)
                if (strcmp(fields->name, name) == 0)
                        return true;
        return false;
}

enum status fields_read(const void *ctx, const json_t *object, const struct field *fields,
                        const char *prefix, void *out, struct problems *problems, struct error *err)
{
        const struct reading reading = {ctx, prefix, out, problems};
        size_t before = problems->count;
        const char *name;
        json_t *value;

        if (!json_is_object(object)) {
                problems_add(problems, NULL, prefix, "must be a JSON object");
                return error_set(err, STATUS_INVALID, "The body must be a JSON object");
        }
        for (const struct field *field = fields; field->name; field++)
                read_field(&reading, field, object);
        json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
                SCOPED_MEM char *path = mem_printf(NULL, "%s%.100s", prefix, name);

                if (!known(fields, name))
                        problems_add(problems, NULL, path, "is not a known field");
        }
        if (problems->count == before)
                return STATUS_OK;
        const struct problem *first = &problems->items[before];
        return error_set(err, STATUS_INVALID, "%s %s", first->path, first->message);
}
