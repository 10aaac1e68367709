/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as decimal text for log lines and expositions, where printf would be most of the cost.
 * Each writes without NUL to `out` (at least DECIMAL_SIZE bytes) and returns the length. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_SIZE = 32 };

size_t decimal_unsigned(char *out, uint64_t value);
size_t decimal_signed(char *out, int64_t value);
/* 15 significant digits, whole numbers without a point; "NaN", "+Inf", "-Inf" as Prometheus has
 * them. */
size_t decimal_real(char *out, double value);
/* The same rounded to six decimals where that keeps at least four digits: durations and costs. */
size_t decimal_rounded(char *out, double value);
