/* SPDX-License-Identifier: Apache-2.0 */
/* Framing checks over a header list. */
#include "net/http_framing.h"

#include <string.h>
#include <strings.h>

static bool token_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *text, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                if (!token_char(text[i]))
                        return false;
        }
        return length > 0;
}

static bool value_clean(const char *text, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                unsigned char c = (unsigned char)text[i];

                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return false;
        }
        return true;
}

static bool host_clean(const struct http_field *host)
{
        static const char allowed[] = "!$%&'()*+,-.:;=[]_~";

        for (size_t i = 0; i < host->value_length; i++) {
                char c = host->value[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      strchr(allowed, c)))
                        return false;
        }
        return true;
}

static bool named(const struct http_field *field, const char *name)
{
        return strcasecmp(field->name, name) == 0;
}

static size_t count_named(const struct http_field *fields, size_t count, const char *name)
{
        size_t found = 0;

        for (size_t i = 0; i < count; i++)
                found += named(&fields[i], name);
        return found;
}

const struct http_field *http_field_find(const struct http_field *fields, size_t count,
                                         const char *name)
{
        for (size_t i = 0; i < count; i++) {
                if (named(&fields[i], name))
                        return &fields[i];
        }
        return NULL;
}

bool http_list_has(const char *list, const char *token)
{
        size_t length = strlen(token);

        while (*list) {
                list += strspn(list, ", \t");
                size_t part = strcspn(list, ",;"), end = part;

                while (end > 0 && (list[end - 1] == ' ' || list[end - 1] == '\t'))
                        end--;
                if (end == length && strncasecmp(list, token, length) == 0)
                        return true;
                list += strcspn(list, ",");
        }
        return false;
}

static enum status check_fields(const struct http_field *fields, size_t count, struct error *err)
{
        if (count > HTTP_FIELDS_MAX)
                return error_set(err, STATUS_HEADERS_TOO_LARGE,
                                 "There are more than %d header lines", HTTP_FIELDS_MAX);
        for (size_t i = 0; i < count; i++) {
                if (!is_token(fields[i].name, fields[i].name_length))
                        return error_set(err, STATUS_INVALID, "A header name is malformed");
                if (!value_clean(fields[i].value, fields[i].value_length))
                        return error_set(err, STATUS_INVALID,
                                         "The value of header %.60s holds a control character",
                                         fields[i].name);
        }
        return STATUS_OK;
}

static enum status check_host(const struct http_field *fields, size_t count, bool http_1_1,
                              struct error *err)
{
        size_t hosts = count_named(fields, count, "Host");

        if (hosts > 1)
                return error_set(err, STATUS_INVALID, "There is more than one Host header");
        if (hosts == 0)
                return http_1_1 ? error_set(err, STATUS_INVALID, "The Host header is missing")
                                : STATUS_OK;
        if (!host_clean(http_field_find(fields, count, "Host")))
                return error_set(err, STATUS_INVALID, "The Host header is malformed");
        return STATUS_OK;
}

static enum status check_length(const struct http_field *fields, size_t count,
                                struct http_framing *ret, struct error *err)
{
        const struct http_field *field = http_field_find(fields, count, "Content-Length");

        if (!field)
                return STATUS_OK;
        if (count_named(fields, count, "Content-Length") > 1)
                return error_set(err, STATUS_INVALID,
                                 "There is more than one Content-Length header");
        if (field->value_length == 0 || field->value_length > 18)
                return error_set(err, STATUS_INVALID, "The Content-Length header is malformed");
        for (size_t i = 0; i < field->value_length; i++) {
                if (field->value[i] < '0' || field->value[i] > '9')
                        return error_set(err, STATUS_INVALID,
                                         "The Content-Length header is malformed");
                ret->length = ret->length * 10 + (uint64_t)(field->value[i] - '0');
        }
        ret->body = ret->length > 0;
        return STATUS_OK;
}

static enum status check_encoding(const struct http_field *fields, size_t count, bool http_1_1,
                                  struct http_framing *ret, struct error *err)
{
        const struct http_field *field = http_field_find(fields, count, "Transfer-Encoding");

        if (!field)
                return STATUS_OK;
        if (!http_1_1)
                return error_set(err, STATUS_INVALID, "Transfer-Encoding needs HTTP/1.1");
        if (http_field_find(fields, count, "Content-Length"))
                return error_set(err, STATUS_INVALID,
                                 "Transfer-Encoding and Content-Length exclude each other");
        if (count_named(fields, count, "Transfer-Encoding") > 1 ||
            strcasecmp(field->value, "chunked") != 0)
                return error_set(err, STATUS_INVALID,
                                 "The only Transfer-Encoding understood is \"chunked\"");
        ret->body = ret->chunked = true;
        return STATUS_OK;
}

enum status http_framing_check(const struct http_field *fields, size_t count, bool http_1_1,
                               struct http_framing *ret, struct error *err)
{
        *ret = (struct http_framing){0};
        if (check_fields(fields, count, err) || check_host(fields, count, http_1_1, err) ||
            check_length(fields, count, ret, err) ||
            check_encoding(fields, count, http_1_1, ret, err))
                return err->status;
        return STATUS_OK;
}
