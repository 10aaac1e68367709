/* SPDX-License-Identifier: Apache-2.0 */
/* The window holds the text from the start of the next piece on. It is cut when it holds more than
 * `max` characters, so that the whole range of possible cuts can be seen, and given out as it is
 * at a heading or page end. */
#include "document/chunk.h"

#include <assert.h>
#include <string.h>

#include "base/utf8.h"
#include "document/cut.h"

enum { CHARACTER_MAX = 4, PATH_MAX_BYTES = HEADING_LEVELS * (HEADING_TITLE_MAX + 3) + 1 };

struct chunker {
        struct chunk_options options;
        piece_fn *each;
        void *arg;
        char *window;
        size_t length, characters;
        int64_t offset; /* of window[0] in the stream */
        int64_t given;  /* up to here the stream is in pieces already */
        char titles[HEADING_LEVELS][HEADING_TITLE_MAX + 1];
        unsigned depth; /* levels that hold for the whole window */
        bool only_headings;
        int64_t page; /* 0: no pages */
        /* A window that crosses page ends belongs to the page that gave most of it. */
        int64_t main_page;
        size_t main_length, page_length;
};

struct chunker *chunker_new(const void *ctx, const struct chunk_options *options, bool paged,
                            piece_fn *each, void *arg)
{
        struct chunker *chunker = mem_new(ctx, struct chunker);

        assert(options->target >= 8 && options->max >= 2 * options->target - options->target / 2 &&
               options->overlap < options->target / 2);
        chunker->options = *options;
        chunker->each = each;
        chunker->arg = arg;
        chunker->window = mem_array(chunker, char, (options->max + 1) * CHARACTER_MAX);
        chunker->depth = HEADING_LEVELS;
        chunker->only_headings = true;
        chunker->page = paged ? 1 : 0;
        return chunker;
}

static void write_path(const struct chunker *chunker, char path[PATH_MAX_BYTES])
{
        size_t length = 0;

        for (unsigned level = 0; level < chunker->depth; level++) {
                size_t title = strlen(chunker->titles[level]);

                if (!title)
                        continue;
                if (length) {
                        memcpy(path + length, " > ", 3);
                        length += 3;
                }
                memcpy(path + length, chunker->titles[level], title);
                length += title;
        }
        path[length] = '\0';
}

static int64_t page_of_window(const struct chunker *chunker)
{
        return chunker->main_length > chunker->page_length ? chunker->main_page : chunker->page;
}

/* Gives out window[0..length) without the white space around it, unless all of it was before. */
static enum status give(struct chunker *chunker, size_t length, struct error *err)
{
        char path[PATH_MAX_BYTES];
        size_t from = 0;
        struct piece piece;

        while (length && cut_is_space(chunker->window[length - 1]))
                length--;
        while (from < length && cut_is_space(chunker->window[from]))
                from++;
        if (from == length || chunker->offset + (int64_t)length <= chunker->given)
                return STATUS_OK;
        write_path(chunker, path);
        piece = (struct piece){.text = chunker->window + from,
                               .length = length - from,
                               .start = chunker->offset + (int64_t)from,
                               .end = chunker->offset + (int64_t)length,
                               .page = page_of_window(chunker),
                               .heading = path};
        chunker->given = piece.end;
        return chunker->each(&piece, chunker->arg, err);
}

/* The next piece begins at window[from]. */
static void slide(struct chunker *chunker, size_t from)
{
        chunker->length -= from;
        memmove(chunker->window, chunker->window + from, chunker->length);
        chunker->offset += (int64_t)from;
        chunker->characters = cut_characters(chunker->window, chunker->length);
        chunker->depth = HEADING_LEVELS;
        chunker->main_length = 0;
        chunker->page_length = chunker->length;
}

static enum status give_all(struct chunker *chunker, struct error *err)
{
        enum status status = give(chunker, chunker->length, err);

        slide(chunker, chunker->length);
        chunker->only_headings = true;
        return status;
}

static enum status cut(struct chunker *chunker, struct error *err)
{
        size_t at = cut_find(chunker->window, chunker->length, &chunker->options);
        enum status status = give(chunker, at, err);

        slide(chunker, cut_overlap(chunker->window, at, &chunker->options));
        return status;
}

/* White space does not count, nor what the piece before holds already. */
static bool is_tiny(const struct chunker *chunker)
{
        size_t characters = 0, from = 0;

        if (chunker->given > chunker->offset)
                from = (size_t)(chunker->given - chunker->offset);
        for (size_t i = from; i < chunker->length; i++) {
                characters += !cut_is_space(chunker->window[i]) &&
                              !cut_is_continuation(chunker->window[i]);
        }
        return characters < chunker->options.tiny;
}

/* At a heading or page end: gives out the window, or keeps it if it is tiny. */
static enum status give_section(struct chunker *chunker, struct error *err)
{
        if (!is_tiny(chunker))
                return give_all(chunker, err);
        if (chunker->given > chunker->offset)
                slide(chunker, (size_t)(chunker->given - chunker->offset));
        return STATUS_OK;
}

/* Cuts only between characters: when one is complete and the next begins, or at the end. */
static enum status append(struct chunker *chunker, const char *text, size_t length,
                          struct error *err)
{
        size_t max = chunker->options.max;

        for (size_t at = 0; at < length; at++) {
                bool begins = !cut_is_continuation(text[at]);

                if (begins && chunker->characters > max && cut(chunker, err))
                        return err->status;
                chunker->window[chunker->length++] = text[at];
                chunker->characters += begins;
                chunker->page_length++;
        }
        return chunker->characters > max ? cut(chunker, err) : STATUS_OK;
}

enum status chunker_text(struct chunker *chunker, const char *text, size_t length,
                         struct error *err)
{
        for (size_t i = 0; i < length && chunker->only_headings; i++)
                chunker->only_headings = cut_is_space(text[i]);
        return append(chunker, text, length, err);
}

static void set_title(struct chunker *chunker, unsigned level, const char *title, size_t length)
{
        size_t kept = utf8_floor(title, length, HEADING_TITLE_MAX);

        memcpy(chunker->titles[level - 1], title, kept);
        chunker->titles[level - 1][kept] = '\0';
        for (unsigned below = level; below < HEADING_LEVELS; below++)
                chunker->titles[below][0] = '\0';
}

enum status chunker_heading(struct chunker *chunker, unsigned level, const char *title,
                            size_t length, struct error *err)
{
        if (give_section(chunker, err))
                return err->status;
        /* A small section before stays in the window: only what is above both holds for it. */
        if (!chunker->only_headings && chunker->depth > level - 1)
                chunker->depth = level - 1;
        set_title(chunker, level, title, length);
        return append(chunker, title, length, err);
}

enum status chunker_page_end(struct chunker *chunker, struct error *err)
{
        if (give_section(chunker, err))
                return err->status;
        if (chunker->page_length > chunker->main_length) {
                chunker->main_length = chunker->page_length;
                chunker->main_page = chunker->page;
        }
        if (chunker_text(chunker, "\f", 1, err))
                return err->status;
        chunker->page++;
        chunker->page_length = 0;
        return STATUS_OK;
}

enum status chunker_finish(struct chunker *chunker, struct error *err)
{
        return give_all(chunker, err);
}
