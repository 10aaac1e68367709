/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded byte buffer: the only way client-sized bytes are gathered in memory.
 *
 * Its maximum is stated when it is made. Appending past it sets `overflow`, drops the excess and
 * makes every later append a no-op, so a writer checks once at the end. `data` is always
 * NUL-terminated. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct buffer {
        char *data; /* owned, talloc child of `ctx`; NULL until the first append */
        size_t length;
        size_t capacity;
        size_t max;
        const void *ctx;
        bool overflow;
};

#define BUFFER_INIT(context, maximum) ((struct buffer){.ctx = (context), .max = (maximum)})

void buffer_append(struct buffer *buffer, const void *data, size_t length);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_char(struct buffer *buffer, char c);
void buffer_printf(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
/* A JSON string with its quotes; NULL text gives null. Invalid UTF-8 becomes U+FFFD. */
void buffer_json(struct buffer *buffer, const char *text);
void buffer_json_n(struct buffer *buffer, const char *text, size_t length);
void buffer_clear(struct buffer *buffer); /* empties it, keeps the memory */
void buffer_release(struct buffer *buffer);
/* The text, never NULL. */
const char *buffer_string(const struct buffer *buffer);
/* STATUS_TOO_LARGE, naming `what`, if anything was dropped. */
enum status buffer_check(const struct buffer *buffer, const char *what, struct error *err) MUST_USE;
