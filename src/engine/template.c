/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: one scanner splits text into plain runs and places; walking and filling are two ways
 * to consume what it finds. */
#include "engine/template.h"

#include <string.h>

/* The part at hand: plain text [text, text + length), or a place when node_id is not empty. */
struct part {
        const char *text;
        size_t length;
        char node_id[TEMPLATE_PLACE_MAX];
        char path[TEMPLATE_PLACE_MAX];
};

bool template_has_places(const char *text)
{
        return strstr(text, "{{") != NULL;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What is wrong with the place that opens at `open`, by its position in people's counting. */
static enum status place_error(const char *start, const char *open, const char *what,
                               struct error *err)
{
        size_t position = 1;

        for (const char *c = start; c < open; c++)
                position += ((unsigned char)*c & 0xC0) != 0x80;
        return error_set(err, STATUS_INVALID, "The place {{ at character %zu %s", position, what);
}

/* Splits "id.path" or "id[0].path"; false if either is missing. */
static bool split_place(const char *inside, size_t length, struct part *part)
{
        size_t id = 0, from;

        while (id < length && inside[id] != '.' && inside[id] != '[')
                id++;
        from = id < length && inside[id] == '.' ? id + 1 : id;
        if (id == 0 || (id < length && from == length))
                return false;
        memcpy(part->node_id, inside, id);
        part->node_id[id] = '\0';
        memcpy(part->path, inside + from, length - from);
        part->path[length - from] = '\0';
        return true;
}

static enum status read_place(const char *start, const char *open, const char **at,
                              struct part *part, struct error *err)
{
        const char *inside = open + 2, *close = strstr(inside, "}}");

        if (!close || memchr(inside, '{', (size_t)(close - inside)))
                return place_error(start, open, "is not closed by }}", err);
        *at = close + 2;
        while (inside < close && is_blank(*inside))
                inside++;
        while (close > inside && is_blank(close[-1]))
                close--;
        if (close - inside >= TEMPLATE_PLACE_MAX)
                return place_error(start, open, "is too long", err);
        if (!split_place(inside, (size_t)(close - inside), part))
                return place_error(start, open, "names nothing; write {{node_id.field}}", err);
        return STATUS_OK;
}

static enum status plain(const char *text, size_t length, const char **at, struct part *part)
{
        part->node_id[0] = '\0';
        part->text = text;
        part->length = length;
        *at = text + length;
        return STATUS_OK;
}

/* Reads the part at *at and moves *at behind it. `start` is where the template begins. */
static enum status next_part(const char *start, const char **at, struct part *part,
                             struct error *err)
{
        const char *text = *at, *open = strstr(text, "{{");

        if (!open)
                return plain(text, strlen(text), at, part);
        if (open == text)
                return read_place(start, open, at, part, err);
        if (open[-1] != '\\')
                return plain(text, (size_t)(open - text), at, part);
        /* First the text before the backslash, then the braces as a part of their own. */
        if (open - 1 > text)
                return plain(text, (size_t)(open - 1 - text), at, part);
        return plain(open, 2, at, part);
}

enum status template_walk(const char *text, template_place_fn *each, void *arg, struct error *err)
{
        const char *at = text;
        struct part part = {.text = ""};

        while (*at) {
                if (next_part(text, &at, &part, err))
                        return err->status;
                if (part.node_id[0] && !each(part.node_id, part.path, arg))
                        return STATUS_OK;
        }
        return STATUS_OK;
}

static enum status fill_place(const struct part *part, const json_t *values, struct buffer *out,
                              struct error *err)
{
        const char *path = part->path[0] ? part->path : "text";
        const json_t *output = json_object_get(values, part->node_id);
        const json_t *value = output ? json_path(output, path) : NULL;

        if (!output)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "{{%s.%s}} has no value: node \"%s\" gave no output",
                                 part->node_id, path, part->node_id);
        if (!value)
                return error_set(err, STATUS_UNPROCESSABLE,
                                 "{{%s.%s}} has no value: the output of node \"%s\" has no such "
                                 "field",
                                 part->node_id, path, part->node_id);
        if (json_is_string(value))
                buffer_append(out, json_string_value(value), json_string_length(value));
        else
                json_append(out, value);
        return STATUS_OK;
}

enum status template_fill(const char *text, const json_t *values, struct buffer *out,
                          struct error *err)
{
        const char *at = text;
        struct part part = {.text = ""};

        while (*at) {
                if (next_part(text, &at, &part, err))
                        return err->status;
                if (!part.node_id[0])
                        buffer_append(out, part.text, part.length);
                else if (fill_place(&part, values, out, err))
                        return err->status;
        }
        return buffer_check(out, "The filled template", err);
}
