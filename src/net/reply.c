/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: a handler describes the response, the library's own is built from it once, with the
 * headers that every response carries. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net/server_internal.h"

static struct response later = {.kind = RESPONSE_LATER};

/* What a reply holds is let go if it was never built: its handler answered otherwise. */
static int response_destroy(struct response *response)
{
        if (response->fd >= 0 && !response->built)
                close(response->fd);
        if (response->stream && !response->built)
                stream_detach(response->stream);
        if (response->websocket)
                websocket_discard(response->websocket);
        return 0;
}

struct response *response_new(struct request *req, enum response_kind kind, unsigned status)
{
        struct response *response = mem_new(req->ctx, struct response);

        response->kind = kind;
        response->status = status;
        response->fd = -1;
        response->cache_control = "no-store";
        response->headers_end = &response->headers;
        talloc_set_destructor(response, response_destroy);
        return response;
}

static struct reply body_reply(struct request *req, unsigned http_status, const char *content_type,
                               const void *data, size_t length)
{
        struct response *response = response_new(req, RESPONSE_BODY, http_status);

        response->content_type = content_type;
        response->data = data;
        response->length = length;
        return (struct reply){response};
}

struct reply reply_json(struct request *req, unsigned http_status, const json_t *json)
{
        const char *text = json_write(req->ctx, json);

        return body_reply(req, http_status, "application/json", text, strlen(text));
}

struct reply reply_text(struct request *req, unsigned http_status, const char *content_type,
                        const void *data, size_t length)
{
        return body_reply(req, http_status, mem_strdup(req->ctx, content_type),
                          mem_dup(req->ctx, data, length), length);
}

struct reply reply_empty(struct request *req, unsigned http_status)
{
        return body_reply(req, http_status, NULL, "", 0);
}

struct reply reply_later(struct request *req)
{
        (void)req;
        return (struct reply){&later};
}

struct reply reply_header(struct reply reply, const char *name, const char *value)
{
        struct response *response = reply.response;
        struct response_header *header;

        assert(response->kind != RESPONSE_LATER);
        header = mem_new(response, struct response_header);
        header->name = mem_strdup(header, name);
        header->value = mem_strdup(header, value);
        *response->headers_end = header;
        response->headers_end = &header->next;
        return reply;
}

static bool plain_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
}

/* RFC 6266: the exact name percent-encoded, and a plain one for old clients. */
static const char *disposition(const void *ctx, const char *filename)
{
        char *plain = mem_strdup(ctx, filename);
        struct buffer encoded = BUFFER_INIT(ctx, 4096);

        for (char *c = plain; *c; c++) {
                if (plain_char(*c))
                        buffer_char(&encoded, *c);
                else
                        buffer_printf(&encoded, "%%%02X", (unsigned char)*c);
                if (!plain_char(*c) && *c != ' ')
                        *c = '_';
        }
        return mem_printf(ctx, "attachment; filename=\"%s\"; filename*=UTF-8''%s", plain,
                          buffer_string(&encoded));
}

struct reply reply_file(struct request *req, int fd, size_t length, const char *content_type,
                        const char *filename)
{
        struct response *response = response_new(req, RESPONSE_FILE, 200);
        struct reply reply = {response};

        response->content_type = mem_strdup(req->ctx, content_type);
        response->fd = fd;
        response->length = length;
        reply = reply_header(reply, "Content-Disposition", disposition(req->ctx, filename));
        reply = reply_header(reply, "Cache-Control", "private, no-store");
        return reply_header(reply, "Content-Security-Policy", "sandbox; default-src 'none'");
}

static struct MHD_Response *build_body(struct response *response)
{
        switch (response->kind) {
        case RESPONSE_BODY:
                return MHD_create_response_from_buffer(response->length, (void *)response->data,
                                                       MHD_RESPMEM_PERSISTENT);
        case RESPONSE_FILE:
                return MHD_create_response_from_fd64(response->length, response->fd);
        case RESPONSE_STREAM:
                return stream_build(response->stream);
        case RESPONSE_UPGRADE:
                return websocket_build(response);
        case RESPONSE_LATER:
                break;
        }
        return NULL;
}

static bool has_header(const struct response *response, const char *name)
{
        for (const struct response_header *at = response->headers; at; at = at->next) {
                if (strcasecmp(at->name, name) == 0)
                        return true;
        }
        return false;
}

static void add_cors(struct MHD_Response *built, const char *origin)
{
        MHD_add_response_header(built, "Access-Control-Allow-Origin", origin);
        MHD_add_response_header(built, "Access-Control-Expose-Headers",
                                "X-Request-ID, Retry-After, ETag, Location");
        if (strcmp(origin, "*") != 0)
                MHD_add_response_header(built, "Vary", "Origin");
}

struct MHD_Response *response_build(struct exchange *exchange)
{
        struct response *response = exchange->response;
        struct MHD_Response *built = build_body(response);

        if (!built)
                return NULL;
        response->built = true;
        if (response->content_type)
                MHD_add_response_header(built, "Content-Type", response->content_type);
        MHD_add_response_header(built, "X-Request-ID", exchange->req.trace.request_id);
        MHD_add_response_header(built, "X-Content-Type-Options", "nosniff");
        MHD_add_response_header(built, "Referrer-Policy", "no-referrer");
        if (response->cache_control && !has_header(response, "Cache-Control"))
                MHD_add_response_header(built, "Cache-Control", response->cache_control);
        if (exchange->cors_origin)
                add_cors(built, exchange->cors_origin);
        for (const struct response_header *at = response->headers; at; at = at->next)
                MHD_add_response_header(built, at->name, at->value);
        if (exchange->server->draining && response->kind != RESPONSE_UPGRADE)
                MHD_add_response_header(built, "Connection", "close");
        return built;
}
