/* SPDX-License-Identifier: Apache-2.0 */
#include "document/html_depth.h"

#include <ctype.h>
#include <string.h>

enum { TAG_NAME_MAX = 16 };

struct scan {
        const char *at, *end;
        char name[TAG_NAME_MAX]; /* of the tag just read, in lower case */
        bool closing;
};

/* Elements without content, or closed by what follows. */
static bool is_open_ended(const char *name)
{
        static const char *const names[] = {
                "area", "base",  "br",    "col",   "colgroup", "dd",    "dt",       "embed",
                "hr",   "img",   "input", "li",    "link",     "meta",  "optgroup", "option",
                "p",    "param", "rp",    "rt",    "source",   "tbody", "td",       "tfoot",
                "th",   "thead", "tr",    "track", "wbr",
        };

        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                if (strcmp(names[i], name) == 0)
                        return true;
        }
        return false;
}

static void skip_past(struct scan *scan, const char *mark)
{
        const char *found = memmem(scan->at, (size_t)(scan->end - scan->at), mark, strlen(mark));

        scan->at = found ? found + strlen(mark) : scan->end;
}

/* What is between <script> and </script> holds no tags. */
static void skip_raw(struct scan *scan)
{
        size_t length = strlen(scan->name);

        while (scan->at < scan->end) {
                skip_past(scan, "</");
                if ((size_t)(scan->end - scan->at) >= length &&
                    strncasecmp(scan->at, scan->name, length) == 0)
                        return;
        }
}

static void read_name(struct scan *scan)
{
        size_t length = 0;

        scan->closing = scan->at < scan->end && *scan->at == '/';
        scan->at += scan->closing;
        for (; scan->at < scan->end && isalnum((unsigned char)*scan->at); scan->at++) {
                if (length < TAG_NAME_MAX - 1)
                        scan->name[length++] = (char)tolower((unsigned char)*scan->at);
        }
        scan->name[length] = '\0';
}

/* The next tag of an element; false at the end. */
static bool next_tag(struct scan *scan)
{
        while (scan->at < scan->end) {
                skip_past(scan, "<");
                if (scan->end - scan->at >= 3 && memcmp(scan->at, "!--", 3) == 0) {
                        skip_past(scan, "-->");
                        continue;
                }
                read_name(scan);
                if (isalpha((unsigned char)scan->name[0]))
                        return true;
        }
        return false;
}

bool html_is_too_deep(const char *text, size_t length)
{
        struct scan scan = {.at = text, .end = text + length};
        size_t depth = 0;

        while (next_tag(&scan)) {
                if (is_open_ended(scan.name))
                        continue;
                if (scan.closing) {
                        depth -= depth > 0;
                        continue;
                }
                if (strcmp(scan.name, "script") == 0 || strcmp(scan.name, "style") == 0)
                        skip_raw(&scan);
                else if (++depth > HTML_DEPTH_MAX)
                        return true;
        }
        return false;
}
