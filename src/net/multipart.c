/* SPDX-License-Identifier: Apache-2.0 */
/* multipart/form-data, as a state machine over bytes that may be split anywhere.
 *
 * Not libmicrohttpd's post processor: it bounds neither parts nor part headers nor names, follows
 * nested multiparts, and wants its connection, which a body_sink does not have; the version we use
 * also has a known overflow there (CVE-2023-27371).
 *
 * The delimiter is CR LF "--" boundary. A boundary holds no CR, so the only way to begin a match
 * anew within a failed one is at its last byte, and no failure table is needed. */
#include "net/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/utf8.h"

enum { BOUNDARY_MAX = 70, DELIMITER_MAX = BOUNDARY_MAX + 4, PADDING_MAX = 64, VALUE_MAX = 1024 };

enum state {
        STATE_PREAMBLE,
        STATE_DATA,
        STATE_DELIMITED, /* behind a delimiter: the end, or padding and CR LF */
        STATE_HEADERS,
        STATE_EPILOGUE,
        STATE_FAILED,
};

struct multipart {
        const struct multipart_handlers *handlers;
        void *arg;
        enum state state;
        char delimiter[DELIMITER_MAX + 1];
        size_t delimiter_length;
        size_t matched;  /* bytes of the delimiter seen so far */
        size_t borrowed; /* of these, bytes that belong to the headers before */
        size_t parts;
        bool in_part;       /* begun and not ended */
        struct buffer head; /* what follows a delimiter, or headers */
        struct error failure;
};

/* Header values. */

static bool token_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("!#$%&'*+-.^_`{|}~", c));
}

/* A quoted string. Only \" is an escape: old browsers send file paths with bare backslashes. */
static const char *quoted(const char *at, struct buffer *value)
{
        for (; *at && *at != '"'; at++) {
                if (*at == '\\' && at[1] == '"')
                        at++;
                buffer_char(value, *at);
        }
        return *at == '"' ? at + 1 : NULL;
}

/* Reads "; name=value" at `at`; NULL at the end or when it is malformed, told by *ok. */
static const char *parameter(const char *at, struct buffer *name, struct buffer *value, bool *ok)
{
        buffer_clear(name);
        buffer_clear(value);
        at += strspn(at, " \t");
        if (!*at)
                return NULL;
        *ok = false;
        if (*at++ != ';')
                return NULL;
        at += strspn(at, " \t");
        *ok = !*at;
        while (token_char(*at))
                buffer_char(name, *at++);
        at += strspn(at, " \t");
        if (!name->length || *at != '=')
                return NULL;
        at += 1 + strspn(at + 1, " \t");
        if (*at == '"') {
                at = quoted(at + 1, value);
        } else {
                while (*at && !strchr("; \t\"", *at))
                        buffer_char(value, *at++);
        }
        *ok = at && !value->overflow && !name->overflow;
        return *ok ? at : NULL;
}

static bool boundary_valid(const char *boundary, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                char c = boundary[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      strchr("'()+_,-./:=? ", c)))
                        return false;
        }
        return length > 0 && length <= BOUNDARY_MAX && boundary[length - 1] != ' ';
}

static enum status read_boundary(struct multipart *multipart, const char *content_type,
                                 struct error *err)
{
        static const char type[] = "multipart/form-data";
        struct buffer name = BUFFER_INIT(multipart, VALUE_MAX),
                      value = BUFFER_INIT(multipart, VALUE_MAX);
        const char *at = content_type;
        bool ok = true;

        if (!at || strncasecmp(at, type, sizeof(type) - 1) != 0 || token_char(at[sizeof(type) - 1]))
                return error_set(err, STATUS_UNSUPPORTED_TYPE,
                                 "The body must be a form with Content-Type: multipart/form-data");
        at += sizeof(type) - 1;
        while ((at = parameter(at, &name, &value, &ok))) {
                if (strcasecmp(name.data, "boundary") != 0)
                        continue;
                if (multipart->delimiter_length ||
                    !boundary_valid(buffer_string(&value), value.length))
                        ok = false;
                else
                        multipart->delimiter_length =
                                (size_t)snprintf(multipart->delimiter, sizeof(multipart->delimiter),
                                                 "\r\n--%s", value.data);
                if (!ok)
                        break;
        }
        buffer_release(&name);
        buffer_release(&value);
        if (!ok || !multipart->delimiter_length)
                return error_set(err, STATUS_INVALID,
                                 "The form's boundary is missing or malformed");
        return STATUS_OK;
}

enum status multipart_new(const void *ctx, const char *content_type,
                          const struct multipart_handlers *handlers, void *arg,
                          struct multipart **ret, struct error *err)
{
        struct multipart *multipart = mem_new(ctx, struct multipart);

        multipart->handlers = handlers;
        multipart->arg = arg;
        multipart->head = BUFFER_INIT(multipart, MULTIPART_HEADERS_MAX);
        if (read_boundary(multipart, content_type, err)) {
                mem_free(multipart);
                return err->status;
        }
        /* The CR LF of the first delimiter may be missing: the body begins with "--". */
        multipart->matched = 2;
        *ret = multipart;
        return STATUS_OK;
}

/* Parts. */

struct part {
        struct buffer name, filename, content_type;
        bool disposition, has_filename;
};

/* Browsers send a quote in a name as %22; anything else stays as it is. */
static void unescape_quotes(struct buffer *text)
{
        char *in = text->data, *out = text->data;

        if (!in)
                return;
        while (*in) {
                if (strncmp(in, "%22", 3) == 0) {
                        *out++ = '"';
                        in += 3;
                } else {
                        *out++ = *in++;
                }
        }
        *out = '\0';
        text->length = (size_t)(out - text->data);
}

static enum status check_name(struct buffer *text, const char *what, struct error *err)
{
        unescape_quotes(text);
        if (text->length > MULTIPART_NAME_MAX)
                return error_set(err, STATUS_INVALID, "A %s name is longer than %d bytes", what,
                                 MULTIPART_NAME_MAX);
        if (!utf8_valid(buffer_string(text), text->length))
                return error_set(err, STATUS_INVALID, "A %s name is not valid UTF-8", what);
        if (strstr(buffer_string(text), "%0D") || strstr(buffer_string(text), "%0A"))
                return error_set(err, STATUS_INVALID, "A %s name holds a line break", what);
        return STATUS_OK;
}

static enum status read_disposition(const void *ctx, const char *at, struct part *part,
                                    struct error *err)
{
        struct buffer name = BUFFER_INIT(ctx, VALUE_MAX), value = BUFFER_INIT(ctx, VALUE_MAX);
        bool ok = !part->disposition && strncasecmp(at, "form-data", 9) == 0 && !token_char(at[9]);

        part->disposition = true;
        at += ok ? 9 : strlen(at);
        while (ok && (at = parameter(at, &name, &value, &ok))) {
                struct buffer *into = strcasecmp(name.data, "name") == 0       ? &part->name
                                      : strcasecmp(name.data, "filename") == 0 ? &part->filename
                                                                               : NULL;

                if (!into)
                        continue;
                ok = into->length == 0 && !(into == &part->filename && part->has_filename);
                part->has_filename |= into == &part->filename;
                buffer_append(into, buffer_string(&value), value.length);
        }
        if (!ok)
                return error_set(err, STATUS_INVALID, "A part's Content-Disposition is malformed");
        return STATUS_OK;
}

static enum status read_header(const void *ctx, char *line, struct part *part, struct error *err)
{
        char *colon = strchr(line, ':');

        if (!colon || colon == line)
                return error_set(err, STATUS_INVALID, "A part's header line is malformed");
        *colon = '\0';
        colon += 1 + strspn(colon + 1, " \t");
        for (size_t end = strlen(colon); end > 0 && strchr(" \t", colon[end - 1]); end--)
                colon[end - 1] = '\0';
        if (strcasecmp(line, "Content-Disposition") == 0)
                return read_disposition(ctx, colon, part, err);
        if (strcasecmp(line, "Content-Type") == 0) {
                if (strncasecmp(colon, "multipart/", 10) == 0)
                        return error_set(err, STATUS_INVALID, "A form within a form is not taken");
                buffer_clear(&part->content_type);
                buffer_text(&part->content_type, colon);
        }
        if (strcasecmp(line, "Content-Transfer-Encoding") == 0 &&
            strcasecmp(colon, "binary") != 0 && strcasecmp(colon, "8bit") != 0 &&
            strcasecmp(colon, "7bit") != 0)
                return error_set(err, STATUS_INVALID,
                                 "Content-Transfer-Encoding %.20s is not taken", colon);
        return STATUS_OK;
}

static enum status read_headers(const void *ctx, char *text, struct part *part, struct error *err)
{
        for (char *end; *text; text = end + 2) {
                end = strstr(text, "\r\n");
                *end = '\0';
                if (*text == ' ' || *text == '\t')
                        return error_set(err, STATUS_INVALID, "A part's header line is folded");
                if (*text && read_header(ctx, text, part, err))
                        return err->status;
        }
        if (!part->disposition || !part->name.length)
                return error_set(err, STATUS_INVALID, "A part of the form has no name");
        if (check_name(&part->name, "field", err) || check_name(&part->filename, "file", err))
                return err->status;
        return STATUS_OK;
}

static bool head_clean(const struct buffer *head)
{
        for (size_t i = 0; i < head->length; i++) {
                unsigned char c = (unsigned char)head->data[i];

                if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
                        return false;
        }
        return true;
}

/* A CR or LF that is not part of a pair would be read differently by others. */
static bool lines_clean(const struct buffer *head)
{
        for (size_t i = 0; i < head->length; i++) {
                if (head->data[i] == '\r'
                            ? head->data[i + 1] != '\n'
                            : head->data[i] == '\n' && (i == 0 || head->data[i - 1] != '\r'))
                        return false;
        }
        return true;
}

static enum status begin_part(struct multipart *multipart, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct part part = {.name = BUFFER_INIT(ctx, VALUE_MAX),
                            .filename = BUFFER_INIT(ctx, VALUE_MAX),
                            .content_type = BUFFER_INIT(ctx, MULTIPART_HEADERS_MAX)};
        enum status status;

        if (!head_clean(&multipart->head) || !lines_clean(&multipart->head))
                return error_set(err, STATUS_INVALID, "A part's headers hold a control character");
        if (read_headers(ctx, multipart->head.data, &part, err))
                return err->status;
        if (++multipart->parts > MULTIPART_PARTS_MAX)
                return error_set(err, STATUS_INVALID, "The form has more than %d parts",
                                 MULTIPART_PARTS_MAX);
        multipart->in_part = true;
        buffer_release(&multipart->head);
        status = multipart->handlers->part_begin(
                part.name.data, part.has_filename ? buffer_string(&part.filename) : NULL,
                part.content_type.data, multipart->arg, err);
        return status;
}

static enum status end_part(struct multipart *multipart, struct error *err)
{
        if (!multipart->in_part)
                return STATUS_OK;
        multipart->in_part = false;
        return multipart->handlers->part_end ? multipart->handlers->part_end(multipart->arg, err)
                                             : STATUS_OK;
}

/* Bytes. */

static enum status give(struct multipart *multipart, const char *data, size_t length,
                        struct error *err)
{
        if (length == 0 || multipart->state != STATE_DATA || !multipart->handlers->part_data)
                return STATUS_OK;
        return multipart->handlers->part_data(data, length, multipart->arg, err);
}

/* Searches the delimiter from *at on, giving away what cannot be part of it. */
static enum status scan(struct multipart *multipart, const char *data, size_t length, size_t *at,
                        struct error *err)
{
        while (*at < length) {
                if (multipart->matched == 0) {
                        const char *cr = memchr(data + *at, '\r', length - *at);
                        size_t plain = cr ? (size_t)(cr - data) - *at : length - *at;

                        if (give(multipart, data + *at, plain, err))
                                return err->status;
                        *at += plain + (cr != NULL);
                        multipart->matched = cr != NULL;
                } else if (data[*at] == multipart->delimiter[multipart->matched]) {
                        *at += 1;
                        if (++multipart->matched == multipart->delimiter_length) {
                                multipart->matched = multipart->borrowed = 0;
                                multipart->state = STATE_DELIMITED;
                                buffer_clear(&multipart->head);
                                return end_part(multipart, err);
                        }
                } else {
                        size_t matched = multipart->matched, borrowed = multipart->borrowed;

                        multipart->matched = multipart->borrowed = 0;
                        if (give(multipart, multipart->delimiter + borrowed, matched - borrowed,
                                 err))
                                return err->status;
                }
        }
        return STATUS_OK;
}

static enum status take_padding(struct multipart *multipart, char c, struct error *err)
{
        struct buffer *head = &multipart->head;

        buffer_char(head, c);
        if (head->length == 2 && memcmp(head->data, "--", 2) == 0) {
                multipart->state = STATE_EPILOGUE;
        } else if (c == '\n' && head->length >= 2 && head->data[head->length - 2] == '\r') {
                head->data[head->length - 2] = '\0';
                if (strspn(head->data, " \t") != head->length - 2)
                        return error_set(err, STATUS_INVALID,
                                         "A delimiter of the form is malformed");
                multipart->state = STATE_HEADERS;
                buffer_clear(head);
        } else if (head->length > PADDING_MAX) {
                return error_set(err, STATUS_INVALID, "A delimiter of the form is malformed");
        }
        return STATUS_OK;
}

static bool headers_end(const struct buffer *head)
{
        return head->length >= 4 && memcmp(head->data + head->length - 4, "\r\n\r\n", 4) == 0;
}

static enum status take_header(struct multipart *multipart, char c, struct error *err)
{
        struct buffer *head = &multipart->head;

        buffer_char(head, c);
        if (buffer_check(head, "The header of a part", err))
                return err->status;
        if (head->length == 2 && memcmp(head->data, "\r\n", 2) == 0)
                return error_set(err, STATUS_INVALID, "A part of the form has no name");
        if (!headers_end(head))
                return STATUS_OK;
        multipart->state = STATE_DATA;
        /* The delimiter of an empty part may begin with the CR LF that ends its headers. */
        multipart->matched = multipart->borrowed = 2;
        return begin_part(multipart, err);
}

static enum status take(struct multipart *multipart, const char *data, size_t length, size_t *at,
                        struct error *err)
{
        switch (multipart->state) {
        case STATE_PREAMBLE:
        case STATE_DATA:
                return scan(multipart, data, length, at, err);
        case STATE_DELIMITED:
                return take_padding(multipart, data[(*at)++], err);
        case STATE_HEADERS:
                return take_header(multipart, data[(*at)++], err);
        case STATE_EPILOGUE:
                *at = length;
                return STATUS_OK;
        case STATE_FAILED:
                break;
        }
        *err = multipart->failure;
        return err->status;
}

enum status multipart_feed(struct multipart *multipart, const char *data, size_t length,
                           struct error *err)
{
        for (size_t at = 0; at < length;) {
                if (take(multipart, data, length, &at, err) == STATUS_OK)
                        continue;
                multipart->state = STATE_FAILED;
                multipart->failure = *err;
                return err->status;
        }
        return STATUS_OK;
}

enum status multipart_end(struct multipart *multipart, struct error *err)
{
        if (multipart->state == STATE_EPILOGUE)
                return STATUS_OK;
        if (multipart->state == STATE_FAILED) {
                *err = multipart->failure;
                return err->status;
        }
        return error_set(err, STATUS_INVALID, "The form ended before its closing delimiter");
}
