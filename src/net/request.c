/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler asks of its request. */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "net/server_internal.h"

const char *request_param(const struct request *req, const char *name)
{
        const struct exchange *exchange = req->exchange;
        size_t i = 0;

        while (i < exchange->entry->name_count && strcmp(exchange->entry->names[i], name) != 0)
                i++;
        /* Asking for what the route's path does not name is a mistake in the program. */
        assert(i < exchange->entry->name_count);
        return exchange->match.values[i];
}

const char *request_query(const struct request *req, const char *name)
{
        const struct exchange *exchange = req->exchange;

        for (size_t i = 0; i < exchange->query_count; i++) {
                if (strcmp(exchange->query[i].name, name) == 0)
                        return exchange->query[i].value;
        }
        return NULL;
}

const char *request_header(const struct request *req, const char *name)
{
        const struct exchange *exchange = req->exchange;
        const struct http_field *field =
                http_field_find(exchange->fields, exchange->field_count, name);

        return field ? field->value : NULL;
}

struct problems *request_problems(struct request *req)
{
        struct exchange *exchange = req->exchange;

        if (!exchange->problems)
                exchange->problems = problems_new(req->ctx);
        return exchange->problems;
}

/* "application/json" or "application/…+json", with any parameters. */
static bool is_json(const char *content_type)
{
        size_t length = strcspn(content_type, "; \t");

        if (length == 16 && strncasecmp(content_type, "application/json", 16) == 0)
                return true;
        return length > 17 && strncasecmp(content_type, "application/", 12) == 0 &&
               strncasecmp(content_type + length - 5, "+json", 5) == 0;
}

struct kept_json {
        json_t *json;
};

static int kept_json_free(struct kept_json *kept)
{
        json_decref(kept->json);
        return 0;
}

/* Fields may borrow from the tree, so it lives as long as the request. */
static void keep_json(struct request *req, json_t *json)
{
        struct kept_json *kept = mem_new(req->ctx, struct kept_json);

        kept->json = json;
        talloc_set_destructor(kept, kept_json_free);
}

enum status request_json(struct request *req, json_t **ret, struct error *err)
{
        const char *content_type = request_header(req, "Content-Type");

        if (!content_type || !is_json(content_type))
                return error_set(err, STATUS_UNSUPPORTED_TYPE,
                                 "The body must be JSON with Content-Type: application/json");
        return json_read(req->body, req->body_length, ret, err);
}

enum status request_fields(struct request *req, const struct field *fields, void *out,
                           struct error *err)
{
        json_t *body;

        if (request_json(req, &body, err))
                return err->status;
        keep_json(req, body);
        return fields_read(req->ctx, body, fields, "", out, request_problems(req), err);
}
