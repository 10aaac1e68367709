/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a packed batch, reading it ends, and what was read packs and reads back as the
 * same events. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/events_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
        if (!condition)
                abort();
}

static bool same_text(struct text a, struct text b)
{
        return a.length == b.length && (a.length == 0 || memcmp(a.start, b.start, a.length) == 0);
}

static void repack(const char *lines, struct buffer *out)
{
        struct unpacker unpacker = {.at = lines};
        struct packer packer = {0};

        while (unpack_next(&unpacker))
                pack_event(&packer, out, &unpacker.event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        SCOPED_MEM void *ctx = mem_root();
        char *lines = mem_strndup(ctx, (const char *)data, size);
        struct buffer again = BUFFER_INIT(ctx, 4 * size + 1024),
                      json = BUFFER_INIT(ctx, 8 * size + 1024);
        struct unpacker a = {.at = lines}, b;

        repack(lines, &again);
        b = (struct unpacker){.at = buffer_string(&again)};
        while (unpack_next(&a)) {
                must(unpack_next(&b));
                must(a.event.seq == b.event.seq && a.event.ms == b.event.ms);
                must(a.event.code == b.event.code && same_text(a.event.node, b.event.node));
                must(same_text(a.event.data, b.event.data));
                buffer_clear(&json);
                if (!event_carries_output(a.event.code) || a.event.data.length >= 2)
                        event_write_json(&json, "w", "e", &a.event, NULL);
        }
        must(!unpack_next(&b));
        return 0;
}
