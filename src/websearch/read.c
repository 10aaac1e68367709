/* SPDX-License-Identifier: Apache-2.0 */
/* From an answer to results or a refusal, the same way for every provider. */
#include <stdio.h>
#include <string.h>

#include "websearch/websearch_internal.h"

static bool is_success(const struct answer *answer)
{
        return answer->status >= 200 && answer->status < 300;
}

static enum status read_failure(const struct question *question, const struct answer *answer,
                                const json_t *json, struct refusal *refusal)
{
        enum status status = question->ops->explain(question, answer, json, refusal);

        if (refusal->retryable && !refusal->error.retry_after_ms)
                refusal->error.retry_after_ms = answer->retry_after_ms;
        return status;
}

static enum status refuse_body(const struct question *question, const struct answer *answer,
                               struct refusal *refusal)
{
        const char *type = answer->content_type ? answer->content_type : "of no stated type";
        char what[80];

        snprintf(what, sizeof(what), "%.60s", type);
        if (answer->length == 0)
                return websearch_refuse(refusal, REFUSED_EMPTY, question, NULL);
        if (strcasestr(type, "json"))
                return websearch_refuse(refusal, REFUSED_BROKEN, question, what);
        return websearch_refuse(refusal, REFUSED_PAGE, question, what);
}

enum status websearch_answer_read(const struct question *question, const struct answer *answer,
                                  json_t **ret, struct refusal *refusal)
{
        SCOPED_JSON json_t *json = NULL;
        struct error malformed = ERROR_INIT;
        json_t *items = NULL;
        enum status status = json_read(answer->body, answer->length, &json, &malformed);

        *refusal = (struct refusal){0};
        if (!is_success(answer))
                return read_failure(question, answer, json, refusal);
        if (status)
                return refuse_body(question, answer, refusal);
        status = question->ops->find(question, json, &items, refusal);
        if (status == STATUS_OK)
                *ret = websearch_results_take(&question->ops->members, items, question->results);
        return status;
}
