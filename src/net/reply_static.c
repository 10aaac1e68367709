/* SPDX-License-Identifier: Apache-2.0 */
/* Files compiled into the program: validators, and gzip kept or undone as the client can read it.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "net/server_internal.h"

enum { INFLATED_MAX = 64 * 1024 * 1024, GZIP_MIN = 18 };

/* "gzip;q=0" refuses what its name asks for. */
static bool quality_is_zero(const char *parameters, size_t length)
{
        const char *q = memmem(parameters, length, "q=", 2);

        return q && q + 2 < parameters + length && strtod(q + 2, NULL) <= 0;
}

static bool accepts_gzip(const char *accept)
{
        while (accept && *accept) {
                accept += strspn(accept, ", \t");
                size_t part = strcspn(accept, ","), name = strcspn(accept, ",; \t");

                if ((name == 4 && strncasecmp(accept, "gzip", 4) == 0) ||
                    (name == 1 && *accept == '*'))
                        return !quality_is_zero(accept + name, part - name);
                accept += part;
        }
        return false;
}

/* If-None-Match compares weakly: "W/" does not matter, "*" matches anything. */
static bool etag_matches(const char *list, const char *etag)
{
        size_t length = strlen(etag);

        while (list && *list) {
                list += strspn(list, ", \t");
                if (*list == '*')
                        return true;
                if (strncmp(list, "W/", 2) == 0)
                        list += 2;
                size_t part = strcspn(list, ", \t");

                if (part == length && memcmp(list, etag, length) == 0)
                        return true;
                list += part;
        }
        return false;
}

/* The last four bytes of a gzip file: what it inflates to, little-endian. */
static size_t gzip_size(const unsigned char *tail)
{
        return (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 |
               (size_t)tail[3] << 24;
}

static enum status inflate_gzip(const void *ctx, const void *data, size_t length, void **ret,
                                size_t *ret_length, struct error *err)
{
        z_stream stream = {.next_in = (Bytef *)data, .avail_in = (uInt)length};
        size_t size =
                length < GZIP_MIN ? SIZE_MAX : gzip_size((const unsigned char *)data + length - 4);
        int result;

        if (size > INFLATED_MAX || inflateInit2(&stream, 15 + 16) != Z_OK)
                return error_set(err, STATUS_INTERNAL, "an embedded file is no gzip");
        *ret = mem_array(ctx, char, size + 1);
        stream.next_out = *ret;
        stream.avail_out = (uInt)size + 1;
        result = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
        if (result != Z_STREAM_END || stream.total_out != size)
                return error_set(err, STATUS_INTERNAL, "an embedded file is broken gzip");
        *ret_length = size;
        return STATUS_OK;
}

static struct reply with_validators(struct reply reply, const char *encoding, const char *etag)
{
        reply.response->cache_control = "no-cache";
        if (etag)
                reply = reply_header(reply, "ETag", etag);
        if (encoding)
                reply = reply_header(reply, "Vary", "Accept-Encoding");
        return reply;
}

struct reply reply_static(struct request *req, const char *content_type, const char *encoding,
                          const char *etag, const void *data, size_t length)
{
        bool packed = encoding && strcmp(encoding, "gzip") == 0;
        bool plain = packed && !accepts_gzip(request_header(req, "Accept-Encoding"));
        struct response *response;
        struct error err = ERROR_INIT;
        void *inflated = NULL;

        if (etag && etag_matches(request_header(req, "If-None-Match"), etag))
                return with_validators(reply_empty(req, 304), encoding, etag);
        if (plain && inflate_gzip(req->ctx, data, length, &inflated, &length, &err))
                return reply_error(req, &err);
        response = response_new(req, RESPONSE_BODY, 200);
        response->content_type = content_type;
        response->data = plain ? inflated : data;
        response->length = length;
        /* Other bytes under the same tag may only claim to be equivalent. */
        if (plain && etag)
                etag = mem_printf(req->ctx, "W/%s", etag);
        struct reply reply = with_validators((struct reply){response}, encoding, etag);

        return encoding && !plain ? reply_header(reply, "Content-Encoding", encoding) : reply;
}
