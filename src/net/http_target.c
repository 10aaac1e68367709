/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: one pass over each segment and each query part. */
#include "net/http_target.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

enum decode_flags { DECODE_PLUS = 1 << 0, DECODE_PATH = 1 << 1 };

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static bool control(char c)
{
        return (unsigned char)c < 0x20 || c == 0x7f;
}

/* One byte of `text` at *at, unescaped; false for a broken escape. */
static bool next_byte(const char *text, size_t length, size_t *at, unsigned flags, char *ret)
{
        char c = text[*at];

        *at += 1;
        if (c == '+' && (flags & DECODE_PLUS))
                c = ' ';
        if (c != '%') {
                *ret = c;
                return true;
        }
        if (*at + 2 > length)
                return false;
        int high = hex_digit(text[*at]), low = hex_digit(text[*at + 1]);

        if (high < 0 || low < 0)
                return false;
        *at += 2;
        *ret = (char)(high * 16 + low);
        return true;
}

static enum status decode(const void *ctx, const char *text, size_t length, unsigned flags,
                          const char **ret, struct error *err)
{
        const char *what = flags & DECODE_PATH ? "path" : "query";
        char *out = mem_array(ctx, char, length + 1);
        size_t used = 0;

        for (size_t at = 0; at < length;) {
                bool escaped = text[at] == '%';
                char c;

                if (!next_byte(text, length, &at, flags, &c))
                        return error_set(err, STATUS_INVALID, "The %s holds a broken %% escape",
                                         what);
                if (c == '\0' || ((flags & DECODE_PATH) && control(c)))
                        return error_set(err, STATUS_INVALID, "The %s holds a control character",
                                         what);
                if (escaped && c == '/' && (flags & DECODE_PATH))
                        return error_set(err, STATUS_INVALID, "The path holds an escaped slash");
                out[used++] = c;
        }
        if (!utf8_valid(out, used))
                return error_set(err, STATUS_INVALID, "The %s is not valid UTF-8", what);
        *ret = out;
        return STATUS_OK;
}

static enum status add_segment(const void *ctx, const char *text, size_t length,
                               struct http_target *target, struct error *err)
{
        const char *segment;

        if (target->segment_count == TARGET_SEGMENTS_MAX)
                return error_set(err, STATUS_NOT_FOUND, "There is nothing at this path");
        if (decode(ctx, text, length, DECODE_PATH, &segment, err))
                return err->status;
        if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
                return error_set(err, STATUS_INVALID, "The path holds a \"%s\" segment", segment);
        target->segments[target->segment_count++] = segment;
        return STATUS_OK;
}

static void join_path(const void *ctx, size_t raw_length, struct http_target *target)
{
        /* Decoding never lengthens, so the raw length bounds the joined one. */
        char *path = mem_array(ctx, char, raw_length + 2), *end = path;

        *end++ = '/';
        for (size_t i = 0; i < target->segment_count; i++) {
                if (i > 0)
                        *end++ = '/';
                end = stpcpy(end, target->segments[i]);
        }
        target->path = path;
}

static enum status parse_path(const void *ctx, const char *raw, size_t length,
                              struct http_target *target, struct error *err)
{
        size_t start = 1;

        if (length == 0 || raw[0] != '/')
                return error_set(err, STATUS_INVALID, "The path must begin with a slash");
        for (size_t i = 1; length > 1 && i <= length; i++) {
                if (i < length && strchr(" \t#\\", raw[i]))
                        return error_set(err, STATUS_INVALID,
                                         "The path holds a forbidden character");
                if (i < length && raw[i] != '/')
                        continue;
                if (add_segment(ctx, raw + start, i - start, target, err))
                        return err->status;
                start = i + 1;
        }
        join_path(ctx, length, target);
        return STATUS_OK;
}

static enum status add_pair(const void *ctx, const char *text, size_t length,
                            struct http_target *target, struct error *err)
{
        const char *equals = memchr(text, '=', length);
        size_t name_length = equals ? (size_t)(equals - text) : length;
        const char *value = equals ? equals + 1 : text + length;
        struct http_pair *pair;

        if (target->query_count == TARGET_QUERY_MAX)
                return error_set(err, STATUS_INVALID, "The query has more than %d parameters",
                                 TARGET_QUERY_MAX);
        target->query = mem_resize(ctx, target->query, struct http_pair, target->query_count + 1);
        pair = &target->query[target->query_count];
        if (decode(ctx, text, name_length, DECODE_PLUS, &pair->name, err) ||
            decode(ctx, value, (size_t)(text + length - value), DECODE_PLUS, &pair->value, err))
                return err->status;
        target->query_count++;
        return STATUS_OK;
}

static enum status parse_query(const void *ctx, const char *query, struct http_target *target,
                               struct error *err)
{
        while (*query) {
                size_t length = strcspn(query, "&");

                if (length > 0 && add_pair(ctx, query, length, target, err))
                        return err->status;
                query += length + (query[length] == '&');
        }
        return STATUS_OK;
}

/* Where the path of "http://host/path" begins; servers must take that form too. */
static const char *skip_authority(const char *raw)
{
        size_t scheme = strncasecmp(raw, "http://", 7) == 0    ? 7
                        : strncasecmp(raw, "https://", 8) == 0 ? 8
                                                               : 0;

        return scheme ? raw + scheme + strcspn(raw + scheme, "/?#") : raw;
}

enum status http_target_parse(const void *ctx, const char *raw, struct http_target *ret,
                              struct error *err)
{
        size_t length;

        *ret = (struct http_target){0};
        if (strcmp(raw, "*") == 0) {
                ret->path = "*";
                return STATUS_OK;
        }
        raw = skip_authority(raw);
        length = strcspn(raw, "?");
        if (parse_path(ctx, raw, length, ret, err))
                return err->status;
        return raw[length] == '?' ? parse_query(ctx, raw + length + 1, ret, err) : STATUS_OK;
}
