/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what is made of model servers' answers and of documents. The first byte chooses: events and
 * error bodies of a provider (a success has text, a refusal has words and no key), vectors, or a
 * question and a passage for the local engine (its citations are ranges of the passage). */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "llm/citations.h"
#include "llm/llm_internal.h"
#include "llm/local.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "sk-fuzz-key";

static void must(bool holds)
{
        if (!holds)
                abort();
}

static struct endpoint make_endpoint(bool gemini)
{
        static struct provider gemini_row = {.name = "gemini", .title = "Gemini"};
        static struct provider openai_row = {.name = "openai", .title = "OpenAI"};

        gemini_row.dialect = &gemini_dialect;
        openai_row.dialect = &openai_dialect;
        return (struct endpoint){
                .provider = gemini ? &gemini_row : &openai_row,
                .model = "m",
                .api_key = key,
                .base_url = "http://h/v1",
                .title = "It",
        };
}

static void check_refusal(const struct refusal *refusal)
{
        must(refusal->error.status != STATUS_OK && refusal->error.message[0] != '\0');
        must(utf8_valid(refusal->error.message, strlen(refusal->error.message)));
        must(utf8_valid(refusal->detail, strlen(refusal->detail)));
        must(!strstr(refusal->error.message, key) && !strstr(refusal->detail, key));
}

/* Lines are the events of one stream. */
static void fuzz_events(const struct endpoint *endpoint, const char *text, size_t length)
{
        const struct dialect *dialect = endpoint->provider->dialect;
        SCOPED_MEM void *ctx = mem_root();
        struct answer answer = {.text = BUFFER_INIT(ctx, 1 << 20)};
        struct refusal refusal = {0};

        while (length > 0 && !refusal.error.status) {
                const char *end = memchr(text, '\n', length);
                size_t line = end ? (size_t)(end - text) : length;
                SCOPED_JSON json_t *json = NULL;
                struct error err = ERROR_INIT;

                if (json_read(text, line, &json, &err) == STATUS_OK)
                        must(dialect->chat_event(endpoint, &answer, json, &refusal) ==
                             refusal.error.status);
                line += end ? 1 : 0;
                text += line;
                length -= line;
        }
        if (!refusal.error.status && dialect->chat_end(endpoint, &answer, &refusal) == STATUS_OK)
                must(answer.text.length > 0 && answer.finish[0] != '\0');
        else
                check_refusal(&refusal);
}

static void fuzz_refusal(const struct endpoint *endpoint, unsigned char choice, const char *body,
                         size_t length)
{
        static const unsigned statuses[] = {400, 401, 403, 404, 422, 429, 500, 503};
        SCOPED_MEM char *copy = mem_strndup(NULL, body, length);
        const struct http_result result = {
                .status = statuses[choice % ARRAY_LENGTH(statuses)],
                .body = copy,
                .body_length = strlen(copy),
                .content_type = "application/json",
        };
        struct refusal refusal;

        llm_refusal_from_answer(&refusal, endpoint, &result);
        check_refusal(&refusal);
}

static void fuzz_vectors(const struct endpoint *endpoint, const char *text, size_t length)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *json = NULL;
        struct error err = ERROR_INIT;
        struct embedding out = {.ctx = ctx, .total = 3, .count = 3};

        if (json_read(text, length, &json, &err) ||
            !endpoint->provider->dialect->embed_answer(json, &out))
                return;
        for (size_t i = 0; i < out.total; i++) {
                double sum = 0;

                for (size_t d = 0; d < out.dims; d++)
                        sum += (double)out.vectors[i * out.dims + d] *
                               (double)out.vectors[i * out.dims + d];
                must(sum > 0.99 && sum < 1.01);
        }
}

static void check_citations(const json_t *citations, const char *text)
{
        const json_t *citation;
        size_t i;

        json_array_foreach (citations, i, citation) {
                size_t start = (size_t)json_get_int(citation, "start", -1);
                size_t end = (size_t)json_get_int(citation, "end", -1);
                const char *quote = json_get_text(citation, "quote", "");

                must(start <= end && end <= strlen(text) && strlen(quote) == end - start);
                must(memcmp(text + start, quote, end - start) == 0);
        }
}

/* First line: the question, or a model's answer; the rest: the passage. Documents are valid UTF-8. */
static void fuzz_local(const char *text, size_t length)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer out = BUFFER_INIT(ctx, 1 << 20);
        char *question = mem_strndup(ctx, text, length);
        char *passage_text = strchr(question, '\n');
        SCOPED_JSON json_t *citations = NULL, *resolved = NULL;

        if (!passage_text || !utf8_valid(question, strlen(question)))
                return;
        *passage_text++ = '\0';
        const struct llm_passage passage = {.text = passage_text};

        local_answer(question, &passage, 1, &out, &citations);
        must(utf8_valid(buffer_string(&out), out.length));
        check_citations(citations, passage_text);
        resolved = citations_resolve(question, &passage, 1);
        check_citations(resolved, passage_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct endpoint endpoint;
        const char *text;

        if (size < 2)
                return 0;
        endpoint = make_endpoint(data[0] & 1);
        text = (const char *)data + 1;
        switch (data[0] >> 1 & 3) {
        case 0:
                fuzz_events(&endpoint, text, size - 1);
                break;
        case 1:
                fuzz_refusal(&endpoint, data[0] >> 3, text, size - 1);
                break;
        case 2:
                fuzz_vectors(&endpoint, text, size - 1);
                break;
        default:
                fuzz_local(text, size - 1);
        }
        return 0;
}
