/* SPDX-License-Identifier: Apache-2.0 */
/* The ring between the threads that log and the one that writes; inside the observe layer.
 *
 * Any thread pushes, one pops. A push claims its place with one compare-and-swap and then copies,
 * so a producer never waits for another. Positions only grow; a record lies at position modulo
 * size, a header word first. The header is zero until the record behind it is complete: pops stop
 * at the first incomplete record, which keeps lines in the order in which they were claimed. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_RING_SIZE = 2 * 1024 * 1024 };

enum log_ring_result { LOG_RING_PUSHED, LOG_RING_FULL, LOG_RING_CLOSED };

struct log_ring {
        _Alignas(64) _Atomic uint64_t head; /* claimed up to here; LOG_RING_CLOSED_BIT */
        _Alignas(64) _Atomic uint64_t tail; /* free for reuse up to here */
        _Alignas(64) uint64_t read;         /* popped up to here; the popping thread's */
        _Alignas(64) _Atomic uint64_t words[LOG_RING_SIZE / sizeof(uint64_t)];
};

/* A ring starts closed, all else zero. */
#define LOG_RING_CLOSED_BIT ((uint64_t)1 << 63)
#define LOG_RING_INIT                                                                              \
        {                                                                                          \
                .head = LOG_RING_CLOSED_BIT                                                        \
        }

/* Copies `length` bytes (1 to 64 KiB) with a `tag` below 256. At most `limit` bytes of the ring may
 * be in use afterwards. *ret_used is that use. Any thread. */
enum log_ring_result log_ring_push(struct log_ring *ring, const void *data, size_t length,
                                   unsigned tag, size_t limit, size_t *ret_used);
/* The position behind everything claimed so far. */
uint64_t log_ring_position(struct log_ring *ring);
void log_ring_open(struct log_ring *ring);
/* No push succeeds any more; those that claimed their place still complete. */
void log_ring_close(struct log_ring *ring);
bool log_ring_closed(struct log_ring *ring);

/* The popping thread only. Pop copies the oldest complete record if it has at most `room` bytes and
 * returns its length, else 0. Its place is free for pushes after log_ring_release. */
size_t log_ring_pop(struct log_ring *ring, void *out, size_t room, unsigned *ret_tag);
void log_ring_release(struct log_ring *ring);
bool log_ring_ready(struct log_ring *ring);   /* a complete record waits */
bool log_ring_drained(struct log_ring *ring); /* nothing is claimed that was not popped */
