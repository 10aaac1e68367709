/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals that libmicrohttpd would make in its own words, or not at all.
 *
 * The library answers what it cannot parse (too large a head, a broken chunk) with a page of HTML
 * and has no hook for it. It calls its own exported MHD_queue_response to do so; the definition
 * below takes that symbol's place, as the dynamic linker allows, and swaps the page for a problem
 * document. Where the symbol is bound otherwise (a static library) the page stays and
 * refuse_ready() says so. Within a body, where the library takes no response, refuse_raw() writes
 * one itself. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/server_internal.h"

typedef enum MHD_Result queue_fn(struct MHD_Connection *, unsigned int, struct MHD_Response *);

static queue_fn *library_function;

static void find_library_function(void)
{
        void *symbol = dlsym(RTLD_NEXT, "MHD_queue_response");

        /* ISO C has no conversion between the two kinds of pointer; POSIX promises their equality.
         */
        memcpy(&library_function, &symbol, sizeof(symbol));
}

static queue_fn *library_queue(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, find_library_function);
        return library_function;
}

bool refuse_ready(void)
{
        return library_queue() != NULL;
}

enum MHD_Result refuse_queue(struct MHD_Connection *mhd, unsigned status,
                             struct MHD_Response *response)
{
        queue_fn *queue = library_queue();

        return queue ? queue(mhd, status, response) : MHD_NO;
}

/* What the library found wrong, by its status and by how far the request had come. */
static const char *cause(unsigned status, const struct exchange *exchange)
{
        switch (status) {
        case 413:
                return "The body is too large";
        case 414:
                return "The request target is too long";
        case 431:
                return "The request line and headers are too large";
        case 505:
                return "Only HTTP/1.1 is spoken here";
        default:
                break;
        }
        if (!exchange->raw_target[0])
                return "The request line is malformed";
        return exchange->phase == PHASE_HEADERS ? "A header line is malformed"
                                                : "The chunked body is malformed";
}

static struct exchange *exchange_of(struct MHD_Connection *mhd)
{
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct peer *peer = info ? info->socket_context : NULL;

        if (!peer)
                return NULL;
        return peer->exchange ? peer->exchange : exchange_new(peer, mhd, "");
}

/* A failed queueing makes the library close the connection, which is the end it wants anyway; its
 * own way of getting there sends the head twice after a bad Content-Length (0.9.75). */
enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned int status_code,
                                   struct MHD_Response *response)
{
        struct exchange *exchange = exchange_of(connection);

        (void)response;
        /* The only 5xx of these, 505, is the client's mistake. */
        if (exchange)
                refuse_raw(exchange, status_code >= 500 ? 400 : status_code,
                           cause(status_code, exchange));
        return MHD_NO;
}

void refuse_raw(struct exchange *exchange, unsigned status, const char *detail)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, REPLY_HEAD_MAX),
                      text = BUFFER_INIT(ctx, RAW_REPLY_MAX);
        const char *request_id = exchange->req.trace.request_id;

        if (!*request_id)
                trace_begin(&exchange->req.trace, NULL);
        problem_write(&body, status, detail, request_id, NULL);
        buffer_printf(&text,
                      "HTTP/1.1 %u %s\r\n"
                      "Content-Type: application/problem+json\r\n"
                      "X-Request-ID: %s\r\n"
                      "X-Content-Type-Options: nosniff\r\n"
                      "Cache-Control: no-store\r\n"
                      "Connection: close\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      status, MHD_get_reason_phrase_for(status), request_id, body.length);
        buffer_append(&text, body.data, body.length);
        /* Nothing of an answer is under way, so the socket has room for these few hundred bytes. */
        exchange->peer->linger =
                send(exchange->peer->fd, text.data, text.length, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
        exchange->status = status;
        exchange->bytes = body.length;
}
