/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: thousands of deadlines in a heap, one thread that sleeps until the first. */
#pragma once

#include "base/error.h"
#include "engine/heap.h"

struct timers;

struct timer {
        struct heap_item item; /* first; zeroed before the first use */
        bool armed;
        /* On the timer thread, under the timers' lock: must not block nor touch timers. */
        void (*fire)(struct timer *timer);
};

enum status timers_new(struct timers **ret, struct error *err) MUST_USE;
/* What is armed does not fire any more. Takes NULL, returns NULL. */
struct timers *timers_free(struct timers *timers);

/* `timer` must not be armed. Any thread. */
void timers_arm(struct timers *timers, struct timer *timer, int64_t delay_us);
/* When it returns, `fire` is neither running nor to come. False if it was not armed (any more). */
bool timers_cancel(struct timers *timers, struct timer *timer);
