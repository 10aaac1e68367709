/* SPDX-License-Identifier: Apache-2.0 */
/* The log record: its members, and that no input breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "observe/test_log_folder.h"
#include "observe/trace.h"

#include <cmocka.h>

static int set_up(void **state)
{
        static struct log_folder log;

        log_folder_make(&log);
        log_folder_start(&log, 0, 0);
        *state = &log;
        return 0;
}

static int tear_down(void **state)
{
        log_stop();
        log_folder_remove(*state);
        return 0;
}

/* Everything logged so far. */
static json_t *records(void **state)
{
        log_flush();
        return log_folder_records(*state);
}

/* The only record. Borrowed from `all`. */
static json_t *only_record(const json_t *all)
{
        assert_int_equal(json_array_size(all), 1);
        return json_array_get(all, 0);
}

static void assert_text(const json_t *record, const char *member, const char *expected)
{
        assert_string_equal(json_get_text(record, member, "(absent)"), expected);
}

static void record_has_the_members_of_the_contract(void **state)
{
        struct error err = ERROR_INIT;
        int64_t when, before = clock_wall_ms();

        error_set(&err, STATUS_UPSTREAM, "Gemini refused the key");
        log_failure(LOG_LEVEL_ERROR, LOG_llm_request, "model call failed", &err,
                    LOG_STR("provider", "gemini"), LOG_STR("model", NULL),
                    LOG_INT("duration_ms", -12), LOG_REAL("cost_dollars", 0.0125),
                    LOG_BOOL("streamed", true));
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = only_record(all);
        assert_int_equal(clock_parse(json_get_text(record, "timestamp", ""), &when, &err),
                         STATUS_OK);
        assert_true(when >= before && when <= clock_wall_ms());
        assert_int_equal(strlen(json_get_text(record, "timestamp", "")), 24);
        assert_text(record, "level", "ERROR");
        assert_text(record, "service", "flowgenix-backend");
        assert_text(record, "version", FLOWGENIX_VERSION);
        assert_text(record, "message", "model call failed");
        assert_text(record, "event_type", "llm_request");
        assert_text(json_object_get(record, "error"), "type", "UPSTREAM");
        assert_text(json_object_get(record, "error"), "message", "Gemini refused the key");
        assert_text(record, "provider", "gemini");
        assert_int_equal(json_get_int(record, "duration_ms", 0), -12);
        assert_true(json_get_real(record, "cost_dollars", 0) == 0.0125);
        assert_true(json_get_flag(record, "streamed", false));
        assert_int_equal(json_object_size(record), 11);
}

static void ids_come_from_the_current_trace(void **state)
{
        struct trace trace;

        trace_begin(&trace, NULL);
        trace_set(trace.user_id, "01890a5d-ac96-774b-bcce-b302099a8057");
        trace_set(trace.node_id, "llm \"1\"");
        {
                TRACE_SCOPE(&trace);
                log_info(LOG_node_execution, "node ran");
        }
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = only_record(all);
        assert_text(record, "request_id", trace.request_id);
        assert_text(record, "trace_id", trace.trace_id);
        assert_text(record, "user_id", trace.user_id);
        assert_text(record, "node_id", trace.node_id);
        /* Empty ones are left out. */
        assert_int_equal(json_object_size(record), 10);
}

static void a_field_replaces_an_id_but_no_fixed_member(void **state)
{
        struct trace trace;

        trace_begin(&trace, NULL);
        trace_set(trace.workflow_id, trace.request_id);
        trace_set(trace.user_id, trace.request_id);
        TRACE_SCOPE(&trace);
        log_warn(LOG_auth, "user removed", LOG_STR("user_id", "another"),
                 LOG_STR("workflow_id", NULL), LOG_STR("level", "low"), LOG_INT("message", 3));
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = only_record(all);
        assert_text(record, "user_id", "another");
        assert_text(record, "workflow_id", trace.request_id);
        assert_text(record, "level", "WARN");
        assert_text(record, "message", "user removed");
        assert_text(record, "field_level", "low");
        assert_int_equal(json_get_int(record, "field_message", 0), 3);
}

static void secrets_are_redacted_by_name(void **state)
{
        static const char *const secret[] = {"password",       "old_password", "token",
                                             "refresh_token",  "Secret",       "client_secret",
                                             "Authorization",  "api_key",      "x-api-key",
                                             "GEMINI_API_KEY", "set-cookie",   "cookie"};
        static const char *const harmless[] = {"input_tokens", "passwords_changed", "key",
                                               "cookies",      "token_count",       "keyboard"};
        struct log_field fields[ARRAY_LENGTH(secret) + ARRAY_LENGTH(harmless)];
        size_t count = 0;

        for (size_t i = 0; i < ARRAY_LENGTH(secret); i++)
                fields[count++] = LOG_STR(secret[i], "hunter2");
        for (size_t i = 0; i < ARRAY_LENGTH(harmless); i++)
                fields[count++] = LOG_STR(harmless[i], "seen");
        log_write(LOG_LEVEL_INFO, LOG_auth, "logged in", NULL, fields, count);
        log_info(LOG_auth, "pin used", LOG_INT("pin_token", 1234));
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = json_array_get(all, 0);
        for (size_t i = 0; i < ARRAY_LENGTH(secret); i++)
                assert_text(record, secret[i], "[redacted]");
        for (size_t i = 0; i < ARRAY_LENGTH(harmless); i++)
                assert_text(record, harmless[i], "seen");
        assert_text(json_array_get(all, 1), "pin_token", "[redacted]");
}

static void numbers_are_json_numbers(void **state)
{
        log_info(LOG_database, "numbers", LOG_INT("least", INT64_MIN), LOG_INT("most", INT64_MAX),
                 LOG_REAL("nan", NAN), LOG_REAL("infinite", -INFINITY), LOG_REAL("tiny", 1.5e-9),
                 LOG_REAL("huge", 1e300), LOG_REAL("rounded", 1234.5678915),
                 LOG_REAL("negative", -0.25), LOG_REAL("whole", 3.0), LOG_REAL("carry", 0.9999999));
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = only_record(all);
        assert_true(json_get_int(record, "least", 0) == INT64_MIN);
        assert_true(json_get_int(record, "most", 0) == INT64_MAX);
        assert_true(json_is_null(json_object_get(record, "nan")));
        assert_true(json_is_null(json_object_get(record, "infinite")));
        assert_true(json_get_real(record, "tiny", 0) == 1.5e-9);
        assert_true(json_get_real(record, "huge", 0) == 1e300);
        assert_true(fabs(json_get_real(record, "rounded", 0) - 1234.567892) < 1e-9);
        assert_true(json_get_real(record, "negative", 0) == -0.25);
        assert_true(json_get_real(record, "whole", 0) == 3);
        assert_true(json_get_real(record, "carry", 0) == 1);
}

static void control_characters_and_wrong_utf8_are_made_valid(void **state)
{
        log_info(LOG_http_request, "said \"hello\"\\", LOG_STR("control", "a\x01\b\n\r\t\x1f\x7fz"),
                 LOG_STR("good", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), LOG_STR("lone", "a\x80z"),
                 LOG_STR("overlong", "\xC0\xAF"), LOG_STR("surrogate", "\xED\xA0\x80"),
                 LOG_STR("cut", "ab\xE2\x82"));
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = only_record(all);
        assert_text(record, "message", "said \"hello\"\\");
        assert_text(record, "control", "a\x01\b\n\r\t\x1f\x7fz");
        assert_text(record, "good", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
        assert_text(record, "lone", "a\xEF\xBF\xBDz");
        assert_text(record, "overlong", "\xEF\xBF\xBD\xEF\xBF\xBD");
        assert_text(record, "surrogate", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
        assert_text(record, "cut", "ab\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void long_values_are_cut_at_a_character(void **state)
{
        char exact[4097], text[6000];

        memset(exact, 'e', sizeof(exact));
        exact[4096] = '\0';
        memset(text, 'a', sizeof(text));
        memcpy(text + 4094, "\xE2\x82\xAC", 3);
        text[sizeof(text) - 1] = '\0';
        log_info(LOG_http_request, "exact", LOG_STR("value", exact));
        log_info(LOG_http_request, "cut", LOG_STR("value", text), LOG_INT("behind", 1));
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = json_array_get(all, 0);
        assert_text(record, "value", exact);
        assert_null(json_object_get(record, "truncated"));
        record = json_array_get(all, 1);
        assert_int_equal(strlen(json_get_text(record, "value", "")), 4094);
        assert_true(json_get_flag(record, "truncated", false));
        assert_int_equal(json_get_int(record, "behind", 0), 1);
}

/* Worst of all at once: what is fixed survives, what does not fit says so. */
static void a_line_is_bounded_whatever_is_in_it(void **state)
{
        struct error err = ERROR_INIT;
        struct trace trace;
        char ugly[5000];

        memset(ugly, 1, sizeof(ugly));
        ugly[sizeof(ugly) - 1] = '\0';
        memset(err.message, 2, sizeof(err.message) - 1);
        trace_begin(&trace, NULL);
        memset(trace.node_id, 3, sizeof(trace.node_id) - 1);
        TRACE_SCOPE(&trace);
        log_failure(LOG_LEVEL_ERROR, LOG_alert, ugly, &err, LOG_STR("first", ugly),
                    LOG_STR("second", ugly), LOG_STR(ugly, "third"), LOG_INT("fourth", INT64_MAX));
        SCOPED_JSON json_t *all = records(state);
        const json_t *record = only_record(all);
        assert_text(record, "event_type", "alert");
        assert_text(record, "trace_id", trace.trace_id);
        assert_text(record, "node_id", trace.node_id);
        assert_true(strlen(json_get_text(record, "message", "")) > 900);
        assert_text(json_object_get(record, "error"), "message", err.message);
        assert_true(json_get_flag(record, "truncated", false));
}

/* Any bytes in, one valid line out: parse_lines() fails on anything else. */
static void random_bytes_never_break_a_line(void **state)
{
        enum { LINES = 3000, SIZE = 700 };
        uint64_t seed = 42;
        char text[3][SIZE];

        for (size_t line = 0; line < LINES; line++) {
                for (size_t i = 0; i < sizeof(text); i++) {
                        seed = seed * 6364136223846793005 + 1442695040888963407;
                        /* Mostly bytes that are nearly UTF-8, so that sequences form. */
                        unsigned char byte = (unsigned char)(seed >> 40);
                        ((char *)text)[i] = (char)(seed >> 60 ? byte | 0x80 : byte);
                }
                for (size_t i = 0; i < 3; i++)
                        text[i][(seed >> 20) % SIZE] = '\0', text[i][SIZE - 1] = '\0';
                text[0][0] = 'n'; /* never the name of another member */
                text[0][1] = '0';
                log_warn(LOG_application_error, text[1], LOG_STR(text[0], text[2]));
        }
        SCOPED_JSON json_t *all = records(state);
        assert_int_equal(json_array_size(all), LINES);
}

static void levels_below_the_minimum_are_not_written(void **state)
{
        struct error err = ERROR_INIT;

        log_set_level(LOG_LEVEL_WARN);
        log_debug(LOG_lifecycle, "no");
        log_info(LOG_lifecycle, "no");
        log_failure(LOG_LEVEL_INFO, LOG_lifecycle, "no", &err);
        log_warn(LOG_lifecycle, "yes");
        log_set_level(LOG_LEVEL_DEBUG);
        log_debug(LOG_lifecycle, "yes");
        SCOPED_JSON json_t *all = records(state);
        assert_int_equal(json_array_size(all), 2);
        assert_text(json_array_get(all, 0), "level", "WARN");
        assert_text(json_array_get(all, 1), "level", "DEBUG");
}

static void levels_are_parsed(void **state)
{
        struct error err = ERROR_INIT;
        enum log_level level = LOG_LEVEL_ERROR;

        (void)state;
        assert_int_equal(log_level_parse("INFO", &level, &err), STATUS_OK);
        assert_int_equal(level, LOG_LEVEL_INFO);
        assert_int_equal(log_level_parse("debug", &level, &err), STATUS_OK);
        assert_int_equal(level, LOG_LEVEL_DEBUG);
        assert_int_equal(log_level_parse("LOUD", &level, &err), STATUS_INVALID);
        assert_int_equal(log_level_parse("", &level, &err), STATUS_INVALID);
        assert_int_equal(level, LOG_LEVEL_DEBUG);
        assert_non_null(strstr(err.message, "DEBUG, INFO, WARN or ERROR"));
}

int main(void)
{
#define RECORD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                RECORD_TEST(record_has_the_members_of_the_contract),
                RECORD_TEST(ids_come_from_the_current_trace),
                RECORD_TEST(a_field_replaces_an_id_but_no_fixed_member),
                RECORD_TEST(secrets_are_redacted_by_name),
                RECORD_TEST(numbers_are_json_numbers),
                RECORD_TEST(control_characters_and_wrong_utf8_are_made_valid),
                RECORD_TEST(long_values_are_cut_at_a_character),
                RECORD_TEST(a_line_is_bounded_whatever_is_in_it),
                RECORD_TEST(random_bytes_never_break_a_line),
                RECORD_TEST(levels_below_the_minimum_are_not_written),
                cmocka_unit_test(levels_are_parsed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
