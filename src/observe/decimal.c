/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as decimal text. */
#include "observe/decimal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

size_t decimal_unsigned(char *out, uint64_t value)
{
        char digits[20];
        size_t at = sizeof(digits);

        do {
                digits[--at] = (char)('0' + value % 10);
                value /= 10;
        } while (value);
        memcpy(out, digits + at, sizeof(digits) - at);
        return sizeof(digits) - at;
}

size_t decimal_signed(char *out, int64_t value)
{
        if (value >= 0)
                return decimal_unsigned(out, (uint64_t)value);
        out[0] = '-';
        return 1 + decimal_unsigned(out + 1, -(uint64_t)value);
}

size_t decimal_real(char *out, double value)
{
        if (isnan(value))
                return (size_t)snprintf(out, DECIMAL_SIZE, "NaN");
        if (isinf(value))
                return (size_t)snprintf(out, DECIMAL_SIZE, "%cInf", value > 0 ? '+' : '-');
        if (fabs(value) < 1e15 && trunc(value) == value)
                return decimal_signed(out, (int64_t)value);
        return (size_t)snprintf(out, DECIMAL_SIZE, "%.15g", value);
}

size_t decimal_rounded(char *out, double value)
{
        double size = fabs(value);
        size_t length = 0;

        if (!(size >= 1e-3 && size < 1e9))
                return decimal_real(out, value);
        uint64_t millionths = (uint64_t)(size * 1e6 + 0.5), fraction = millionths % 1000000;
        if (value < 0)
                out[length++] = '-';
        length += decimal_unsigned(out + length, millionths / 1000000);
        if (!fraction)
                return length;
        out[length++] = '.';
        for (uint64_t unit = 100000; fraction; unit /= 10) {
                out[length++] = (char)('0' + fraction / unit);
                fraction %= unit;
        }
        return length;
}
