/* SPDX-License-Identifier: Apache-2.0 */
/* The start of the child process, between fork and exec. */
#pragma once

#include <sys/types.h>

#include "document/extract.h"

struct child {
        pid_t pid;       /* leader of its own process group */
        int process;     /* a descriptor that becomes readable when it ends */
        int text, words; /* its descriptors 1 and 2 */
};

enum status child_start(const struct extract_job *job, struct child *ret,
                        struct error *err) MUST_USE;
/* Kills what still runs, collects it, closes the descriptors. Returns the wait status. */
int child_end(struct child *child, bool kill_it);
