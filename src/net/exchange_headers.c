/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a request: copied out of the library, checked, and matched with a route.
 *
 * Headers are copied because a handler may outlive its connection. libmicrohttpd 0.9 joins folded
 * lines, ends lines at a bare LF and cuts at NUL without telling; what it leaves in its buffer
 * tells: name, colon, value and CRLF of each line follow each other without a gap, up to the end of
 * the head, only if every line was well formed. Later versions refuse such lines by themselves. */
#include <string.h>
#include <strings.h>

#include "net/server_internal.h"

static bool layout_known(void)
{
        return strncmp(MHD_get_version(), "0.9.", 4) == 0;
}

/* "name" NUL spaces "value" NUL NUL, right behind the line before. */
static bool line_intact(const struct exchange *exchange, const char *name, size_t name_length,
                        const char *value, size_t value_length)
{
        const char *after = name + name_length + 1;

        if (name != exchange->line_end + 2 || value < after || value - after > HEADERS_MAX)
                return false;
        if (value[value_length] != '\0' || value[value_length + 1] != '\0')
                return false;
        for (; after < value; after++) {
                if (*after != ' ' && *after != '\t')
                        return false;
        }
        return true;
}

struct taking {
        struct exchange *exchange;
        char *at, *end; /* room for names and values */
};

static const char *take_text(struct taking *taking, const char *text, size_t length)
{
        char *copy = taking->at;

        if (length + 1 > (size_t)(taking->end - taking->at))
                return mem_strndup(taking->exchange, text, length);
        memcpy(copy, text, length);
        copy[length] = '\0';
        taking->at += length + 1;
        return copy;
}

static enum MHD_Result take_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t name_length, const char *value, size_t value_length)
{
        struct taking *taking = cls;
        struct exchange *exchange = taking->exchange;

        (void)kind;
        if (!value)
                value = name + name_length;
        if (exchange->line_end) {
                exchange->broken_lines |=
                        !line_intact(exchange, name, name_length, value, value_length);
                exchange->line_end = value + value_length;
        }
        if (exchange->field_count < exchange->field_capacity)
                exchange->fields[exchange->field_count++] = (struct http_field){
                        .name = take_text(taking, name, name_length),
                        .value = take_text(taking, value, value_length),
                        .name_length = name_length,
                        .value_length = value_length,
                };
        return MHD_YES;
}

static enum status take_fields(struct exchange *exchange, const char *method, const char *version,
                               struct error *err)
{
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(exchange->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        size_t size = info ? info->header_size : 0;
        int count = MHD_get_connection_values(exchange->mhd, MHD_HEADER_KIND, NULL, NULL);

        if (size > HEADERS_MAX)
                return error_set(err, STATUS_HEADERS_TOO_LARGE,
                                 "The request line and headers are larger than %d bytes",
                                 HEADERS_MAX);
        exchange->field_capacity = count > 0 ? (size_t)count : 0;
        exchange->fields = mem_array(exchange, struct http_field, exchange->field_capacity + 1);
        struct taking taking = {.exchange = exchange, .at = mem_array(exchange, char, size + 1)};

        taking.end = taking.at + size + 1;
        if (layout_known()) {
                exchange->broken_lines = version != exchange->target_end + 1;
                exchange->line_end = version + strlen(version);
        }
        MHD_get_connection_values_n(exchange->mhd, MHD_HEADER_KIND, take_field, &taking);
        /* A line without a name ends the head for the library, but not for others. */
        if (exchange->line_end && exchange->line_end + 4 != method + size)
                exchange->broken_lines = true;
        if (exchange->broken_lines)
                return error_set(err, STATUS_INVALID,
                                 "A line of the head is folded, holds NUL or ends without CR LF");
        return STATUS_OK;
}

/* An origin is answered by name only if it is on the list; no credentials are ever allowed. */
static const char *cors_origin(const struct exchange *exchange)
{
        const char *const *allowed = exchange->server->options.allowed_origins;
        const char *origin = request_header(&exchange->req, "Origin");

        for (; origin && allowed && *allowed; allowed++) {
                if (strcmp(*allowed, "*") == 0)
                        return "*";
                if (strcasecmp(*allowed, origin) == 0)
                        return origin;
        }
        return NULL;
}

enum status exchange_read_head(struct exchange *exchange, const char *method, const char *version,
                               struct error *err)
{
        const char *traceparent =
                MHD_lookup_connection_value(exchange->mhd, MHD_HEADER_KIND, "traceparent");

        trace_begin(&exchange->req.trace, traceparent);
        exchange->method = mem_strdup(exchange, method);
        exchange->head = strcmp(method, "HEAD") == 0;
        exchange->req.method = method_parse(method);
        exchange->http_1_1 = strcmp(version, "HTTP/1.0") != 0;
        if (take_fields(exchange, method, version, err) ||
            http_framing_check(exchange->fields, exchange->field_count, exchange->http_1_1,
                               &exchange->framing, err))
                return err->status;
        exchange->cors_origin = cors_origin(exchange);
        return STATUS_OK;
}

enum status exchange_find_route(struct exchange *exchange, struct error *err)
{
        struct http_target target;

        if (http_target_parse(exchange, exchange->raw_target, &target, err))
                return err->status;
        exchange->req.path = target.path;
        exchange->query = target.query;
        exchange->query_count = target.query_count;
        if (strcmp(target.path, "*") == 0 && strcmp(exchange->method, "OPTIONS") == 0)
                return STATUS_OK;
        if (!router_find(exchange->server->router, exchange, target.segments, target.segment_count,
                         &exchange->match))
                return error_set(err, STATUS_NOT_FOUND, "There is nothing at this path");
        if (strcmp(exchange->method, "OPTIONS") == 0)
                return STATUS_OK;
        if (exchange->req.method == METHOD_MAX || !exchange->match.entries[exchange->req.method])
                return error_set(err, STATUS_METHOD_NOT_ALLOWED, "This path takes %s",
                                 route_allow(exchange, &exchange->match));
        exchange->entry = exchange->match.entries[exchange->req.method];
        exchange->req.route = exchange->entry->route;
        return STATUS_OK;
}
