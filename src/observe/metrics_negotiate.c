/* SPDX-License-Identifier: Apache-2.0 */
/* Which exposition an Accept header asks for.
 *
 * OpenMetrics only to who names it: `*` is answered with text, which everything reads. Versions
 * other than the two that are written are not claimed. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "observe/metrics.h"

struct media_range {
        const char *type;
        size_t type_length;
        const char *version;
        size_t version_length; /* 0: any */
        double quality;
};

static const char *skip_blank(const char *text)
{
        return text + strspn(text, " \t");
}

/* Up to the next of `stops`, without blanks behind. */
static size_t token_length(const char *text, const char *stops)
{
        size_t length = strcspn(text, stops);

        while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
                length--;
        return length;
}

static bool is(const char *text, size_t length, const char *wanted)
{
        return strlen(wanted) == length && strncasecmp(text, wanted, length) == 0;
}

static void read_parameter(const char *text, struct media_range *range)
{
        size_t name = token_length(text, "=;,");
        const char *value = text + strcspn(text, "=;,");

        if (*value != '=')
                return;
        value = skip_blank(value + 1);
        if (is(text, name, "q")) {
                range->quality = strtod(value, NULL);
        } else if (is(text, name, "version")) {
                value += *value == '"';
                range->version = value;
                range->version_length = token_length(value, "\";,");
        }
}

/* Reads one range and moves *text behind its comma; false at the end. */
static bool next_range(const char **text, struct media_range *ret)
{
        const char *at = skip_blank(*text);

        if (!*at)
                return false;
        *ret = (struct media_range){
                .type = at, .type_length = token_length(at, ";,"), .quality = 1};
        at += strcspn(at, ";,");
        while (*at == ';') {
                at = skip_blank(at + 1);
                read_parameter(at, ret);
                at += strcspn(at, ";,");
        }
        *text = *at == ',' ? at + 1 : at;
        return true;
}

static bool version_is(const struct media_range *range, const char *version)
{
        return !range->version_length || is(range->version, range->version_length, version);
}

enum metrics_format metrics_negotiate(const char *accept, const char **ret_content_type)
{
        double text = 0, openmetrics = 0;
        struct media_range range;

        while (accept && next_range(&accept, &range)) {
                double *best = &text;

                if (is(range.type, range.type_length, "application/openmetrics-text") &&
                    version_is(&range, "1.0.0"))
                        best = &openmetrics;
                else if (!is(range.type, range.type_length, "text/plain") ||
                         !version_is(&range, "0.0.4"))
                        continue;
                if (range.quality > *best)
                        *best = range.quality;
        }
        if (openmetrics > 0 && openmetrics >= text) {
                *ret_content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                return METRICS_OPENMETRICS;
        }
        *ret_content_type = "text/plain; version=0.0.4; charset=utf-8";
        return METRICS_TEXT;
}
