/* SPDX-License-Identifier: Apache-2.0 */
/* Packed events: lines out, lines in, and the contract's JSON from either. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/events_internal.h"

const char *const event_types[EVENT_CODES] = {
        [EVENT_EXECUTION_STARTED] = "execution_started",
        [EVENT_NODE_STARTED] = "node_started",
        [EVENT_NODE_TOKEN] = "node_token",
        [EVENT_NODE_COMPLETED] = "node_completed",
        [EVENT_NODE_FAILED] = "node_failed",
        [EVENT_NODE_SKIPPED] = "node_skipped",
        [EVENT_NODE_RETRYING] = "node_retrying",
        [EVENT_EXECUTION_COMPLETED] = "execution_completed",
        [EVENT_EXECUTION_FAILED] = "execution_failed",
        [EVENT_EXECUTION_CANCELLED] = "execution_cancelled",
};

bool event_carries_output(enum event_code code)
{
        return code == EVENT_NODE_COMPLETED || code == EVENT_EXECUTION_COMPLETED;
}

/* --- Out ---------------------------------------------------------------------------------------*/
static void append_number(struct buffer *out, int64_t value)
{
        char digits[24];
        size_t at = sizeof(digits);
        uint64_t rest = value < 0 ? 0 : (uint64_t)value;

        do {
                digits[--at] = (char)('0' + rest % 10);
                rest /= 10;
        } while (rest);
        buffer_append(out, digits + at, sizeof(digits) - at);
}

static void append_node(struct packer *packer, struct buffer *out, struct text node)
{
        if (!node.length) {
                buffer_char(out, '-');
        } else if (node.length != packer->node_length ||
                   memcmp(out->data + packer->node_offset, node.start, node.length) != 0) {
                packer->node_offset = out->length;
                packer->node_length = node.length;
                buffer_append(out, node.start, node.length);
        }
}

void pack_event(struct packer *packer, struct buffer *out, const struct packed_event *event)
{
        /* The wall clock may go back; times of a batch do not. */
        int64_t ms = event->ms > packer->ms ? event->ms : packer->ms;

        append_number(out, event->seq - packer->seq);
        buffer_char(out, '\t');
        append_number(out, ms - packer->ms);
        buffer_char(out, '\t');
        buffer_char(out, (char)('a' + event->code));
        buffer_char(out, '\t');
        append_node(packer, out, event->node);
        buffer_char(out, '\t');
        buffer_append(out, event->data.start, event->data.length);
        buffer_char(out, '\n');
        packer->seq = event->seq;
        packer->ms = ms;
}

/* --- In ----------------------------------------------------------------------------------------*/
/* The field up to `end`, moving *at behind it; false if the line ends before. */
static bool take_field(const char **at, char end, struct text *ret)
{
        const char *from = *at;
        size_t length = strcspn(from, "\t\n");

        if (from[length] != end)
                return false;
        *ret = (struct text){from, length};
        *at = from + length + 1;
        return true;
}

static bool to_number(struct text field, int64_t *ret)
{
        int64_t value = 0;

        if (field.length == 0 || field.length > 18)
                return false;
        for (size_t i = 0; i < field.length; i++) {
                if (field.start[i] < '0' || field.start[i] > '9')
                        return false;
                value = value * 10 + (field.start[i] - '0');
        }
        *ret = value;
        return true;
}

bool unpack_next(struct unpacker *unpacker)
{
        struct packed_event *event = &unpacker->event;
        struct text seq, ms, code, node, data;
        int64_t seq_step, ms_step;
        const char *at = unpacker->at;

        if (!take_field(&at, '\t', &seq) || !take_field(&at, '\t', &ms) ||
            !take_field(&at, '\t', &code) || !take_field(&at, '\t', &node) ||
            !take_field(&at, '\n', &data) || !to_number(seq, &seq_step) ||
            !to_number(ms, &ms_step) || code.length != 1 || code.start[0] < 'a' ||
            code.start[0] >= 'a' + EVENT_CODES)
                return false;
        event->seq += seq_step;
        event->ms += ms_step;
        event->code = (enum event_code)(code.start[0] - 'a');
        event->data = data;
        if (node.length == 1 && node.start[0] == '-') {
                event->node.length = 0;
        } else if (node.length) {
                unpacker->last_node = event->node = node;
        } else {
                event->node = unpacker->last_node;
        }
        unpacker->at = at;
        return true;
}

/* --- JSON --------------------------------------------------------------------------------------*/
static void append_text(struct buffer *out, const char *text)
{
        buffer_append(out, text, strlen(text));
}

/* Ids of executions and workflows need no escaping. */
static void append_member(struct buffer *out, const char *name, const char *text)
{
        append_text(out, name);
        append_text(out, text);
        buffer_char(out, '"');
}

static void append_data(struct buffer *out, const struct packed_event *event, const char *output)
{
        if (event->code == EVENT_NODE_TOKEN) {
                append_text(out, "{\"text\":");
                buffer_append(out, event->data.start, event->data.length);
                buffer_char(out, '}');
        } else if (event_carries_output(event->code)) {
                append_text(out, "{\"output\":");
                append_text(out, output ? output : "null");
                /* The object's own members follow: its brace becomes a comma. */
                if (event->data.length > 2)
                        buffer_char(out, ',');
                buffer_append(out, event->data.start + 1, event->data.length - 1);
        } else {
                buffer_append(out, event->data.start, event->data.length);
        }
}

void event_write_json(struct buffer *out, const char *workflow_id, const char *execution_id,
                      const struct packed_event *event, const char *output)
{
        char time[CLOCK_TEXT_SIZE];

        append_member(out, "{\"type\":\"", event_types[event->code]);
        append_member(out, ",\"execution_id\":\"", execution_id);
        append_member(out, ",\"workflow_id\":\"", workflow_id);
        if (event->node.length) {
                append_text(out, ",\"node_id\":");
                buffer_append(out, event->node.start, event->node.length);
        }
        append_text(out, ",\"seq\":");
        append_number(out, event->seq);
        append_member(out, ",\"timestamp\":\"", clock_format(event->ms, time));
        append_text(out, ",\"data\":");
        append_data(out, event, output);
        buffer_char(out, '}');
}
