/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of stored files: <id> as uploaded, <id>.txt as read. Names are ids of the program,
 * never of a client; files are readable by the program's user only. A file has its name only once
 * it is complete and on the disk. Any thread. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/uuid.h"

struct folder;

/* Made if missing, with its parents. */
enum status folder_open(const void *ctx, const char *path, struct folder **ret,
                        struct error *err) MUST_USE;

/* A file without a name yet. Closing it before folder_keep leaves nothing behind. */
struct part_file {
        int fd;        /* -1: none */
        char name[64]; /* "" where the file system can do without */
};
enum status folder_begin(struct folder *folder, struct part_file *ret, struct error *err) MUST_USE;
void folder_drop(struct folder *folder, struct part_file *part);
/* Writes all of it, or UNAVAILABLE (the disk is full). */
enum status part_file_write(struct part_file *part, const void *data, size_t length,
                            struct error *err) MUST_USE;
/* Brings the content to the disk, gives it the name `name` (replacing what had it), brings the name
 * to the disk. `part` is closed and empty on success. */
enum status folder_keep(struct folder *folder, struct part_file *part, const char *name,
                        struct error *err) MUST_USE;

/* NOT_FOUND if it is not there. */
enum status folder_read(struct folder *folder, const char *name, int *ret_fd,
                        struct error *err) MUST_USE;
void folder_remove(struct folder *folder, const char *name);
/* Names `id` and its text's. */
void folder_remove_document(struct folder *folder, const char *id);
char *folder_text_name(const char *id, char name[UUID_TEXT_SIZE + 4]);

/* Calls `each` for names that have not changed for `seconds`. */
typedef void folder_fn(const char *name, void *arg);
void folder_each_old(struct folder *folder, unsigned seconds, folder_fn *each, void *arg);
