/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's head to its route: targets that pass are unambiguous, framings that pass have one
 * reading. Input: the target on the first line, a header "name: value" on each further one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "net/http_framing.h"
#include "net/http_target.h"
#include "net/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 2 * HTTP_FIELDS_MAX };

static void must(bool holds)
{
        if (!holds)
                abort();
}

static struct reply nothing(struct request *req)
{
        return reply_empty(req, 204);
}

static const struct router *the_router(void)
{
        static const struct route routes[] = {
                {METHOD_GET, "/", 0, 0, nothing, NULL},
                {METHOD_GET, "/a", 0, 0, nothing, NULL},
                {METHOD_POST, "/a/{id}", 0, 0, nothing, NULL},
                {METHOD_GET, "/a/{id}/b/{other}", 0, 0, nothing, NULL},
                {METHOD_GET, "/a/b/{id}", 0, 0, nothing, NULL},
                {METHOD_GET, "/files/{path...}", 0, 0, nothing, NULL},
                {0},
        };
        static const struct route *const tables[] = {routes, NULL};
        static struct router *router;
        struct error err = ERROR_INIT;

        if (!router)
                must(router_new(NULL, tables, &router, &err) == STATUS_OK);
        return router;
}

static void check_target(const void *ctx, const char *raw)
{
        struct http_target target;
        struct route_match match;
        struct error err = ERROR_INIT;

        if (http_target_parse(ctx, raw, &target, &err)) {
                must(err.message[0] != '\0');
                return;
        }
        must(target.segment_count <= TARGET_SEGMENTS_MAX && target.query_count <= TARGET_QUERY_MAX);
        for (size_t i = 0; i < target.segment_count; i++) {
                const char *segment = target.segments[i];

                must(!strchr(segment, '/') && strcmp(segment, "..") != 0 &&
                     strcmp(segment, ".") != 0);
                must(utf8_valid(segment, strlen(segment)));
        }
        for (size_t i = 0; i < target.query_count; i++)
                must(utf8_valid(target.query[i].value, strlen(target.query[i].value)));
        if (!router_find(the_router(), ctx, target.segments, target.segment_count, &match))
                return;
        must(match.entries && match.value_count <= ROUTE_PARAMS_MAX);
        must(strstr(route_allow(ctx, &match), "OPTIONS") != NULL);
}

static size_t read_fields(const void *ctx, const char *text, const char *end,
                          struct http_field *fields)
{
        size_t count = 0;

        while (text < end && count < FIELDS_MAX) {
                const char *line = memchr(text, '\n', (size_t)(end - text));
                const char *stop = line ? line : end;
                const char *colon = memchr(text, ':', (size_t)(stop - text));

                if (colon) {
                        const char *value = colon + 1;

                        while (value < stop && *value == ' ')
                                value++;
                        fields[count].name = mem_strndup(ctx, text, (size_t)(colon - text));
                        fields[count].name_length = strlen(fields[count].name);
                        fields[count].value = mem_strndup(ctx, value, (size_t)(stop - value));
                        fields[count].value_length = strlen(fields[count].value);
                        count++;
                }
                text = line ? line + 1 : end;
        }
        return count;
}

static void check_framing(const struct http_field *fields, size_t count, bool http_1_1)
{
        const struct http_field *length = http_field_find(fields, count, "content-length");
        struct http_framing framing;
        struct error err = ERROR_INIT;

        if (http_framing_check(fields, count, http_1_1, &framing, &err)) {
                must(err.message[0] != '\0');
                return;
        }
        must(!framing.chunked || (!length && framing.body && http_1_1));
        must(framing.chunked || framing.body == (framing.length > 0));
        must(!http_1_1 || http_field_find(fields, count, "HOST"));
        if (length)
                must(strtoull(length->value, NULL, 10) == framing.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        SCOPED_MEM void *ctx = mem_root();
        const char *text = (const char *)data;
        const char *line = size ? memchr(text, '\n', size) : NULL;
        size_t length = line ? (size_t)(line - text) : size;
        struct http_field *fields = mem_array(ctx, struct http_field, FIELDS_MAX);
        size_t count = line ? read_fields(ctx, line + 1, text + size, fields) : 0;

        check_target(ctx, mem_strndup(ctx, size ? text : "", length));
        check_framing(fields, count, true);
        check_framing(fields, count, false);
        for (size_t i = 0; i < count; i++)
                http_list_has(fields[i].value, "upgrade");
        return 0;
}
