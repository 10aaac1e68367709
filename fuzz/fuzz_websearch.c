/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what web search makes of an answer. The first byte chooses provider, status and headers;
 * the rest is the body. Whatever comes, the outcome is results in their shape or a refusal for
 * people. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "websearch/websearch_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct websearch_ops *const providers[] = {&brave_ops, &serpapi_ops, &searxng_ops};
static const unsigned statuses[] = {200, 200, 200, 429, 422, 403, 500, 302};

static void must(bool holds)
{
        if (!holds)
                abort();
}

/* One line of valid text. */
static void check_text(const char *text, size_t max)
{
        size_t length = strlen(text);

        must(length <= max && utf8_valid(text, length));
        for (size_t i = 0; i < length; i++)
                must((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
        must(length == 0 || (text[0] != ' ' && text[length - 1] != ' '));
}

static void check_member(const json_t *value, size_t max)
{
        must(json_is_string(value) || json_is_null(value));
        if (json_is_string(value))
                check_text(json_string_value(value), max);
}

static void check_results(const json_t *results, int64_t max)
{
        const json_t *result;
        size_t i;

        must((int64_t)json_array_size(results) <= max);
        json_array_foreach (results, i, result) {
                const char *url = json_get_text(result, "url", "");

                must(json_object_size(result) == 6);
                must(json_get_int(result, "rank", 0) == (int64_t)i + 1);
                must(strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
                must(!strpbrk(url, " <>\"\\^`{|}"));
                check_text(url, 2048);
                must(json_is_string(json_object_get(result, "title")));
                must(json_is_string(json_object_get(result, "snippet")));
                check_member(json_object_get(result, "title"), 2048);
                check_member(json_object_get(result, "snippet"), 2048);
                check_member(json_object_get(result, "date"), 2048);
                check_member(json_object_get(result, "source"), 2048);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        unsigned choice = size ? data[0] : 0;
        const struct question question = {.ops = providers[choice % ARRAY_LENGTH(providers)],
                                          .base_url = "http://a",
                                          .api_key = "secret-4711",
                                          .query = "otters",
                                          .results = choice & 0x80 ? 20 : 3};
        SCOPED_MEM char *body = mem_array(NULL, char, size + 1);
        struct refusal refusal;
        SCOPED_JSON json_t *results = NULL;

        if (size > 1)
                memcpy(body, data + 1, size - 1);
        const struct answer answer = {.status = statuses[choice / 3 % ARRAY_LENGTH(statuses)],
                                      .body = body,
                                      .length = size ? size - 1 : 0,
                                      .content_type = choice & 0x40 ? body : NULL,
                                      .rate_limit = body,
                                      .rate_left = choice & 0x40 ? "0, 0" : body,
                                      .rate_reset = body};

        if (websearch_answer_read(&question, &answer, &results, &refusal) == STATUS_OK) {
                check_results(results, question.results);
                return 0;
        }
        must(!results && refusal.error.status && *refusal.error.message);
        must(!strstr(refusal.detail, "secret-4711"));
        check_text(refusal.detail, WEBSEARCH_DETAIL_MAX - 1);
        check_text(refusal.error.message, ERROR_MESSAGE_MAX);
        return 0;
}
