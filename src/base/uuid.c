/* SPDX-License-Identifier: Apache-2.0 */
/* UUID version 7: 48 bits of milliseconds, then a counter (RFC 9562 method 1) and random bits. */
#include "base/uuid.h"

#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t last_ms;
static uint32_t counter; /* 12 bits, restarts at random below half each millisecond */

static void next_stamp(int64_t *ret_ms, uint32_t *ret_counter)
{
        int64_t now = clock_wall_ms();

        pthread_mutex_lock(&lock);
        if (now > last_ms) {
                last_ms = now;
                counter = randombytes_random() & 0x7FF;
        } else if (++counter > 0xFFF) {
                last_ms++;
                counter = 0;
        }
        *ret_ms = last_ms;
        *ret_counter = counter;
        pthread_mutex_unlock(&lock);
}

char *uuid_new(char text[UUID_TEXT_SIZE])
{
        unsigned char bytes[16];
        char hex[33];
        int64_t ms;
        uint32_t count;

        next_stamp(&ms, &count);
        randombytes_buf(bytes + 8, 8);
        for (int i = 0; i < 6; i++)
                bytes[i] = (unsigned char)((uint64_t)ms >> (40 - 8 * i));
        bytes[6] = (unsigned char)(0x70 | (count >> 8));
        bytes[7] = (unsigned char)count;
        bytes[8] = (unsigned char)(0x80 | (bytes[8] & 0x3F));
        sodium_bin2hex(hex, sizeof(hex), bytes, sizeof(bytes));

        const int ends[] = {8, 12, 16, 20, 32};
        char *out = text;
        for (int group = 0, from = 0; group < 5; from = ends[group++]) {
                memcpy(out, hex + from, (size_t)(ends[group] - from));
                out += ends[group] - from;
                *out++ = group < 4 ? '-' : '\0';
        }
        return text;
}

bool uuid_valid(const char *text)
{
        for (int i = 0; i < 36; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]) || !text[i])
                        return false;
        }
        return text[36] == '\0';
}
