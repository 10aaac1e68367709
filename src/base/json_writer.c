/* SPDX-License-Identifier: Apache-2.0 */
/* JSON writer: commas and names around buffer_json. */
#include "base/json_writer.h"

#include <inttypes.h>
#include <math.h>

#include "base/clock.h"

static void begin(struct json_writer *writer, const char *name)
{
        if (writer->comma)
                buffer_char(writer->out, ',');
        if (name) {
                buffer_char(writer->out, '"');
                buffer_text(writer->out, name);
                buffer_append(writer->out, "\":", 2);
        }
        writer->comma = true;
}

void json_open_object(struct json_writer *writer, const char *name)
{
        begin(writer, name);
        buffer_char(writer->out, '{');
        writer->comma = false;
}

void json_close_object(struct json_writer *writer)
{
        buffer_char(writer->out, '}');
        writer->comma = true;
}

void json_open_array(struct json_writer *writer, const char *name)
{
        begin(writer, name);
        buffer_char(writer->out, '[');
        writer->comma = false;
}

void json_close_array(struct json_writer *writer)
{
        buffer_char(writer->out, ']');
        writer->comma = true;
}

void json_put_text(struct json_writer *writer, const char *name, const char *text)
{
        begin(writer, name);
        buffer_json(writer->out, text);
}

void json_put_int(struct json_writer *writer, const char *name, int64_t value)
{
        begin(writer, name);
        buffer_printf(writer->out, "%" PRId64, value);
}

void json_put_real(struct json_writer *writer, const char *name, double value)
{
        begin(writer, name);
        if (isfinite(value))
                buffer_printf(writer->out, "%.15g", value);
        else
                buffer_text(writer->out, "null");
}

void json_put_bool(struct json_writer *writer, const char *name, bool value)
{
        begin(writer, name);
        buffer_text(writer->out, value ? "true" : "false");
}

void json_put_time(struct json_writer *writer, const char *name, int64_t wall_ms)
{
        char text[CLOCK_TEXT_SIZE];

        begin(writer, name);
        buffer_json(writer->out, wall_ms ? clock_format(wall_ms, text) : NULL);
}

void json_put_raw(struct json_writer *writer, const char *name, const char *json)
{
        begin(writer, name);
        buffer_text(writer->out, json ? json : "null");
}
