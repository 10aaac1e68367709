/* SPDX-License-Identifier: Apache-2.0 */
/* The opening handshake of RFC 6455 and the switch from HTTP to WebSocket.
 *
 * The library keeps an upgraded connection with all its memory until it is told to close it;
 * telling it so at once, after duplicating the descriptor, leaves nothing of it behind. */
#include "net/websocket.h"

#include <fcntl.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net/websocket_internal.h"

enum { PING_SECONDS_DEFAULT = 20, KEY_BYTES = 16 };

static bool key_valid(const char *key)
{
        unsigned char bytes[KEY_BYTES + 2];
        size_t length;

        return key && strlen(key) == 24 &&
               sodium_base642bin(bytes, sizeof(bytes), key, 24, NULL, &length, NULL,
                                 sodium_base64_VARIANT_ORIGINAL) == 0 &&
               length == KEY_BYTES;
}

/* Browsers send cookies and tokens along from any page, and CORS does not cover WebSockets: the
 * page must be our own or on the list. Programs send no Origin. */
static bool origin_allowed(const struct request *req)
{
        const char *origin = request_header(req, "Origin");
        const char *host = request_header(req, "Host");
        const char *authority = origin ? strstr(origin, "://") : NULL;

        if (!origin)
                return true;
        if (authority && host && strcasecmp(authority + 3, host) == 0)
                return true;
        return req->exchange->cors_origin != NULL;
}

static struct reply upgrade_required(struct request *req, const char *detail)
{
        struct response *response = response_new(req, RESPONSE_BODY, 426);
        struct buffer body = BUFFER_INIT(req->ctx, REPLY_HEAD_MAX);
        struct reply reply = {response};

        problem_write(&body, 426, detail, req->trace.request_id, NULL);
        response->content_type = "application/problem+json";
        response->data = buffer_string(&body);
        response->length = body.length;
        reply = reply_header(reply, "Upgrade", "websocket");
        reply = reply_header(reply, "Connection", "Upgrade");
        return reply_header(reply, "Sec-WebSocket-Version", "13");
}

static bool asks_upgrade(const struct request *req)
{
        const char *connection = request_header(req, "Connection");
        const char *upgrade = request_header(req, "Upgrade");

        return req->exchange->http_1_1 && connection && upgrade &&
               http_list_has(connection, "upgrade") && http_list_has(upgrade, "websocket");
}

static enum status check(const struct request *req, struct error *err)
{
        struct websockets *sockets = req->exchange->server->websockets;

        if (!key_valid(request_header(req, "Sec-WebSocket-Key")))
                return error_set(err, STATUS_INVALID, "Sec-WebSocket-Key is missing or malformed");
        if (!origin_allowed(req))
                return error_set(err, STATUS_FORBIDDEN,
                                 "Pages of this origin may not open a WebSocket here");
        if (!sockets)
                return error_set(err, STATUS_INTERNAL, "the route lacks ROUTE_UPGRADE");
        if (!websockets_room(sockets))
                return error_set(err, STATUS_UNAVAILABLE, "No further WebSocket can be opened now");
        return STATUS_OK;
}

static char *accept_of(const void *ctx, const char *key)
{
        static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        struct sha1_ctx sha;
        uint8_t digest[SHA1_DIGEST_SIZE];
        char *text = mem_array(ctx, char, BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) + 1);

        sha1_init(&sha);
        sha1_update(&sha, strlen(key), (const uint8_t *)key);
        sha1_update(&sha, sizeof(guid) - 1, (const uint8_t *)guid);
        sha1_digest(&sha, sizeof(digest), digest);
        base64_encode_raw(text, sizeof(digest), digest);
        return text;
}

struct websocket *websocket_new(struct request *req, const struct websocket_options *options,
                                const struct websocket_handlers *handlers, void *arg)
{
        struct websocket *ws = mem_new(NULL, struct websocket);

        ws->references = 1;
        ws->sockets = req->exchange->server->websockets;
        ws->handlers = *handlers;
        ws->arg = arg;
        ws->options = *options;
        if (!ws->options.ping_seconds)
                ws->options.ping_seconds = PING_SECONDS_DEFAULT;
        ws->accept = accept_of(ws, request_header(req, "Sec-WebSocket-Key"));
        ws->trace = req->trace;
        memcpy(ws->peer, req->peer, sizeof(ws->peer));
        ws->fd = -1;
        ws->outbox_end = &ws->outbox;
        pthread_mutex_init(&ws->lock, NULL);
        return ws;
}

struct reply reply_upgrade(struct request *req, const struct websocket_options *options,
                           const struct websocket_handlers *handlers, void *arg,
                           const char *subprotocol)
{
        const char *version = request_header(req, "Sec-WebSocket-Version");
        const char *offered = request_header(req, "Sec-WebSocket-Protocol");
        struct error err = ERROR_INIT;
        struct response *response;

        if (!asks_upgrade(req) || !version || strcmp(version, "13") != 0) {
                if (handlers->closed)
                        handlers->closed(NULL, FRAMES_LOST, arg);
                return upgrade_required(req, "This path speaks WebSocket, version 13");
        }
        if (check(req, &err)) {
                if (handlers->closed)
                        handlers->closed(NULL, FRAMES_LOST, arg);
                return reply_error(req, &err);
        }
        response = response_new(req, RESPONSE_UPGRADE, 101);
        response->cache_control = NULL;
        response->websocket = websocket_new(req, options, handlers, arg);
        if (subprotocol && offered && http_list_has(offered, subprotocol))
                response->websocket->subprotocol = mem_strdup(response->websocket, subprotocol);
        return (struct reply){response};
}

void websocket_discard(struct websocket *ws)
{
        if (ws->handlers.closed)
                ws->handlers.closed(NULL, FRAMES_LOST, ws->arg);
        websocket_unref(ws);
}

static void on_upgrade(void *cls, struct MHD_Connection *mhd, void *context, const char *extra,
                       size_t extra_size, MHD_socket socket,
                       struct MHD_UpgradeResponseHandle *handle)
{
        struct exchange *exchange = context;
        struct response *response = cls;
        struct websocket *ws = response->websocket;
        int fd = fcntl(socket, F_DUPFD_CLOEXEC, 0);

        (void)mhd;
        if (fd >= 0) {
                /* From here on the exchange no longer answers for it. */
                response->websocket = NULL;
                websockets_adopt(ws->sockets, ws, fd, extra, extra_size);
        }
        MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
        loop_wake(exchange->loop);
}

struct MHD_Response *websocket_build(struct response *response)
{
        struct MHD_Response *built = MHD_create_response_for_upgrade(on_upgrade, response);
        struct websocket *ws = response->websocket;

        if (!built)
                return NULL;
        MHD_add_response_header(built, "Upgrade", "websocket");
        MHD_add_response_header(built, "Sec-WebSocket-Accept", ws->accept);
        if (ws->subprotocol)
                MHD_add_response_header(built, "Sec-WebSocket-Protocol", ws->subprotocol);
        ws->accept = mem_free(ws->accept);
        ws->subprotocol = mem_free(ws->subprotocol);
        return built;
}
