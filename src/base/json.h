/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: jansson with scoped references, bounded parsing, and tables that turn a request body into
 * a struct.
 *
 * jansson is not for hot paths (log lines, events, responses of lists): those append to a
 * `struct buffer`. A json_t belongs to one thread at a time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/* Drops the reference at the end of the scope: `SCOPED_JSON json_t *body = NULL;` */
#define SCOPED_JSON CLEANUP(json_decref_at)
void json_decref_at(json_t **json);

/* Parses `length` bytes as one JSON value; refuses duplicate keys, invalid UTF-8, NUL in strings
 * and nesting deeper than 100. *ret is a new reference. STATUS_INVALID names line and column. */
enum status json_read(const char *text, size_t length, json_t **ret, struct error *err) MUST_USE;

/* Compact text of `json` as a talloc string. */
char *json_write(const void *ctx, const json_t *json) MUST_USE;
/* Appends compact text of `json`. */
void json_append(struct buffer *buffer, const json_t *json);

/* The member as a string, or `fallback` when absent or of another type. Borrowed. */
const char *json_get_text(const json_t *object, const char *key, const char *fallback);
int64_t json_get_int(const json_t *object, const char *key, int64_t fallback);
double json_get_real(const json_t *object, const char *key, double fallback);
bool json_get_flag(const json_t *object, const char *key, bool fallback);
/* Walks "a.b[2].c"; NULL if any step is missing. Borrowed. */
json_t *json_path(const json_t *root, const char *path);

/* --- Field tables ------------------------------------------------------------------------------
 * One row a field of a JSON object; the same table validates and fills. Unknown fields are
 * problems. `min`/`max` bound numbers by value and strings by code points (0, 0: not bounded; a
 * string field without max is bounded by FIELD_TEXT_MAX bytes). */
enum field_type {
        FIELD_STRING, /* char *, talloc child of the ctx given */
        FIELD_INT,    /* int64_t */
        FIELD_REAL,   /* double */
        FIELD_BOOL,   /* bool */
        FIELD_OBJECT, /* json_t *, borrowed from the body */
        FIELD_ARRAY,  /* json_t *, borrowed */
        FIELD_ANY,    /* json_t *, borrowed */
};

enum field_flags {
        FIELD_REQUIRED = 1 << 0,
        FIELD_NULLABLE = 1 << 1, /* null is the same as absent */
};

enum { FIELD_TEXT_MAX = 1024 * 1024 };

struct field {
        const char *name; /* NULL ends a table */
        enum field_type type;
        unsigned flags;
        size_t offset; /* into the struct to fill */
        double min, max;
        size_t present_offset; /* offsetof a bool set to true when given; 0: none */
};

/* Fills `out` (whose defaults stay where a field is absent) from `object`. Adds what is wrong to
 * `problems`, each path prefixed by `prefix` ("" or "items[2]."); STATUS_INVALID if there was any.
 */
enum status fields_read(const void *ctx, const json_t *object, const struct field *fields,
                        const char *prefix, void *out, struct problems *problems,
                        struct error *err) MUST_USE;
