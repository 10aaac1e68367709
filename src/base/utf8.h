/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 checks (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the valid sequence at `text`, or 0 if there is none within `length`. */
size_t utf8_sequence(const char *text, size_t length);
bool utf8_valid(const char *text, size_t length);
/* The largest n <= limit so that text[0..n) does not end inside a sequence of valid `text`. */
size_t utf8_floor(const char *text, size_t length, size_t limit);
