/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logs: one JSON object a line, written off the calling thread.
 *
 * log_info(LOG_http_request, "request served", LOG_STR("route", route), LOG_INT("status", 200));
 * The message is constant text; data goes into fields; ids come from the current trace. Formatting
 * happens on the caller into a ring; one thread writes. A full ring never blocks for the disk:
 * DEBUG and INFO are dropped and counted (metric log_records_dropped_total), WARN and ERROR wait
 * briefly for room and go to stderr if there is none. Field names of one call differ; a field named
 * like an id of the trace replaces it. Any bytes make one valid line of at most 16 KiB. Never pass
 * a password, token, key, prompt or document text. Any thread, but not in a signal handler. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* C23 lets a call give nothing for "..."; clang 14 still calls that an extension. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Values of `event_type`. */
#define LOG_EVENTS(X)                                                                              \
        X(http_request)                                                                            \
        X(workflow_execution)                                                                      \
        X(node_execution)                                                                          \
        X(workflow_change)                                                                         \
        X(document_upload)                                                                         \
        X(document_processing)                                                                     \
        X(retrieval)                                                                               \
        X(llm_request)                                                                             \
        X(web_search)                                                                              \
        X(websocket_event)                                                                         \
        X(auth)                                                                                    \
        X(database)                                                                                \
        X(alert)                                                                                   \
        X(lifecycle)                                                                               \
        X(application_error)

enum log_event {
#define X(name) LOG_##name,
        LOG_EVENTS(X)
#undef X
};

enum log_field_type { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_REAL, LOG_FIELD_BOOL };

struct log_field {
        const char *name;
        enum log_field_type type;
        union {
                const char *string; /* NULL leaves the field out; cut at 4 KiB */
                int64_t integer;
                double real;
                bool boolean;
        };
};

#define LOG_STR(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_STRING, .string = (v)})
#define LOG_INT(n, v)                                                                              \
        ((struct log_field){.name = (n), .type = LOG_FIELD_INT, .integer = (int64_t)(v)})
#define LOG_REAL(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_REAL, .real = (v)})
#define LOG_BOOL(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_BOOL, .boolean = (v)})

struct log_options {
        const char *file; /* NULL: stdout */
        enum log_level level;
        uint64_t rotate_bytes; /* FILE becomes FILE.1 and so on past this size; 0: never */
        unsigned rotate_keep;  /* rotated files kept */
};

/* Starts the writer; before it, and after log_stop, lines go to stderr at once. */
enum status log_start(const struct log_options *options, struct error *err) MUST_USE;
/* Writes what is queued, stops the thread. */
void log_stop(void);
/* Waits until everything logged so far is with the kernel. */
void log_flush(void);
/* Opens the file anew, after it was moved away (SIGHUP). Safe in a signal handler. */
void log_reopen(void);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* "INFO" and so on; STATUS_INVALID names the choices. */
enum status log_level_parse(const char *text, enum log_level *ret, struct error *err) MUST_USE;

#define LOG_AT(level, event, message, ...)                                                         \
        do {                                                                                       \
                if (log_enabled(level)) {                                                          \
                        const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};               \
                        log_write((level), (event), (message), NULL, log_fields_ + 1,              \
                                  ARRAY_LENGTH(log_fields_) - 1);                                  \
                }                                                                                  \
        } while (0)
#define log_debug(event, message, ...) LOG_AT(LOG_LEVEL_DEBUG, event, message, ##__VA_ARGS__)
#define log_info(event, message, ...)  LOG_AT(LOG_LEVEL_INFO, event, message, ##__VA_ARGS__)
#define log_warn(event, message, ...)  LOG_AT(LOG_LEVEL_WARN, event, message, ##__VA_ARGS__)
#define log_error(event, message, ...) LOG_AT(LOG_LEVEL_ERROR, event, message, ##__VA_ARGS__)

/* The same with `error:{type,message}` filled from `err`. */
#define log_failure(level, event, message, err, ...)                                               \
        do {                                                                                       \
                const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                       \
                log_write((level), (event), (message), (err), log_fields_ + 1,                     \
                          ARRAY_LENGTH(log_fields_) - 1);                                          \
        } while (0)

void log_write(enum log_level level, enum log_event event, const char *message,
               const struct error *err, const struct log_field *fields, size_t count);
