/* SPDX-License-Identifier: Apache-2.0 */
/* The stream that the extraction child writes, taken apart by the parent, which trusts nothing in
 * it: UTF-8 text; a form feed ends a page; a byte 1..6 at the start of a line makes the line a
 * heading of that level. All other control characters become spaces, invalid bytes U+FFFD, and
 * length and number of pages are bounded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { FRAMES_HEADING_MAX = 512 };

/* Data is borrowed for the call, valid UTF-8 without form feeds. A failure ends the reading. */
struct frames_sink {
        enum status (*text)(void *arg, const char *text, size_t length, struct error *err);
        enum status (*heading)(void *arg, unsigned level, const char *title, size_t length,
                               struct error *err);
        enum status (*page_end)(void *arg, struct error *err);
        void *arg;
};

struct frames_limits {
        uint64_t bytes; /* of text */
        uint64_t pages;
};

struct frames {
        const struct frames_sink *sink;
        struct frames_limits limits;
        bool paged; /* form feeds end pages, and there are no headings */
        uint64_t bytes, pages;
        bool has_text; /* anything but white space came */
        bool line_start;
        unsigned heading; /* level of the heading being gathered, or 0 */
        size_t gathered, held, used;
        char title[FRAMES_HEADING_MAX];
        char partial[4]; /* start of a character that goes on in the next block */
        char clean[4096];
};

void frames_init(struct frames *frames, bool paged, struct frames_limits limits,
                 const struct frames_sink *sink);
/* STATUS_TOO_LARGE past a limit, or what the sink returns. */
enum status frames_feed(struct frames *frames, const char *data, size_t length,
                        struct error *err) MUST_USE;
enum status frames_end(struct frames *frames, struct error *err) MUST_USE;
