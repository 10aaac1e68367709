/* SPDX-License-Identifier: Apache-2.0 */
/* A WebSocket client for tests: frames as wrong as they like. */
#pragma once

#include "net/test_http.h"

/* A handshake at /ws of the host "me:1", without the empty line that ends it. */
#define SHAKE                                                                                      \
        "GET /ws HTTP/1.1\r\nHost: me:1\r\nUpgrade: websocket\r\nConnection: keep-alive, "         \
        "Upgrade\r\n"                                                                              \
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

enum { TEXT = 1, BINARY = 2, CONTINUATION = 0, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

/* A connection whose handshake is done. */
int ws_shake(struct server *server);
/* The header of a frame whose mask is zero, so that the payload follows as it is. At most 14 bytes. */
size_t ws_frame_head(unsigned char *out, unsigned first, size_t length);
void ws_send_frame(int fd, unsigned first, const void *payload, size_t length);
/* One frame of the server, its payload below ctx; its first byte, 0 at the end. */
unsigned ws_read_frame(const void *ctx, int fd, char **ret, size_t *ret_length);
/* The next frame that is no ping. */
unsigned ws_read_message(const void *ctx, int fd, char **ret, size_t *ret_length);
void ws_expect_text(int fd, const char *wanted);
/* Skips texts. */
void ws_expect_close(int fd, unsigned code);
