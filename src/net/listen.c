/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/server_internal.h"

enum { BACKLOG = 4096 };

static int listen_at(const struct addrinfo *address)
{
        int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1,
            off = 0;

        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (address->ai_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
                return fd;
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
}

static unsigned port_of(int fd)
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } address = {0};
        socklen_t size = sizeof(address);

        getsockname(fd, &address.any, &size);
        return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
                                                       : address.v4.sin_port);
}

/* The first address of `host` that can be listened at; -1 and errno, or *ret_failure of the look-up. */
static int listen_host(const char *host, const char *port, int *ret_failure)
{
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
        struct addrinfo *found = NULL;
        int fd = -1;

        *ret_failure = getaddrinfo(host, port, &hints, &found);
        for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
                fd = listen_at(at);
        int saved = errno;

        if (found)
                freeaddrinfo(found);
        errno = saved;
        return fd;
}

enum status listener_open(const struct server_options *options, int *ret, unsigned *ret_port,
                          struct error *err)
{
        const char *host = options->host;
        char port[12];
        int failure;

        snprintf(port, sizeof(port), "%u", options->port);
        /* Any address: both families on one socket where there is IPv6. */
        *ret = listen_host(*host ? host : "::", port, &failure);
        if (*ret < 0 && !*host && errno != EADDRINUSE)
                *ret = listen_host("0.0.0.0", port, &failure);
        if (failure)
                return error_set(err, STATUS_INVALID, "cannot listen on %s: %s", host,
                                 gai_strerror(failure));
        if (*ret < 0)
                return error_set(err, STATUS_UNAVAILABLE, "cannot listen on %s port %s: %s",
                                 *host ? host : "any address", port, strerror(errno));
        *ret_port = port_of(*ret);
        return STATUS_OK;
}
