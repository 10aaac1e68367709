/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: talloc contexts with an abort on exhaustion.
 *
 * Every object has a parent; freeing the parent frees the tree. Small allocations cannot fail
 * (the process aborts); whatever a client sizes goes through a bounded `struct buffer` instead.
 * A context belongs to one thread at a time; handing a tree to another thread is fine, sharing
 * one is not. */
#pragma once

#include <stddef.h>
#include <talloc.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define CLEANUP(function) __attribute__((cleanup(function)))
#define ARRAY_LENGTH(a)   (sizeof(a) / sizeof((a)[0]))

/* Frees the talloc context when the variable goes out of scope: `SCOPED_MEM void *ctx =
 * mem_root();` */
#define SCOPED_MEM CLEANUP(mem_free_at)
void mem_free_at(void *pointer_to_context);

/* Frees a malloc()ed block, a FILE * or a file descriptor (>= 0) at the end of the scope. */
#define SCOPED_FREE CLEANUP(mem_malloc_free_at)
#define SCOPED_FILE CLEANUP(mem_file_close_at)
#define SCOPED_FD   CLEANUP(mem_fd_close_at)
void mem_malloc_free_at(void *pointer_to_block);
void mem_file_close_at(void *pointer_to_file);
void mem_fd_close_at(int *fd);

/* A new top-level context, owned by the caller. */
void *mem_root(void) MUST_USE;

/* Zeroed objects of type T below `ctx`. */
#define mem_new(ctx, T)          ((T *)mem_zero_((ctx), sizeof(T), 1, #T))
#define mem_array(ctx, T, count) ((T *)mem_zero_((ctx), sizeof(T), (count), #T))
/* Grows (or shrinks) an array made by mem_array; new elements are not zeroed. */
#define mem_resize(ctx, array, T, count) ((T *)mem_resize_((ctx), (array), sizeof(T), (count), #T))

void *mem_zero_(const void *ctx, size_t size, size_t count, const char *name) MUST_USE;
void *mem_resize_(const void *ctx, void *array, size_t size, size_t count,
                  const char *name) MUST_USE;
char *mem_strdup(const void *ctx, const char *text) MUST_USE; /* NULL gives NULL */
char *mem_strndup(const void *ctx, const char *text, size_t length) MUST_USE;
void *mem_dup(const void *ctx, const void *data, size_t length) MUST_USE;
char *mem_printf(const void *ctx, const char *format, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* Frees `ptr` and its children, takes NULL, returns NULL. */
void *mem_free(void *ptr);
