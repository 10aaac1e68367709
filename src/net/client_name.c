/* SPDX-License-Identifier: Apache-2.0 */
/* Names: one DNS look-up a host at a time.
 *
 * libcurl's resolver takes a thread for each look-up, and a thousand calls started together would
 * each make their own. The first call to a host looks it up; the others wait until libcurl has the
 * address in its cache, then all go. A name stays known for a little less than libcurl's cache
 * keeps it. When the name does not exist, all that waited for it fail with it. */
#include <string.h>

#include "net/client_internal.h"

enum { NAME_KNOWN_US = 50 * 1000 * 1000 };

struct name {
        LIST_ENTRY(name) list;
        char *peer;
        struct http_call *owner; /* who looks it up; NULL: nobody now */
        int64_t known_until_us;
        bool unknown;
        struct call_list waiting;
};

static void drop(struct name *name)
{
        LIST_REMOVE(name, list);
        mem_free(name);
}

static bool unused(const struct name *name, int64_t now_us)
{
        return !name->owner && TAILQ_EMPTY(&name->waiting) && name->known_until_us <= now_us;
}

static struct name *find(struct http_client *client, const char *peer)
{
        struct name *name, *next, *found = NULL;

        for (name = LIST_FIRST(&client->names); name; name = next) {
                next = LIST_NEXT(name, list);
                if (strcmp(name->peer, peer) == 0)
                        found = name;
                else if (unused(name, client->now_us))
                        drop(name);
        }
        return found;
}

static struct name *add(struct http_client *client, const char *peer)
{
        struct name *name = mem_new(NULL, struct name);

        name->peer = mem_strdup(name, peer);
        TAILQ_INIT(&name->waiting);
        LIST_INSERT_HEAD(&client->names, name, list);
        return name;
}

bool http_name_enter(struct http_call *call)
{
        struct http_client *client = call->client;
        struct name *name;

        if (call->peer_is_address)
                return true;
        name = find(client, call->peer);
        if (!name)
                name = add(client, call->peer);
        if (name->known_until_us > client->now_us)
                return true;
        call->name = name;
        if (!name->owner && TAILQ_EMPTY(&name->waiting)) {
                name->owner = call;
                return true;
        }
        call->name_waiting = true;
        TAILQ_INSERT_TAIL(&name->waiting, call, name_list);
        return false;
}

void http_name_resolved(struct http_call *call)
{
        struct name *name = call->name;

        if (!name || name->owner != call)
                return;
        name->owner = NULL;
        name->known_until_us = call->client->now_us + NAME_KNOWN_US;
        call->name = NULL;
        call->client->names_changed = true;
}

void http_name_leave(struct http_call *call, bool unknown)
{
        struct name *name = call->name;

        if (!name)
                return;
        call->name = NULL;
        if (call->name_waiting) {
                TAILQ_REMOVE(&name->waiting, call, name_list);
                call->name_waiting = false;
                return;
        }
        name->owner = NULL;
        name->unknown = unknown;
        call->client->names_changed = true;
}

/* The next call that waits makes the look-up, if the one before gave up without an answer. */
static void settle_one(struct http_client *client, struct name *name)
{
        struct http_call *call;

        while (!name->owner && (call = TAILQ_FIRST(&name->waiting))) {
                TAILQ_REMOVE(&name->waiting, call, name_list);
                call->name_waiting = false;
                if (name->unknown) {
                        call->name = NULL;
                        http_call_finish(call, CURLE_COULDNT_RESOLVE_HOST);
                        continue;
                }
                if (name->known_until_us > client->now_us)
                        call->name = NULL;
                else
                        name->owner = call;
                http_call_run(call);
        }
        name->unknown = false;
}

void http_name_settle(struct http_client *client)
{
        struct name *name, *next;

        while (client->names_changed) {
                client->names_changed = false;
                for (name = LIST_FIRST(&client->names); name; name = next) {
                        next = LIST_NEXT(name, list);
                        settle_one(client, name);
                }
        }
}

void http_name_free_all(struct http_client *client)
{
        while (!LIST_EMPTY(&client->names))
                drop(LIST_FIRST(&client->names));
}
