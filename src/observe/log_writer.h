/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that takes lines from the ring to the sink; inside the observe layer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "observe/log.h"

enum status log_writer_start(const struct log_options *options, struct error *err) MUST_USE;
void log_writer_stop(void);
/* Hands over one line. False if there is no writer and the caller must write the line itself; a
 * line dropped because the ring is full is counted and gives true. Any thread. */
bool log_writer_push(enum log_level level, const char *line, size_t length) MUST_USE;
/* Waits until everything pushed so far was written. Any thread. */
void log_writer_flush(void);
/* Any thread, and safe in a signal handler. */
void log_writer_reopen(void);
/* Straight to standard error. */
void log_write_stderr(const char *line, size_t length);
