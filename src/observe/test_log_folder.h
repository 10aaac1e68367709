/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with a log in it, for tests: started, read back, removed. Failures are test failures. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "observe/log.h"

struct log_folder {
        char folder[64];
        char file[80];
};

/* A new temporary folder; the log in it is not started. */
void log_folder_make(struct log_folder *log);
/* Starts the log at DEBUG. */
void log_folder_start(const struct log_folder *log, uint64_t rotate_bytes, unsigned rotate_keep);
/* Removes the folder and whatever is in it. */
void log_folder_remove(const struct log_folder *log);

/* The text of a file, below ctx; "" if there is none. */
char *file_text(const void *ctx, const char *path);
/* Parses lines strictly (each a JSON object without duplicate names, none past 16 KiB, the last
 * with its newline) and appends them to `records`. */
void parse_lines(const char *text, json_t *records);
/* The records of FILE.n … FILE.1 and FILE, oldest first. A new reference. */
json_t *log_folder_records(const struct log_folder *log);
/* The number of files. */
size_t log_folder_files(const struct log_folder *log);

/* A sample of the exposition by its text up to the value; 0 if there is none. */
double metric_value(const char *sample);

/* Sends standard error or output to a file until the end of the diversion. */
struct diversion {
        int fd, saved;
        char file[80];
};
void diversion_begin(struct diversion *diversion, const struct log_folder *log, int fd);
/* Restores it; the text that was written meanwhile, below ctx. */
char *diversion_end(struct diversion *diversion, const void *ctx);
