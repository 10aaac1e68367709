/* SPDX-License-Identifier: Apache-2.0 */
/* Time: wall clock in milliseconds since 1970 UTC for what is stored, monotonic for durations. */
#pragma once

#include <stdint.h>

#include "base/error.h"

int64_t clock_wall_ms(void);
int64_t clock_monotonic_us(void);

enum { CLOCK_TEXT_SIZE = 25 }; /* "2026-11-22T11:17:00.123Z" and NUL */

/* RFC 3339 UTC with milliseconds into `text`; returns `text`. */
char *clock_format(int64_t wall_ms, char text[CLOCK_TEXT_SIZE]);
/* Any RFC 3339 time; STATUS_INVALID otherwise. */
enum status clock_parse(const char *text, int64_t *ret_wall_ms, struct error *err) MUST_USE;
