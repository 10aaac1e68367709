/* SPDX-License-Identifier: Apache-2.0 */
/* A client for the tests of the server: raw sockets, so that requests may be as wrong as they like. */
#pragma once

/* cmocka wants these before it, in this order. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "net/server.h"

#define KIB ((size_t)1024)

enum { TEST_TIMEOUT_MS = 10000 };

struct answer {
        unsigned status; /* 0: the connection ended without an answer */
        const char *head;
        const char *body;
        size_t length;
};

/* A server on a free port of 127.0.0.1; asserts that it starts. `tables` ends with NULL. */
struct server *test_server(const struct server_options *options, const struct route *const *tables);

int test_connect(unsigned port);
void test_send(int fd, const void *data, size_t length);
void test_print(int fd, const char *format, ...) PRINTF_LIKE(2, 3);
/* Reads one answer, its body by Content-Length or chunks; `head` answers have no body. */
struct answer test_read(const void *ctx, int fd, bool head);
/* One request on a connection of its own. */
struct answer test_ask(const void *ctx, unsigned port, const char *format, ...) PRINTF_LIKE(3, 4);
/* The first value of a header, or NULL. */
const char *test_header(const void *ctx, const struct answer *answer, const char *name);
/* True if the peer closes within the timeout, whatever it sends before. */
bool test_closes(int fd, int timeout_ms);
/* Asserts a problem document of this status whose detail holds `words`. */
void test_problem(const struct answer *answer, unsigned status, const char *words);
