/* SPDX-License-Identifier: Apache-2.0 */
/* Reader of server-sent events.
 *
 * Bytes are gathered to a line, lines to an event; both are bounded by `event_max`. Beside the
 * standard it takes what servers of language models really send: a bare JSON value (an error) in
 * the stream, on one line or pretty-printed over many, which becomes an event named "raw". */
#include "net/sse.h"

#include <string.h>

/* Where we are in a bare JSON value: it ends when its outermost bracket closes. */
struct raw_state {
        size_t depth;
        bool active, in_string, escaped;
};

struct sse_reader {
        struct buffer line, data;
        char event[64];
        struct raw_state raw;
        bool has_data, after_cr, past_bom, stopped;
        size_t event_max;
        sse_event_fn *on_event;
        void *arg;
};

struct sse_reader *sse_reader_new(const void *ctx, size_t event_max, sse_event_fn *on_event,
                                  void *arg)
{
        struct sse_reader *reader = mem_new(ctx, struct sse_reader);

        reader->line = BUFFER_INIT(reader, event_max);
        reader->data = BUFFER_INIT(reader, event_max);
        reader->event_max = event_max;
        reader->on_event = on_event;
        reader->arg = arg;
        return reader;
}

static enum status check_size(const struct sse_reader *reader, struct error *err)
{
        if (!reader->line.overflow && !reader->data.overflow)
                return STATUS_OK;
        return error_set(err, STATUS_TOO_LARGE, "an event of the stream is larger than %zu bytes",
                         reader->event_max);
}

/* An event without data is not given, whatever its other fields (WHATWG 9.2.6). */
static void dispatch(struct sse_reader *reader)
{
        if (reader->has_data && !reader->stopped) {
                const char *event = reader->event[0] ? reader->event : "message";

                reader->stopped = !reader->on_event(event, buffer_string(&reader->data),
                                                    reader->data.length, reader->arg);
        }
        buffer_clear(&reader->data);
        reader->has_data = false;
        reader->event[0] = '\0';
}

static void add_data(struct sse_reader *reader, const char *value, size_t length)
{
        if (reader->has_data)
                buffer_char(&reader->data, '\n');
        buffer_append(&reader->data, value, length);
        reader->has_data = true;
}

static void scan_raw(struct raw_state *raw, char c)
{
        if (raw->escaped) {
                raw->escaped = false;
        } else if (raw->in_string) {
                raw->escaped = c == '\\';
                raw->in_string = c != '"';
        } else if (c == '"') {
                raw->in_string = true;
        } else if (c == '{' || c == '[') {
                raw->depth++;
        } else if ((c == '}' || c == ']') && raw->depth > 0) {
                raw->depth--;
        }
}

static void take_raw(struct sse_reader *reader, const char *line, size_t length)
{
        if (!reader->raw.active) {
                dispatch(reader);
                reader->raw = (struct raw_state){.active = true};
                memcpy(reader->event, "raw", sizeof("raw"));
        }
        add_data(reader, line, length);
        for (size_t i = 0; i < length; i++)
                scan_raw(&reader->raw, line[i]);
        if (reader->raw.depth == 0) {
                dispatch(reader);
                reader->raw.active = false;
        }
}

static void take_field(struct sse_reader *reader, const char *line, size_t length)
{
        const char *colon = memchr(line, ':', length);
        size_t name_length = colon ? (size_t)(colon - line) : length;
        const char *value = colon ? colon + 1 : line + length;
        size_t value_length = length - (size_t)(value - line);

        if (value_length > 0 && *value == ' ') {
                value++;
                value_length--;
        }
        if (name_length == 4 && memcmp(line, "data", 4) == 0) {
                add_data(reader, value, value_length);
        } else if (name_length == 5 && memcmp(line, "event", 5) == 0) {
                if (value_length >= sizeof(reader->event))
                        value_length = sizeof(reader->event) - 1;
                memcpy(reader->event, value, value_length);
                reader->event[value_length] = '\0';
        }
}

static void take_line(struct sse_reader *reader, const char *line, size_t length)
{
        if (length == 0) {
                dispatch(reader);
                reader->raw.active = false;
        } else if (reader->raw.active || line[0] == '{' || line[0] == '[') {
                take_raw(reader, line, length);
        } else if (line[0] != ':') {
                take_field(reader, line, length);
        }
}

static void end_line(struct sse_reader *reader)
{
        const char *line = buffer_string(&reader->line);
        size_t length = reader->line.length;

        if (!reader->past_bom && length >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) {
                line += 3;
                length -= 3;
        }
        reader->past_bom = true;
        if (!reader->line.overflow)
                take_line(reader, line, length);
}

/* Length up to the next CR or LF. */
static size_t line_span(const char *data, size_t length)
{
        size_t i = 0;

        while (i < length && data[i] != '\n' && data[i] != '\r')
                i++;
        return i;
}

enum status sse_reader_feed(struct sse_reader *reader, const char *data, size_t length,
                            struct error *err)
{
        while (length > 0 && !reader->stopped) {
                size_t span;

                /* The LF of a CRLF whose CR ended the last line. */
                if (reader->after_cr && *data == '\n') {
                        data++;
                        length--;
                }
                reader->after_cr = false;
                span = line_span(data, length);
                buffer_append(&reader->line, data, span);
                if (span < length) {
                        reader->after_cr = data[span] == '\r';
                        end_line(reader);
                        if (check_size(reader, err))
                                return err->status;
                        buffer_clear(&reader->line);
                        span++;
                }
                data += span;
                length -= span;
        }
        return check_size(reader, err);
}

enum status sse_reader_end(struct sse_reader *reader, struct error *err)
{
        if (reader->stopped)
                return STATUS_OK;
        if (reader->line.length > 0) {
                end_line(reader);
                buffer_clear(&reader->line);
        }
        if (check_size(reader, err))
                return err->status;
        dispatch(reader);
        return STATUS_OK;
}
