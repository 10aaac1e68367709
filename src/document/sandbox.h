/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement of the process that reads untrusted files: a list of the system calls that it may
 * still make (seccomp) and, where the kernel has it, of the files that it may still open
 * (Landlock). Neither can be taken back. Refused calls fail with EPERM. */
#pragma once

#include "base/error.h"

enum sandbox_profile {
        /* Computes on memory that it has and writes to open descriptors: opens nothing. */
        SANDBOX_COMPUTE,
        /* Becomes `program`, which may open for reading itself, shared libraries, poppler's and
         * fonts' data, and what is open as descriptor 0; it can write only to open descriptors. */
        SANDBOX_RUN,
};

/* `program` is for SANDBOX_RUN. INTERNAL if the kernel has no seccomp filters: then nothing
 * untrusted may be read. */
enum status sandbox_enter(enum sandbox_profile profile, const char *program,
                          struct error *err) MUST_USE;
