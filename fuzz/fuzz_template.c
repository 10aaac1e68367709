/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a template, walking and filling agree about what is wrong with it, and text
 * without places comes out as it went in, but for backslashes before braces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count_place(const char *node_id, const char *path, void *arg)
{
        if (!*node_id || strlen(node_id) + strlen(path) >= TEMPLATE_PLACE_MAX)
                abort();
        ++*(size_t *)arg;
        return true;
}

static json_t *make_values(void)
{
        return json_pack("{s:{s:s, s:[i, {s:s}], s:n}, s:{s:s}}", "q", "text", "{{q.text}}", "list",
                         1, "a", "b", "none", "kb", "text", "found");
}

static void check(const char *text, const json_t *values, const void *ctx)
{
        struct buffer out = BUFFER_INIT(ctx, 64 * 1024);
        struct error walked = ERROR_INIT, filled = ERROR_INIT;
        size_t places = 0;

        (void)!template_walk(text, count_place, &places, &walked);
        (void)!template_fill(text, values, &out, &filled);
        if (walked.status && walked.status != STATUS_INVALID)
                abort();
        if (walked.status && !filled.status)
                abort();
        if (!walked.status && filled.status == STATUS_INVALID)
                abort();
        if (!walked.status && !filled.status && places == 0 && strlen(text) < out.length)
                abort();
        if (!strstr(text, "{{") && strlen(text) < out.max && strcmp(text, buffer_string(&out)) != 0)
                abort();
        if (places && !template_has_places(text))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static json_t *values;
        SCOPED_MEM void *ctx = mem_root();

        if (!values)
                values = make_values();
        check(mem_strndup(ctx, (const char *)data, size), values, ctx);
        return 0;
}
