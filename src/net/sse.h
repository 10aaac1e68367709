/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events as a client reads them (WHATWG HTML 9.2): bytes in, events out. */
#pragma once

#include "base/buffer.h"

/* One event; texts are valid during the callback. Returning false stops the reader. */
typedef bool sse_event_fn(const char *event, const char *data, size_t length, void *arg);

struct sse_reader;

/* `event_max` bounds one event in bytes. Freed with its talloc parent. */
struct sse_reader *sse_reader_new(const void *ctx, size_t event_max, sse_event_fn *on_event,
                                  void *arg) MUST_USE;
/* Takes bytes as they come, split anywhere; LF, CR and CRLF, comments and a BOM are understood. A
 * line that is no field and looks like JSON ("{…") is given as an event named "raw". */
enum status sse_reader_feed(struct sse_reader *reader, const char *data, size_t length,
                            struct error *err) MUST_USE;
/* Dispatches what is left when the connection ended (some servers omit the last blank line). */
enum status sse_reader_end(struct sse_reader *reader, struct error *err) MUST_USE;
