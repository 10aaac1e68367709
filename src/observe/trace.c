/* SPDX-License-Identifier: Apache-2.0 */
/* Trace context: W3C traceparent in and out, and the trace that is current on a thread.
 *
 * A traceparent comes from anybody, so the rule is: exactly right or not there. A wrong one starts
 * a new trace and is never an error to the caller. */
#include "observe/trace.h"

#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static _Thread_local const struct trace *current;

/* Offsets in "vv-tttttttttttttttttttttttttttttttt-pppppppppppppppp-ff". */
enum { TRACE_AT = 3, PARENT_AT = 36, FLAGS_AT = 53, PARENT_LENGTH = 55 };

static bool lower_hex(const char *text, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                char c = text[i];

                if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                        return false;
        }
        return true;
}

static bool all_zero(const char *text, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                if (text[i] != '0')
                        return false;
        }
        return true;
}

/* Later versions may append "-…", so only version 00 has a fixed length. */
static bool ends_well(const char *text)
{
        bool version_0 = text[0] == '0' && text[1] == '0';

        return text[PARENT_LENGTH] == '\0' || (!version_0 && text[PARENT_LENGTH] == '-');
}

static bool parent_valid(const char *text)
{
        if (strnlen(text, PARENT_LENGTH) < PARENT_LENGTH)
                return false;
        return lower_hex(text, 2) && memcmp(text, "ff", 2) != 0 && text[TRACE_AT - 1] == '-' &&
               lower_hex(text + TRACE_AT, 32) && !all_zero(text + TRACE_AT, 32) &&
               text[PARENT_AT - 1] == '-' && lower_hex(text + PARENT_AT, 16) &&
               !all_zero(text + PARENT_AT, 16) && text[FLAGS_AT - 1] == '-' &&
               lower_hex(text + FLAGS_AT, 2) && ends_well(text);
}

/* `size` random bytes (at most 16) as hexadecimal, never all zero. */
static void random_hex(char *text, size_t size)
{
        unsigned char bytes[16];

        do
                randombytes_buf(bytes, size);
        while (sodium_is_zero(bytes, size));
        sodium_bin2hex(text, size * 2 + 1, bytes, size);
}

static bool flag_sampled(char last_digit)
{
        int digit = last_digit <= '9' ? last_digit - '0' : last_digit - 'a' + 10;

        return digit & 1;
}

void trace_begin(struct trace *trace, const char *traceparent)
{
        *trace = (struct trace){.sampled = true};
        uuid_new(trace->request_id);
        random_hex(trace->span_id, 8);
        if (traceparent && parent_valid(traceparent)) {
                memcpy(trace->trace_id, traceparent + TRACE_AT, TRACE_ID_SIZE - 1);
                trace->sampled = flag_sampled(traceparent[FLAGS_AT + 1]);
        } else {
                random_hex(trace->trace_id, 16);
        }
}

char *trace_parent(const struct trace *trace, char text[TRACEPARENT_SIZE])
{
        snprintf(text, TRACEPARENT_SIZE, "00-%s-%s-%s", trace->trace_id, trace->span_id,
                 trace->sampled ? "01" : "00");
        return text;
}

void trace_set_(char *field, size_t size, const char *value)
{
        if (!value)
                value = "";
        size_t length = strnlen(value, size);
        if (length == size)
                length = utf8_floor(value, size, size - 1);
        memcpy(field, value, length);
        field[length] = '\0';
}

const struct trace *trace_push(const struct trace *trace)
{
        const struct trace *before = current;

        current = trace;
        return before;
}

void trace_pop_at(const struct trace **before)
{
        current = *before;
}

const struct trace *trace_current(void)
{
        return current;
}
