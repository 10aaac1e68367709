/* SPDX-License-Identifier: Apache-2.0 */
#include "net/test_ws_client.h"

#include <string.h>
#include <sys/socket.h>

int ws_shake(struct server *server)
{
        SCOPED_MEM void *ctx = mem_root();
        int fd = test_connect(server_port(server));

        test_print(fd, SHAKE "\r\n");
        struct answer answer = test_read(ctx, fd, true);

        assert_int_equal(answer.status, 101);
        return fd;
}

size_t ws_frame_head(unsigned char *out, unsigned first, size_t length)
{
        size_t used = 0;

        out[used++] = (unsigned char)first;
        if (length < 126) {
                out[used++] = (unsigned char)(0x80 | length);
        } else if (length < 65536) {
                out[used++] = 0x80 | 126;
                out[used++] = (unsigned char)(length >> 8);
                out[used++] = (unsigned char)length;
        } else {
                out[used++] = 0x80 | 127;
                for (int shift = 56; shift >= 0; shift -= 8)
                        out[used++] = (unsigned char)(length >> shift);
        }
        memset(out + used, 0, 4);
        return used + 4;
}

void ws_send_frame(int fd, unsigned first, const void *payload, size_t length)
{
        unsigned char head[14];

        test_send(fd, head, ws_frame_head(head, first, length));
        test_send(fd, payload, length);
}

static bool read_exactly(int fd, void *out, size_t length)
{
        return length == 0 || recv(fd, out, length, MSG_WAITALL) == (ssize_t)length;
}

unsigned ws_read_frame(const void *ctx, int fd, char **ret, size_t *ret_length)
{
        unsigned char head[2], extended[8];
        size_t length;

        if (!read_exactly(fd, head, 2))
                return 0;
        assert_int_equal(head[1] & 0x80, 0);
        length = head[1];
        if (length >= 126) {
                size_t size = length == 126 ? 2 : 8;

                assert_true(read_exactly(fd, extended, size));
                length = 0;
                for (size_t i = 0; i < size; i++)
                        length = length << 8 | extended[i];
        }
        *ret = mem_array(ctx, char, length + 1);
        *ret_length = length;
        return read_exactly(fd, *ret, length) ? head[0] : 0;
}

unsigned ws_read_message(const void *ctx, int fd, char **ret, size_t *ret_length)
{
        unsigned first;

        do {
                first = ws_read_frame(ctx, fd, ret, ret_length);
        } while (first == (FIN | PING));
        return first;
}

void ws_expect_text(int fd, const char *wanted)
{
        SCOPED_MEM void *ctx = mem_root();
        char *payload;
        size_t length;

        assert_int_equal(ws_read_message(ctx, fd, &payload, &length), FIN | TEXT);
        assert_string_equal(payload, wanted);
}

void ws_expect_close(int fd, unsigned code)
{
        SCOPED_MEM void *ctx = mem_root();
        char *payload = NULL;
        size_t length = 0;
        unsigned first = ws_read_message(ctx, fd, &payload, &length);

        while (first == (FIN | TEXT))
                first = ws_read_message(ctx, fd, &payload, &length);
        assert_int_equal(first, FIN | CLOSE);
        if (!payload || length < 2) {
                fail_msg("a close without a code instead of %u", code);
                return;
        }
        assert_int_equal((unsigned char)payload[0] << 8 | (unsigned char)payload[1], code);
}
