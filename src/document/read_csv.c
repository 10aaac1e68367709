/* SPDX-License-Identifier: Apache-2.0 */
/* CSV (RFC 4180, and with ; tab or | as separator): each record becomes a paragraph of lines
 * "column: value", so that a row makes sense away from its header. */
#include <string.h>

#include "base/buffer.h"
#include "document/reader.h"

enum { COLUMNS_MAX = 1000, FIELD_BYTES_MAX = 1024 * 1024 };

struct csv {
        const char *at, *end;
        char separator;
        uint64_t row;
        struct buffer field;
};

/* The separator that the first line has most of, outside quotes. */
static char find_separator(const char *text, const char *end)
{
        static const char candidates[] = ",;\t|";
        size_t counts[sizeof(candidates) - 1] = {0}, best = 0;
        bool quoted = false;

        for (; text < end && (quoted || (*text != '\n' && *text != '\r')); text++) {
                const char *found = memchr(candidates, *text, sizeof(candidates) - 1);

                if (*text == '"')
                        quoted = !quoted;
                else if (found && !quoted)
                        counts[found - candidates]++;
        }
        for (size_t i = 1; i < sizeof(candidates) - 1; i++)
                best = counts[i] > counts[best] ? i : best;
        return candidates[best];
}

static enum status check_field(struct csv *csv, struct error *err)
{
        if (!csv->field.overflow)
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE,
                         "row %llu has a field of more than 1 MiB: is a quotation mark missing?",
                         (unsigned long long)csv->row);
}

static void read_quoted(struct csv *csv)
{
        csv->at++;
        while (csv->at < csv->end) {
                const char *quote = memchr(csv->at, '"', (size_t)(csv->end - csv->at));
                const char *stop = quote ? quote : csv->end;

                buffer_append(&csv->field, csv->at, (size_t)(stop - csv->at));
                csv->at = quote ? quote + 1 : csv->end;
                if (!quote || csv->at == csv->end || *csv->at != '"')
                        return;
                buffer_char(&csv->field, '"');
                csv->at++;
        }
}

static bool at_line_end(const struct csv *csv)
{
        return csv->at == csv->end || *csv->at == '\n' || *csv->at == '\r';
}

/* One field into csv->field; *ret_last tells whether it ends the row. */
static enum status read_field(struct csv *csv, bool *ret_last, struct error *err)
{
        const char *from;

        buffer_clear(&csv->field);
        if (csv->at < csv->end && *csv->at == '"')
                read_quoted(csv);
        from = csv->at;
        while (!at_line_end(csv) && *csv->at != csv->separator)
                csv->at++;
        buffer_append(&csv->field, from, (size_t)(csv->at - from));
        *ret_last = at_line_end(csv);
        if (csv->at < csv->end && *csv->at == '\r')
                csv->at++;
        if (csv->at < csv->end && (!*ret_last || *csv->at == '\n'))
                csv->at++;
        return check_field(csv, err);
}

/* White space around and inside becomes single spaces; below ctx. */
static char *tidy(const void *ctx, const char *text)
{
        char *copy = mem_strdup(ctx, text), *to = copy;

        for (const char *from = copy; *from; from++) {
                bool space = (unsigned char)*from <= ' ';

                if (!space || (to > copy && to[-1] != ' '))
                        *to++ = space ? ' ' : *from;
        }
        if (to > copy && to[-1] == ' ')
                to--;
        *to = '\0';
        return copy;
}

struct names {
        char *items[COLUMNS_MAX];
        size_t count;
};

static enum status check_columns(const struct csv *csv, size_t column, struct error *err)
{
        if (column < COLUMNS_MAX)
                return STATUS_OK;
        return error_set(err, STATUS_UNPROCESSABLE, "row %llu has more than %d columns",
                         (unsigned long long)csv->row, COLUMNS_MAX);
}

static enum status read_names(const void *ctx, struct csv *csv, struct names *names,
                              struct error *err)
{
        bool last = false;

        for (names->count = 0; !last; names->count++) {
                if (check_columns(csv, names->count, err) || read_field(csv, &last, err))
                        return err->status;
                names->items[names->count] = tidy(ctx, buffer_string(&csv->field));
        }
        return STATUS_OK;
}

static void write_value(struct text_out *out, const struct names *names, size_t column,
                        const char *value)
{
        char number[32];

        snprintf(number, sizeof(number), "column %zu", column + 1);
        text_out_string(out, column < names->count && *names->items[column] ? names->items[column]
                                                                            : number);
        text_out_string(out, ": ");
        text_out_string(out, value);
        text_out_line(out);
}

static enum status read_row(struct csv *csv, const struct names *names, struct text_out *out,
                            struct error *err)
{
        bool last = false;

        for (size_t column = 0; !last; column++) {
                SCOPED_MEM char *value = NULL;

                if (check_columns(csv, column, err) || read_field(csv, &last, err))
                        return err->status;
                value = tidy(csv->field.ctx, buffer_string(&csv->field));
                if (*value)
                        write_value(out, names, column, value);
        }
        text_out_blank(out);
        return STATUS_OK;
}

/* A file of one row has no records: its names are the text. */
static void write_names(struct text_out *out, const struct names *names)
{
        for (size_t i = 0; i < names->count; i++) {
                text_out_string(out, names->items[i]);
                text_out_line(out);
        }
}

enum status read_csv(const void *ctx, const char *data, size_t length, struct text_out *out,
                     struct error *err)
{
        struct names *names = mem_new(ctx, struct names);
        struct csv csv = {.row = 1, .field = BUFFER_INIT(names, FIELD_BYTES_MAX)};
        const char *text;

        if (reader_decode(ctx, data, length, &text, &length, err))
                return err->status;
        csv.at = text;
        csv.end = text + length;
        csv.separator = find_separator(csv.at, csv.end);
        if (read_names(names, &csv, names, err))
                return err->status;
        if (csv.at == csv.end)
                write_names(out, names);
        while (csv.at < csv.end && !out->closed) {
                csv.row++;
                if (read_row(&csv, names, out, err))
                        return err->status;
        }
        return STATUS_OK;
}
