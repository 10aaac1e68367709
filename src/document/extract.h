/* SPDX-License-Identifier: Apache-2.0 */
/* Running the child process that takes the text out of a file: how long, how much, and what its
 * end means. Blocks; any thread. */
#pragma once

#include "document/format.h"
#include "document/frames.h"

struct extract_limits {
        unsigned seconds; /* from start to end, and of processor time */
        uint64_t memory;  /* bytes of address space */
        struct frames_limits output;
};
#define EXTRACT_LIMITS_DEFAULT                                                                     \
        ((struct extract_limits){.seconds = 60,                                                    \
                                 .memory = (uint64_t)1 << 30,                                      \
                                 .output = {.bytes = (uint64_t)64 << 20, .pages = 20000}})

struct extract_job {
        const char *program; /* run as `program extract-child <content type>` */
        const struct format *format;
        int file;   /* open for reading, at its start */
        int cancel; /* a descriptor that becomes readable when the job is to stop, or -1 */
        struct extract_limits limits;
        const struct frames_sink *sink;
};

/* UNPROCESSABLE with the reason when the file is at fault, TIMEOUT, TOO_LARGE, CANCELLED, INTERNAL,
 * or what the sink returned. *ret_pages (0 for formats without pages) is set on success. The child
 * is gone in every case. */
enum status extract_run(const struct extract_job *job, uint64_t *ret_pages,
                        struct error *err) MUST_USE;

/* Exit statuses of the child, with words for people on its descriptor 2. */
enum { EXTRACT_EXIT_REASON = 10, EXTRACT_EXIT_NOT_STARTED = 127 };
