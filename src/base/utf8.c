/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 checks over libutf8proc. */
#include "base/utf8.h"

#include <utf8proc.h>

size_t utf8_sequence(const char *text, size_t length)
{
        utf8proc_int32_t codepoint;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text,
                                                 (utf8proc_ssize_t)length, &codepoint);

        return step > 0 ? (size_t)step : 0;
}

bool utf8_valid(const char *text, size_t length)
{
        for (size_t i = 0; i < length;) {
                size_t step =
                        (unsigned char)text[i] < 0x80 ? 1 : utf8_sequence(text + i, length - i);
                if (!step)
                        return false;
                i += step;
        }
        return true;
}

size_t utf8_floor(const char *text, size_t length, size_t limit)
{
        if (limit >= length)
                return length;
        while (limit > 0 && ((unsigned char)text[limit] & 0xC0) == 0x80)
                limit--;
        return limit;
}
