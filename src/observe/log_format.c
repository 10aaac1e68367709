/* SPDX-License-Identifier: Apache-2.0 */
/* One log record as one line of JSON.
 *
 * Runs on the calling thread at every log call, so it writes straight into the line with no printf
 * and no allocation. Rules: what is fixed comes first and always fits (message and error have
 * budgets); fields get what is left; a value whose name sounds like a secret is never written. */
#include "observe/log_format.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "observe/decimal.h"
#include "observe/trace.h"

#define TRUNCATED ",\"truncated\":true"
#define CLOSING   "}\n"
#define SERVICE                                                                                    \
        ",\"service\":\"flowgenix-backend\",\"version\":\"" FLOWGENIX_VERSION "\",\"message\":"

/* `message` and `error` may not use up the room of the members behind them. */
enum { MESSAGE_BUDGET = 6 * 1024, ERROR_BUDGET = 4 * 1024 };

struct cursor {
        char *at;
        char *end; /* room for TRUNCATED and CLOSING is kept behind it */
        bool cut;
};

struct constant {
        const char *text;
        size_t length;
};

#define CONSTANT(literal)                                                                          \
        {                                                                                          \
                (literal), sizeof(literal) - 1                                                     \
        }

const char *log_level_name(enum log_level level)
{
        static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

        return names[level];
}

static size_t room(const struct cursor *out)
{
        return (size_t)(out->end - out->at);
}

static bool put(struct cursor *out, const char *text, size_t length)
{
        if (length > room(out))
                return false;
        memcpy(out->at, text, length);
        out->at += length;
        return true;
}

#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

static bool plain(unsigned char c)
{
        return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* True if all eight bytes stand for themselves in JSON; false may be a false alarm. */
static bool plain_word(uint64_t word)
{
        const uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
        uint64_t quote = (word ^ (ones * '"')) - ones, slash = (word ^ (ones * '\\')) - ones;
        uint64_t control = word - ones * 0x20, delete = word + ones;

        return ((word | control | quote | slash | delete) & high) == 0;
}

typedef unsigned char block __attribute__((vector_size(16)));

static bool plain_block(block bytes)
{
        typedef uint64_t halves __attribute__((vector_size(16)));
        halves special =
                (halves)((bytes < 0x20) | (bytes >= 0x7f) | (bytes == '"') | (bytes == '\\'));

        return (special[0] | special[1]) == 0;
}

static bool copy_16(char *out, const char *text)
{
        block bytes;

        memcpy(&bytes, text, sizeof(bytes));
        memcpy(out, &bytes, sizeof(bytes));
        return plain_block(bytes);
}

static bool copy_8(char *out, const char *text)
{
        uint64_t word;

        memcpy(&word, text, sizeof(word));
        memcpy(out, &word, sizeof(word));
        return plain_word(word);
}

static bool copy_4(char *out, const char *text)
{
        uint32_t word;

        memcpy(&word, text, sizeof(word));
        memcpy(out, &word, sizeof(word));
        return plain_word(word | (uint64_t)word << 32);
}

/* Copies a text that needs no escape, as nearly all do. False if it does need one (or might); what
 * was copied is then void. The end of a text that is no multiple of the step is done twice rather
 * than byte by byte. */
static bool copy_plain(char *out, const char *text, size_t length)
{
        if (length >= 16) {
                for (size_t i = 0; i + 16 < length; i += 16) {
                        if (!copy_16(out + i, text + i))
                                return false;
                }
                return copy_16(out + length - 16, text + length - 16);
        }
        if (length >= 8)
                return copy_8(out, text) && copy_8(out + length - 8, text + length - 8);
        if (length >= 4)
                return copy_4(out, text) && copy_4(out + length - 4, text + length - 4);
        for (size_t i = 0; i < length; i++) {
                out[i] = text[i];
                if (!plain((unsigned char)text[i]))
                        return false;
        }
        return true;
}

static bool put_escape(struct cursor *out, unsigned char c)
{
        static const char digits[] = "0123456789abcdef";
        static const char letters[128] = {
                ['"'] = '"', ['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
        const char with_letter[] = {'\\', letters[c]};
        const char with_code[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

        if (letters[c])
                return put(out, with_letter, sizeof(with_letter));
        return put(out, with_code, sizeof(with_code));
}

/* What stands at `text` and is not plain; returns the bytes taken, 0 if there was no room. */
static size_t put_special(struct cursor *out, const char *text, size_t length)
{
        unsigned char c = (unsigned char)*text;

        if (c < 0x80)
                return put_escape(out, c) ? 1 : 0;
        size_t step = utf8_sequence(text, length);
        if (step)
                return put(out, text, step) ? step : 0;
        return PUT(out, "\xEF\xBF\xBD") ? 1 : 0;
}

/* Where to cut a value: at a character if it is UTF-8, anywhere if it is not. */
static size_t cut_at_maximum(const char *text, size_t length)
{
        size_t floor = utf8_floor(text, length, LOG_VALUE_MAX);

        return floor + 3 >= LOG_VALUE_MAX ? floor : LOG_VALUE_MAX;
}

/* Copies bytes up to the first that needs an escape; returns how many. */
static size_t put_plain(struct cursor *out, const char *text, size_t length)
{
        size_t limit = length < room(out) ? length : room(out), run = 0;

        while (run < limit && plain((unsigned char)text[run]))
                run++;
        put(out, text, run);
        return run;
}

/* As much of the text as there is room for, escaped. */
static void put_escaped(struct cursor *out, const char *text, size_t length)
{
        size_t done = 0;

        if (length <= room(out) && copy_plain(out->at, text, length)) {
                out->at += length;
                return;
        }
        while (done < length) {
                size_t taken = put_plain(out, text + done, length - done);

                if (!taken)
                        taken = put_special(out, text + done, length - done);
                if (!taken)
                        break;
                done += taken;
        }
        out->cut |= done < length;
}

/* A JSON string, cut to the room there is. False if not even the quotes fit. */
static bool put_string(struct cursor *out, const char *text)
{
        size_t length = strnlen(text, LOG_VALUE_MAX + 1);

        if (room(out) < 2)
                return false;
        if (length > LOG_VALUE_MAX) {
                length = cut_at_maximum(text, length);
                out->cut = true;
        }
        *out->at++ = '"';
        out->end--;
        put_escaped(out, text, length);
        out->end++;
        *out->at++ = '"';
        return true;
}

/* The same within `budget` bytes. */
static void put_bounded(struct cursor *out, const char *text, size_t budget)
{
        struct cursor part = *out;

        if (room(&part) > budget)
                part.end = part.at + budget;
        put_string(&part, text);
        out->at = part.at;
        out->cut = part.cut;
}

/* --- Names -------------------------------------------------------------------------------------
 * A field may not repeat a fixed member: the reader would keep either. An id of the trace gives
 * way to a field of its name, which is more specific; another fixed name gets a prefix. The
 * comparisons are of fixed length, as five fields a line make this half of the work otherwise. */
enum reserved {
        RESERVED_REQUEST_ID = 1 << 0,
        RESERVED_TRACE_ID = 1 << 1,
        RESERVED_USER_ID = 1 << 2,
        RESERVED_WORKFLOW_ID = 1 << 3,
        RESERVED_EXECUTION_ID = 1 << 4,
        RESERVED_NODE_ID = 1 << 5,
        RESERVED_FIXED = 1 << 6,
};

static unsigned reserved_bit(const char *name, size_t length)
{
#define IS(text) (memcmp(name, text, sizeof(text) - 1) == 0)
        switch (length) {
        case 5:
                return IS("level") || IS("error") ? RESERVED_FIXED : 0;
        case 7:
                if (IS("user_id"))
                        return RESERVED_USER_ID;
                if (IS("node_id"))
                        return RESERVED_NODE_ID;
                return IS("service") || IS("version") || IS("message") ? RESERVED_FIXED : 0;
        case 8:
                return IS("trace_id") ? RESERVED_TRACE_ID : 0;
        case 9:
                return IS("timestamp") || IS("truncated") ? RESERVED_FIXED : 0;
        case 10:
                if (IS("request_id"))
                        return RESERVED_REQUEST_ID;
                return IS("event_type") ? RESERVED_FIXED : 0;
        case 11:
                return IS("workflow_id") ? RESERVED_WORKFLOW_ID : 0;
        case 12:
                return IS("execution_id") ? RESERVED_EXECUTION_ID : 0;
        default:
                return 0;
        }
#undef IS
}

/* A net below the rule that callers pass no secrets. */
static bool sounds_secret(const char *name, size_t length)
{
        static const struct constant endings[] = {CONSTANT("password"),      CONSTANT("token"),
                                                  CONSTANT("authorization"), CONSTANT("secret"),
                                                  CONSTANT("api_key"),       CONSTANT("api-key"),
                                                  CONSTANT("apikey"),        CONSTANT("cookie")};
        char last = length ? (char)(name[length - 1] | 0x20) : '\0';

        for (size_t i = 0; i < ARRAY_LENGTH(endings); i++) {
                const struct constant *ending = &endings[i];

                if (last == ending->text[ending->length - 1] && length >= ending->length &&
                    strcasecmp(name + length - ending->length, ending->text) == 0)
                        return true;
        }
        return false;
}

/* --- Members --------------------------------------------------------------------------------- */
static bool put_value(struct cursor *out, const struct log_field *field)
{
        char number[DECIMAL_SIZE];

        switch (field->type) {
        case LOG_FIELD_STRING:
                return put_string(out, field->string);
        case LOG_FIELD_INT:
                return put(out, number, decimal_signed(number, field->integer));
        case LOG_FIELD_REAL:
                if (!isfinite(field->real))
                        return PUT(out, "null");
                return put(out, number, decimal_rounded(number, field->real));
        case LOG_FIELD_BOOL:
                return field->boolean ? PUT(out, "true") : PUT(out, "false");
        }
        return false;
}

static void put_field(struct cursor *out, const struct log_field *field)
{
        size_t length = strlen(field->name);
        char *before = out->at;
        bool fits;

        if (field->type == LOG_FIELD_STRING && !field->string)
                return;
        fits = PUT(out, ",\"");
        if (reserved_bit(field->name, length) == RESERVED_FIXED)
                fits = fits && PUT(out, "field_");
        put_escaped(out, field->name, length);
        fits = fits && PUT(out, "\":");
        fits = fits && (sounds_secret(field->name, length) ? PUT(out, "\"[redacted]\"")
                                                           : put_value(out, field));
        if (fits)
                return;
        out->at = before;
        out->cut = true;
}

static void put_id(struct cursor *out, const char *member, size_t length, const char *id)
{
        if (!id[0])
                return;
        put(out, member, length);
        put_string(out, id);
}

static void put_ids(struct cursor *out, const struct trace *trace, unsigned taken)
{
#define ID(field, bit)                                                                             \
        if (!(taken & (bit)))                                                                      \
        put_id(out, ",\"" #field "\":", sizeof(",\"" #field "\":") - 1, trace->field)

        ID(request_id, RESERVED_REQUEST_ID);
        ID(trace_id, RESERVED_TRACE_ID);
        ID(user_id, RESERVED_USER_ID);
        ID(workflow_id, RESERVED_WORKFLOW_ID);
        ID(execution_id, RESERVED_EXECUTION_ID);
        ID(node_id, RESERVED_NODE_ID);
#undef ID
}

/* gmtime_r and strftime cost more than the rest of a record, so each thread keeps the text of the
 * second it was last in. */
static void put_timestamp(struct cursor *out)
{
        static _Thread_local int64_t cached_second = -1;
        static _Thread_local char cached[CLOCK_TEXT_SIZE];
        int64_t now = clock_wall_ms(), second = now / 1000, ms = now % 1000;

        if (second != cached_second) {
                clock_format(second * 1000, cached);
                cached_second = second;
        }
        memcpy(out->at, cached, CLOCK_TEXT_SIZE - 1);
        out->at[20] = (char)('0' + ms / 100);
        out->at[21] = (char)('0' + ms / 10 % 10);
        out->at[22] = (char)('0' + ms % 10);
        out->at += CLOCK_TEXT_SIZE - 1;
}

static void put_error(struct cursor *out, const struct error *err)
{
        PUT(out, ",\"error\":{\"type\":");
        put_string(out, status_name(err->status));
        PUT(out, ",\"message\":");
        put_bounded(out, err->message, ERROR_BUDGET);
        PUT(out, "}");
}

static unsigned reserved_by(const struct log_field *fields, size_t count)
{
        unsigned taken = 0;

        for (size_t i = 0; i < count; i++) {
                if (fields[i].type != LOG_FIELD_STRING || fields[i].string)
                        taken |= reserved_bit(fields[i].name, strlen(fields[i].name));
        }
        return taken;
}

static void put_head(struct cursor *out, enum log_level level, enum log_event event,
                     const char *message)
{
#define LEVEL(name)                                                                                \
        CONSTANT("\",\"level\":\"" name                                                            \
                 "\",\"service\":\"flowgenix-backend\",\"version\":\"" FLOWGENIX_VERSION           \
                 "\",\"message\":")
        static const struct constant levels[] = {LEVEL("DEBUG"), LEVEL("INFO"), LEVEL("WARN"),
                                                 LEVEL("ERROR")};
#undef LEVEL
        static const struct constant events[] = {
#define X(name) CONSTANT(",\"event_type\":\"" #name "\""),
                LOG_EVENTS(X)
#undef X
        };

        PUT(out, "{\"timestamp\":\"");
        put_timestamp(out);
        put(out, levels[level].text, levels[level].length);
        put_bounded(out, message, MESSAGE_BUDGET);
        put(out, events[event].text, events[event].length);
}

size_t log_format(char line[LOG_LINE_MAX], enum log_level level, enum log_event event,
                  const char *message, const struct error *err, const struct log_field *fields,
                  size_t count)
{
        const size_t closing = sizeof(TRUNCATED) + sizeof(CLOSING);
        struct cursor out = {.at = line, .end = line + LOG_LINE_MAX - closing};
        const struct trace *trace = trace_current();

        put_head(&out, level, event, message);
        if (trace)
                put_ids(&out, trace, reserved_by(fields, count));
        if (err)
                put_error(&out, err);
        for (size_t i = 0; i < count; i++)
                put_field(&out, &fields[i]);
        out.end += closing;
        if (out.cut)
                PUT(&out, TRUNCATED);
        PUT(&out, CLOSING);
        return (size_t)(out.at - line);
}
