/* SPDX-License-Identifier: Apache-2.0 */
/* UUID version 7 (RFC 9562): ids that sort by creation time. */
#pragma once

#include <stdbool.h>

enum { UUID_TEXT_SIZE = 37 };

/* A new id in lower case into `text`; returns `text`. Any thread; ids of one process only rise. */
char *uuid_new(char text[UUID_TEXT_SIZE]);
/* True for the canonical 36 characters of any UUID. */
bool uuid_valid(const char *text);
