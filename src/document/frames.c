/* SPDX-License-Identifier: Apache-2.0 */
#include "document/frames.h"

#include <string.h>

#include "base/utf8.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

void frames_init(struct frames *frames, bool paged, struct frames_limits limits,
                 const struct frames_sink *sink)
{
        *frames =
                (struct frames){.sink = sink, .limits = limits, .paged = paged, .line_start = true};
}

static enum status flush(struct frames *frames, struct error *err)
{
        size_t length = frames->used;

        frames->used = 0;
        return length ? frames->sink->text(frames->sink->arg, frames->clean, length, err)
                      : STATUS_OK;
}

/* The heading is complete, or as long as a title may be: what follows is text. */
static enum status give_heading(struct frames *frames, struct error *err)
{
        unsigned level = frames->heading;
        size_t length = frames->gathered;

        frames->heading = 0;
        frames->gathered = 0;
        return length ? frames->sink->heading(frames->sink->arg, level, frames->title, length, err)
                      : STATUS_OK;
}

static enum status count(struct frames *frames, size_t length, struct error *err)
{
        frames->bytes += length;
        if (frames->bytes <= frames->limits.bytes)
                return STATUS_OK;
        return error_set(err, STATUS_TOO_LARGE, "the text is longer than %llu MiB",
                         (unsigned long long)(frames->limits.bytes >> 20));
}

static enum status put(struct frames *frames, const char *bytes, size_t length, struct error *err)
{
        if (count(frames, length, err))
                return err->status;
        if (frames->heading && frames->gathered + length > sizeof(frames->title) &&
            give_heading(frames, err))
                return err->status;
        if (frames->heading) {
                memcpy(frames->title + frames->gathered, bytes, length);
                frames->gathered += length;
                return STATUS_OK;
        }
        if (frames->used + length > sizeof(frames->clean) && flush(frames, err))
                return err->status;
        memcpy(frames->clean + frames->used, bytes, length);
        frames->used += length;
        return STATUS_OK;
}

static enum status end_page(struct frames *frames, struct error *err)
{
        if (++frames->pages > frames->limits.pages)
                return error_set(err, STATUS_TOO_LARGE, "the document has more than %llu pages",
                                 (unsigned long long)frames->limits.pages);
        if (count(frames, 1, err) || flush(frames, err))
                return err->status;
        return frames->sink->page_end(frames->sink->arg, err);
}

static enum status put_control(struct frames *frames, char c, struct error *err)
{
        bool at_start = frames->line_start;

        if (c == '\f' && frames->paged)
                return end_page(frames, err);
        if (c == '\n') {
                if (frames->heading && give_heading(frames, err))
                        return err->status;
                frames->line_start = true;
                return put(frames, "\n", 1, err);
        }
        frames->line_start = false;
        if (c >= 1 && c <= 6 && at_start && !frames->paged) {
                frames->heading = (unsigned)c;
                return flush(frames, err);
        }
        return put(frames, c == '\t' ? "\t" : " ", 1, err);
}

static enum status put_character(struct frames *frames, const char *bytes, size_t length,
                                 struct error *err)
{
        unsigned char first = (unsigned char)bytes[0];

        if (first < 0x20 || first == 0x7F)
                return put_control(frames, bytes[0], err);
        frames->line_start = false;
        frames->has_text = frames->has_text || first != ' ';
        return put(frames, bytes, length, err);
}

/* Bytes that the character beginning with `first` has. */
static size_t announced(char first)
{
        unsigned char c = (unsigned char)first;

        return c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
}

/* Adds bytes to a character begun in the block before; the number of bytes used up. */
static size_t complete_partial(struct frames *frames, const char *data, size_t length)
{
        size_t used = 0;

        while (used < length && frames->held < announced(frames->partial[0]) &&
               ((unsigned char)data[used] & 0xC0) == 0x80)
                frames->partial[frames->held++] = data[used++];
        return used;
}

/* Each byte of what turned out to be no character is replaced, as if it had come in one piece. */
static enum status put_partial(struct frames *frames, struct error *err)
{
        size_t held = frames->held, length = utf8_sequence(frames->partial, held);

        frames->held = 0;
        if (length == held)
                return put_character(frames, frames->partial, length, err);
        for (size_t i = 0; i < held; i++) {
                if (put_character(frames, replacement, 3, err))
                        return err->status;
        }
        return STATUS_OK;
}

static bool hold_back(struct frames *frames, const char *data, size_t length)
{
        if (length >= announced(*data) || (unsigned char)*data < 0xC0)
                return false;
        for (size_t i = 1; i < length; i++) {
                if (((unsigned char)data[i] & 0xC0) != 0x80)
                        return false;
        }
        memcpy(frames->partial, data, length);
        frames->held = length;
        return true;
}

/* Most text by far: a run of plain ASCII in one go. */
static size_t plain_run(const char *data, size_t length)
{
        enum { RUN_MAX = FRAMES_HEADING_MAX };
        size_t run = 0;

        while (run < length && run < RUN_MAX && data[run] >= ' ' && data[run] < 0x7F)
                run++;
        return run;
}

static enum status put_run(struct frames *frames, const char *data, size_t length,
                           struct error *err)
{
        frames->line_start = false;
        for (size_t i = 0; i < length && !frames->has_text; i++)
                frames->has_text = data[i] != ' ';
        return put(frames, data, length, err);
}

enum status frames_feed(struct frames *frames, const char *data, size_t length, struct error *err)
{
        size_t at = 0;

        if (frames->held) {
                at = complete_partial(frames, data, length);
                if (at == length && frames->held < announced(frames->partial[0]))
                        return STATUS_OK;
                if (put_partial(frames, err))
                        return err->status;
        }
        while (at < length) {
                size_t run = frames->heading ? 0 : plain_run(data + at, length - at), bytes;

                if (run && put_run(frames, data + at, run, err))
                        return err->status;
                at += run;
                if (run)
                        continue;
                bytes = utf8_sequence(data + at, length - at);

                if (!bytes && hold_back(frames, data + at, length - at))
                        return STATUS_OK;
                if (put_character(frames, bytes ? data + at : replacement, bytes ? bytes : 3, err))
                        return err->status;
                at += bytes ? bytes : 1;
        }
        return STATUS_OK;
}

enum status frames_end(struct frames *frames, struct error *err)
{
        if (frames->held && put_partial(frames, err))
                return err->status;
        if (frames->heading && give_heading(frames, err))
                return err->status;
        return flush(frames, err);
}
