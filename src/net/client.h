/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing HTTP: any number of transfers on one libcurl multi loop thread.
 *
 * A call holds no thread while it waits. Callbacks run on the client thread and must not block;
 * they hand work to a pool. Redirects are not followed; only http and https are spoken. */
#pragma once

#include "base/buffer.h"
#include "observe/trace.h"

struct http_client;
struct http_call;

struct http_header {
        const char *name, *value;
};

struct http_request {
        const char *method; /* "GET", "POST" */
        const char *url;
        const struct http_header *headers; /* ends with {0} */
        const void *body;
        size_t body_length;
        bool body_borrowed; /* the body lives until done has returned; false: it is copied */
        unsigned connect_timeout_ms; /* 0: 10 s */
        unsigned timeout_ms;         /* whole call; 0: 10 min */
        unsigned stall_timeout_ms;   /* no byte for this long; 0: none */
        size_t response_max;         /* bytes of body, also while streaming; 0: 16 MiB */
        bool private_addresses; /* false: refuses loopback, private and link-local peers (SSRF) */
        const struct trace *trace; /* sends traceparent; may be NULL */
        unsigned delay_ms;         /* begins after this long: retries hold no thread; 0: at once */
};

/* Valid during the callback only. */
struct http_result {
        unsigned status;  /* HTTP status, 0 when the transfer failed */
        const char *body; /* gathered body (not what `data` consumed), NUL-terminated */
        size_t body_length;
        const char *content_type;
        int64_t first_byte_us; /* from start to the first body byte; 0: none came */
        int64_t total_us;
        unsigned retry_after_ms; /* what Retry-After asks for, as seconds or date; 0: nothing */
};

struct http_handlers {
        /* Body bytes of a 2xx response as they arrive; NULL gathers them. */
        void (*data)(struct http_call *call, const char *data, size_t length, void *arg);
        /* Once, last. `err` is NULL unless the transfer failed: UPSTREAM, UPSTREAM_TIMEOUT,
         * TOO_LARGE, CANCELLED, INVALID (URL or header), FORBIDDEN (private address). An HTTP error
         * status is not a failed transfer; of its body the first 64 KiB are gathered. */
        void (*done)(const struct http_result *result, const struct error *err, void *arg);
};

enum status http_client_new(struct http_client **ret, struct error *err) MUST_USE;
/* Cancels what is under way (their done is called), stops the thread. Takes NULL. */
struct http_client *http_client_free(struct http_client *client);

/* Never fails at once: errors arrive by done. The call is valid until done returns. Any thread. */
struct http_call *http_client_start(struct http_client *client, const struct http_request *request,
                                    const struct http_handlers *handlers, void *arg);
/* done follows soon with CANCELLED. Any thread, only before done was called: the owner keeps its
 * own lock or flag for that. */
void http_call_cancel(struct http_call *call);
/* A response header of a running or finished call, NULL if absent. Client thread only. */
const char *http_call_header(struct http_call *call, const char *name);

/* Waits for the whole answer; not on the client's thread. `ctx` owns the result. */
enum status http_client_fetch(struct http_client *client, const void *ctx,
                              const struct http_request *request, struct http_result *ret,
                              struct error *err) MUST_USE;
