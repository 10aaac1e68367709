/* SPDX-License-Identifier: Apache-2.0 */
/* Time: clocks and RFC 3339. */
#include "base/clock.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t clock_wall_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

char *clock_format(int64_t wall_ms, char text[CLOCK_TEXT_SIZE])
{
        int64_t seconds = wall_ms / 1000, ms = wall_ms % 1000;
        struct tm tm;

        if (ms < 0) {
                ms += 1000;
                seconds--;
        }
        time_t when = (time_t)seconds;
        gmtime_r(&when, &tm);
        size_t used = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text + used, CLOCK_TEXT_SIZE - used, ".%03dZ", (int)ms);
        return text;
}

/* ".123" (any number of digits) as milliseconds; moves *text behind it. */
static int64_t parse_fraction(const char **text)
{
        int64_t ms = 0, scale = 100;

        if (**text != '.')
                return 0;
        for ((*text)++; isdigit((unsigned char)**text); (*text)++) {
                ms += (**text - '0') * scale;
                scale /= 10;
        }
        return ms;
}

/* Two digits below the limit; -1 for anything else. */
static int parse_two_digits(const char *text, int limit)
{
        if (!isdigit((unsigned char)text[0]) || !isdigit((unsigned char)text[1]))
                return -1;
        int number = (text[0] - '0') * 10 + text[1] - '0';
        return number < limit ? number : -1;
}

/* "Z" or "+hh:mm" as minutes east; false if neither ends the text. */
static bool parse_offset(const char *text, int *ret_minutes)
{
        int hours, minutes;

        if ((text[0] == 'Z' || text[0] == 'z') && text[1] == '\0') {
                *ret_minutes = 0;
                return true;
        }
        if (text[0] != '+' && text[0] != '-')
                return false;
        hours = parse_two_digits(text + 1, 24);
        if (hours < 0 || text[3] != ':')
                return false;
        minutes = parse_two_digits(text + 4, 60);
        if (minutes < 0 || text[6] != '\0')
                return false;
        *ret_minutes = (hours * 60 + minutes) * (text[0] == '-' ? -1 : 1);
        return true;
}

enum status clock_parse(const char *text, int64_t *ret_wall_ms, struct error *err)
{
        struct tm tm = {0};
        int minutes_east;
        const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

        if (!rest)
                return error_set(err, STATUS_INVALID, "'%.40s' is not an RFC 3339 time", text);
        int64_t ms = parse_fraction(&rest);
        if (!parse_offset(rest, &minutes_east))
                return error_set(err, STATUS_INVALID, "'%.40s' is not an RFC 3339 time", text);
        *ret_wall_ms = ((int64_t)timegm(&tm) - (int64_t)minutes_east * 60) * 1000 + ms;
        return STATUS_OK;
}
