/* SPDX-License-Identifier: Apache-2.0 */
/* JSON writer: objects and arrays appended straight to a bounded buffer, commas kept by the writer.
 *
 * For hot paths, where building a jansson tree first would cost more than the answer. Names are
 * constants of the program and are not escaped. One thread at a time. */
#pragma once

#include "base/buffer.h"

struct json_writer {
        struct buffer *out;
        bool comma; /* the next member needs one before it */
};

#define JSON_WRITER(buffer) ((struct json_writer){.out = (buffer)})

/* `name` is NULL inside arrays and at the top. */
void json_open_object(struct json_writer *writer, const char *name);
void json_close_object(struct json_writer *writer);
void json_open_array(struct json_writer *writer, const char *name);
void json_close_array(struct json_writer *writer);
void json_put_text(struct json_writer *writer, const char *name, const char *text); /* NULL: null */
void json_put_int(struct json_writer *writer, const char *name, int64_t value);
void json_put_real(struct json_writer *writer, const char *name, double value);
void json_put_bool(struct json_writer *writer, const char *name, bool value);
/* RFC 3339; 0 gives null. */
void json_put_time(struct json_writer *writer, const char *name, int64_t wall_ms);
/* JSON text as it is; NULL gives null. */
void json_put_raw(struct json_writer *writer, const char *name, const char *json);
