/* SPDX-License-Identifier: Apache-2.0 */
/* Where log lines go: stdout, or a file with rotation; inside the observe layer.
 *
 * Rule: after any failure the file still ends with a whole line, and the sink goes on trying. Used
 * by the writer thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "observe/log.h"

struct log_sink {
        char *file; /* owned; NULL: stdout */
        int fd;
        uint64_t size; /* of a regular file, else 0 */
        bool regular;
        bool torn;             /* the last line written has no newline */
        uint64_t rotate_at;    /* the size past which to rotate */
        uint64_t rotate_bytes; /* 0: never */
        unsigned rotate_keep;
};

enum status log_sink_open(struct log_sink *sink, const struct log_options *options,
                          struct error *err) MUST_USE;
void log_sink_close(struct log_sink *sink);

/* Bytes that may be written before the file must be rotated; a fresh file takes any one line. */
size_t log_sink_room(const struct log_sink *sink);
/* Writes whole lines. On failure *ret_written says how much of `data` stayed in the file, the end
 * of a line or 0. */
enum status log_sink_write(struct log_sink *sink, const char *data, size_t length,
                           size_t *ret_written, struct error *err) MUST_USE;
/* FILE becomes FILE.1 and so on, and a new FILE begins. On failure it goes on in the old file and
 * the next try comes after another rotate_bytes. */
enum status log_sink_rotate(struct log_sink *sink, struct error *err) MUST_USE;
/* Opens FILE anew, after something else moved the old one away. On failure it goes on in the old.
 */
enum status log_sink_reopen(struct log_sink *sink, struct error *err) MUST_USE;
