/* SPDX-License-Identifier: Apache-2.0 */
/* SSRF filter: which addresses a call that may only reach the public Internet can connect to.
 *
 * It judges the address actually connected to, so neither odd spellings (0x7f.1) nor a name that
 * resolves differently the second time get past it. Addresses that embed an IPv4 one (mapped,
 * NAT64, 6to4) are judged by that; everything outside 2000::/3 is refused. Ranges are IANA's
 * special-purpose registries. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "net/client_internal.h"

struct range4 {
        uint32_t network;
        unsigned bits;
};

static const struct range4 refused4[] = {
        {0x00000000, 8},  /* "this" network */
        {0x0a000000, 8},  /* private */
        {0x64400000, 10}, /* carrier-grade NAT */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local, cloud metadata */
        {0xac100000, 12}, /* private */
        {0xc0000000, 24}, /* IETF protocol assignments */
        {0xc0000200, 24}, /* documentation */
        {0xc0586300, 24}, /* 6to4 relays */
        {0xc0a80000, 16}, /* private */
        {0xc6120000, 15}, /* benchmarking */
        {0xc6336400, 24}, /* documentation */
        {0xcb007100, 24}, /* documentation */
        {0xe0000000, 4},  /* multicast */
        {0xf0000000, 4},  /* reserved, broadcast */
};

struct range6 {
        uint8_t prefix[6];
        unsigned bits;
};

static const struct range6 refused6[] = {
        {{0x20, 0x01, 0x00, 0x00}, 23}, /* IETF protocol assignments, with Teredo and ORCHID */
        {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
        {{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

static bool public4(uint32_t address)
{
        for (size_t i = 0; i < ARRAY_LENGTH(refused4); i++) {
                if ((address ^ refused4[i].network) >> (32 - refused4[i].bits) == 0)
                        return false;
        }
        return true;
}

static uint32_t embedded4(const uint8_t *bytes)
{
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
               bytes[3];
}

static bool prefix_matches(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
        unsigned whole = bits / 8, rest = bits % 8;

        if (memcmp(bytes, prefix, whole) != 0)
                return false;
        return rest == 0 || (bytes[whole] ^ prefix[whole]) >> (8 - rest) == 0;
}

static bool public6(const uint8_t bytes[16])
{
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

        if (memcmp(bytes, mapped, sizeof(mapped)) == 0 || memcmp(bytes, nat64, sizeof(nat64)) == 0)
                return public4(embedded4(bytes + 12));
        if (bytes[0] == 0x20 && bytes[1] == 0x02)
                return public4(embedded4(bytes + 2));
        if (bytes[0] >> 5 != 1)
                return false;
        for (size_t i = 0; i < ARRAY_LENGTH(refused6); i++) {
                if (prefix_matches(bytes, refused6[i].prefix, refused6[i].bits))
                        return false;
        }
        return true;
}

bool http_address_is_public(const struct sockaddr *address)
{
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;

        if (address->sa_family == AF_INET) {
                memcpy(&in4, address, sizeof(in4));
                return public4(ntohl(in4.sin_addr.s_addr));
        }
        if (address->sa_family == AF_INET6) {
                memcpy(&in6, address, sizeof(in6));
                return public6(in6.sin6_addr.s6_addr);
        }
        return false;
}

bool http_address_text_is_public(const char *text)
{
        struct in_addr in4;
        struct in6_addr in6;

        if (inet_pton(AF_INET, text, &in4) == 1)
                return public4(ntohl(in4.s_addr));
        if (inet_pton(AF_INET6, text, &in6) == 1)
                return public6(in6.s6_addr);
        return false;
}
