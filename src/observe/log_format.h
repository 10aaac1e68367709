/* SPDX-License-Identifier: Apache-2.0 */
/* One log record as one line of JSON; inside the observe layer. */
#pragma once

#include "observe/log.h"

/* With its newline. Container runtimes split lines past 16 KiB, so none is longer: values are cut
 * and fields left out instead, and the record then says `"truncated":true`. */
enum { LOG_LINE_MAX = 16 * 1024 - 64, LOG_VALUE_MAX = 4096 };

/* The line of a record, its ids from the current trace; returns its length. Whatever the bytes of
 * the arguments, the line is one valid JSON object. */
size_t log_format(char line[LOG_LINE_MAX], enum log_level level, enum log_event event,
                  const char *message, const struct error *err, const struct log_field *fields,
                  size_t count);
const char *log_level_name(enum log_level level);
