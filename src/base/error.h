/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: one status enum for the whole program, with a message for people.
 *
 * A function that can fail returns `enum status` and fills its last parameter `struct error *err`
 * (never NULL). STATUS_OK is 0, so `if (thing(…, &err)) return err.status;` reads naturally.
 * Messages are plain words for the person who gets them and never hold secrets. Library code does
 * not log errors; the boundary (request, execution, command) logs them once. */
#pragma once

#include "base/memory.h"

/* name, HTTP status, title */
#define STATUS_MAP(X)                                                                              \
        X(OK, 200, "OK")                                                                           \
        X(INVALID, 400, "Bad Request")                                                             \
        X(UNAUTHENTICATED, 401, "Unauthorized")                                                    \
        X(FORBIDDEN, 403, "Forbidden")                                                             \
        X(NOT_FOUND, 404, "Not Found")                                                             \
        X(METHOD_NOT_ALLOWED, 405, "Method Not Allowed")                                           \
        X(TIMEOUT, 408, "Request Timeout")                                                         \
        X(CONFLICT, 409, "Conflict")                                                               \
        X(TOO_LARGE, 413, "Content Too Large")                                                     \
        X(UNSUPPORTED_TYPE, 415, "Unsupported Media Type")                                         \
        X(UNPROCESSABLE, 422, "Unprocessable Content")                                             \
        X(RATE_LIMITED, 429, "Too Many Requests")                                                  \
        X(HEADERS_TOO_LARGE, 431, "Request Header Fields Too Large")                               \
        X(CANCELLED, 499, "Client Closed Request")                                                 \
        X(INTERNAL, 500, "Internal Server Error")                                                  \
        X(UPSTREAM, 502, "Bad Gateway")                                                            \
        X(UNAVAILABLE, 503, "Service Unavailable")                                                 \
        X(UPSTREAM_TIMEOUT, 504, "Gateway Timeout")

enum status {
#define X(name, http, title) STATUS_##name,
        STATUS_MAP(X)
#undef X
};

unsigned status_http(enum status status);
const char *status_title(enum status status);
const char *status_name(enum status status); /* "NOT_FOUND" */

enum { ERROR_MESSAGE_MAX = 512 };

/* `file` and `line` say where the error was born. `retry_after_ms` (0: unknown) says when another
 * try makes sense, for STATUS_RATE_LIMITED, STATUS_UNAVAILABLE and outside services. */
struct error {
        enum status status;
        int line;
        const char *file;
        unsigned retry_after_ms;
        char message[ERROR_MESSAGE_MAX];
};

#define ERROR_INIT ((struct error){.status = STATUS_OK})

/* Fills `err` and returns `status`; a longer message is cut at a UTF-8 boundary. */
#define error_set(err, status, ...)                                                                \
        error_given_(error_set_((err), (status), __FILE__, __LINE__, __VA_ARGS__), (status))
/* Inline, so that the compiler sees a constant that is not OK and follows the failing path. */
static inline enum status error_given_(enum status set, enum status given)
{
        (void)set;
        return given;
}
enum status error_set_(struct error *err, enum status status, const char *file, int line,
                       const char *format, ...) PRINTF_LIKE(5, 6);

/* Puts words in front: "reading FILE: No such file". Keeps status and origin; returns status. */
enum status error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* What is wrong with one field of a request body or one node of a graph. */
struct problem {
        const char *node_id; /* NULL outside graphs */
        const char *path;    /* "nodes[2].data.top_k" */
        const char *message;
};

/* A growing list of problems, at most PROBLEMS_MAX; strings belong to the list. */
enum { PROBLEMS_MAX = 100 };
struct problems {
        size_t count;
        struct problem *items;
};

struct problems *problems_new(const void *ctx) MUST_USE;
void problems_add(struct problems *problems, const char *node_id, const char *path,
                  const char *format, ...) PRINTF_LIKE(4, 5);
