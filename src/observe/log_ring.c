/* SPDX-License-Identifier: Apache-2.0 */
/* The ring between the threads that log and the one that writes. */
#include "observe/log_ring.h"

#include <assert.h>
#include <string.h>

/* Records start at multiples of a header, so a header never wraps around the end. */
enum { HEADER = sizeof(uint64_t), LENGTH_BITS = 24, RECORD_MAX = 64 * 1024 };

static size_t record_size(size_t length)
{
        return HEADER + ((length + HEADER - 1) & ~(size_t)(HEADER - 1));
}

static _Atomic uint64_t *header_at(struct log_ring *ring, uint64_t position)
{
        return &ring->words[position % LOG_RING_SIZE / HEADER];
}

static unsigned char *bytes(struct log_ring *ring)
{
        return (unsigned char *)ring->words;
}

static void copy_in(struct log_ring *ring, uint64_t position, const void *data, size_t length)
{
        size_t at = position % LOG_RING_SIZE, first = LOG_RING_SIZE - at;

        if (first > length)
                first = length;
        memcpy(bytes(ring) + at, data, first);
        memcpy(bytes(ring), (const char *)data + first, length - first);
}

static void copy_out(struct log_ring *ring, uint64_t position, void *out, size_t length)
{
        size_t at = position % LOG_RING_SIZE, first = LOG_RING_SIZE - at;

        if (first > length)
                first = length;
        memcpy(out, bytes(ring) + at, first);
        memcpy((char *)out + first, bytes(ring), length - first);
}

/* Old bytes must not look like headers to the next lap. */
static void wipe(struct log_ring *ring, uint64_t position, size_t length)
{
        size_t at = position % LOG_RING_SIZE, first = LOG_RING_SIZE - at;

        if (first > length)
                first = length;
        memset(bytes(ring) + at, 0, first);
        memset(bytes(ring), 0, length - first);
}

/* The tail is read before the head, so that the head read is never behind it. */
static enum log_ring_result claim(struct log_ring *ring, size_t size, size_t limit,
                                  uint64_t *ret_position, size_t *ret_used)
{
        uint64_t tail, head;

        do {
                tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
                head = atomic_load_explicit(&ring->head, memory_order_acquire);
                if (head & LOG_RING_CLOSED_BIT)
                        return LOG_RING_CLOSED;
                *ret_used = (size_t)(head + size - tail);
                if (*ret_used > limit)
                        return LOG_RING_FULL;
        } while (!atomic_compare_exchange_weak_explicit(
                &ring->head, &head, head + size, memory_order_acq_rel, memory_order_relaxed));
        *ret_position = head;
        return LOG_RING_PUSHED;
}

enum log_ring_result log_ring_push(struct log_ring *ring, const void *data, size_t length,
                                   unsigned tag, size_t limit, size_t *ret_used)
{
        uint64_t position;

        assert(length > 0 && length <= RECORD_MAX && limit <= LOG_RING_SIZE);
        enum log_ring_result result = claim(ring, record_size(length), limit, &position, ret_used);
        if (result != LOG_RING_PUSHED)
                return result;
        copy_in(ring, position + HEADER, data, length);
        /* Sequentially consistent with the reader's announcement that it goes to sleep: either it
         * sees this record or the producer sees that it sleeps. */
        atomic_store(header_at(ring, position), length | (uint64_t)tag << LENGTH_BITS);
        return LOG_RING_PUSHED;
}

uint64_t log_ring_position(struct log_ring *ring)
{
        return atomic_load(&ring->head) & ~LOG_RING_CLOSED_BIT;
}

void log_ring_open(struct log_ring *ring)
{
        atomic_fetch_and(&ring->head, ~LOG_RING_CLOSED_BIT);
}

void log_ring_close(struct log_ring *ring)
{
        atomic_fetch_or(&ring->head, LOG_RING_CLOSED_BIT);
}

bool log_ring_closed(struct log_ring *ring)
{
        return atomic_load(&ring->head) & LOG_RING_CLOSED_BIT;
}

size_t log_ring_pop(struct log_ring *ring, void *out, size_t room, unsigned *ret_tag)
{
        uint64_t header = atomic_load_explicit(header_at(ring, ring->read), memory_order_acquire);
        size_t length = header & (((uint64_t)1 << LENGTH_BITS) - 1);

        if (!length || length > room)
                return 0;
        copy_out(ring, ring->read + HEADER, out, length);
        wipe(ring, ring->read, record_size(length));
        ring->read += record_size(length);
        *ret_tag = (unsigned)(header >> LENGTH_BITS);
        return length;
}

void log_ring_release(struct log_ring *ring)
{
        atomic_store_explicit(&ring->tail, ring->read, memory_order_release);
}

bool log_ring_ready(struct log_ring *ring)
{
        return atomic_load(header_at(ring, ring->read)) != 0;
}

bool log_ring_drained(struct log_ring *ring)
{
        return log_ring_position(ring) == ring->read;
}
