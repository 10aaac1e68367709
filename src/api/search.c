/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/search: retrieval and web search on their own, without a workflow. */
#include <string.h>

#include "api/credentials.h"
#include "api/embedding.h"
#include "api/routes.h"
#include "api/views.h"

enum { WEB_TIMEOUT_MS = 30000 };

/* --- Documents ---------------------------------------------------------------------------------*/
struct documents_body {
        char *query, *workflow_id, *mode;
        int64_t limit;
        double min_score;
};

static const struct field documents_fields[] = {
        {"query", FIELD_STRING, FIELD_REQUIRED, offsetof(struct documents_body, query), 1, 4000, 0},
        {"workflow_id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct documents_body, workflow_id),
         1, 64, 0},
        {"limit", FIELD_INT, FIELD_NULLABLE, offsetof(struct documents_body, limit), 1, 50, 0},
        {"mode", FIELD_STRING, FIELD_NULLABLE, offsetof(struct documents_body, mode), 1, 20, 0},
        {"min_score", FIELD_REAL, FIELD_NULLABLE, offsetof(struct documents_body, min_score), 0, 1,
         0},
        {0},
};

static enum status search(struct request *req, const struct documents_body *body,
                          struct chunk **ret, size_t *ret_count, struct error *err)
{
        struct app *app = app_of(req);
        struct retrieval_query query = {
                .set = {.workflow_id = body->workflow_id},
                .text = body->query,
                .limit = (size_t)body->limit,
                .min_score = body->min_score,
        };
        int64_t version;

        if (id_field(req, "workflow_id", body->workflow_id, err) ||
            store_check_workflow(app->store, user_of(req)->id, body->workflow_id, &version, err) ||
            embedding_target(app, req->ctx, body->workflow_id, &query.embedding, err))
                return err->status;
        if (body->mode && !retrieval_mode_parse(body->mode, &query.mode)) {
                problems_add(request_problems(req), NULL, "mode",
                             "must be hybrid, keyword or semantic");
                return error_set(err, STATUS_INVALID, "mode must be hybrid, keyword or semantic");
        }
        trace_set(req->trace.workflow_id, body->workflow_id);
        return retrieval_search(app->store, app->vector, app->llm, req->ctx, &query, ret, ret_count,
                                err);
}

static struct reply search_documents(struct request *req)
{
        struct documents_body body = {.limit = 5};
        struct chunk *hits = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;

        if (request_fields(req, documents_fields, &body, &err) ||
            search(req, &body, &hits, &count, &err))
                return reply_error(req, &err);
        view_begin(&view, req);
        json_open_object(&view.json, NULL);
        json_open_array(&view.json, "results");
        for (size_t i = 0; i < count; i++)
                view_search_hit(&view.json, &hits[i]);
        json_close_array(&view.json);
        json_close_object(&view.json);
        return view_reply(&view, 200);
}

/* --- Web ---------------------------------------------------------------------------------------*/
struct web_body {
        char *query, *provider;
        int64_t results;
};

static const struct field web_fields[] = {
        {"query", FIELD_STRING, FIELD_REQUIRED, offsetof(struct web_body, query), 1, 400, 0},
        {"provider", FIELD_STRING, FIELD_NULLABLE, offsetof(struct web_body, provider), 1, 20, 0},
        {"num_results", FIELD_INT, FIELD_NULLABLE, offsetof(struct web_body, results), 1, 20, 0},
        {0},
};

struct searching {
        struct request *req;
        struct websearch_query query;
        bool again;
};

/* Without a provider: the first one that is configured. Fills key and base URL. */
static enum status choose_provider(struct request *req, struct web_body *body,
                                   struct websearch_query *query, struct error *err)
{
        static const char *const order[] = {"searxng", "brave", "serpapi"};
        char *key = NULL, *url = NULL;
        bool needs_key = false;

        if (body->provider && !websearch_provider_known(body->provider, &needs_key)) {
                problems_add(request_problems(req), NULL, "provider",
                             "must be brave, serpapi or searxng");
                return error_set(err, STATUS_INVALID, "provider must be brave, serpapi or searxng");
        }
        for (size_t i = 0; i < ARRAY_LENGTH(order); i++) {
                if (body->provider && strcmp(body->provider, order[i]) != 0)
                        continue;
                websearch_provider_known(order[i], &needs_key);
                if (credential_resolve(app_of(req), req->ctx, user_of(req)->id, order[i], &key,
                                       &url, err))
                        return err->status;
                if (needs_key ? key != NULL : url != NULL) {
                        query->provider = order[i];
                        query->api_key = key;
                        query->base_url = url;
                        return STATUS_OK;
                }
        }
        return error_set(err, STATUS_UNPROCESSABLE,
                         "%s is not set up: add its key or address under credentials",
                         body->provider ? body->provider : "No web search provider");
}

static void answer_web(json_t *results, const struct error *err, bool retryable, void *arg)
{
        struct searching *searching = arg;
        struct request *req = searching->req;
        TRACE_SCOPE(&req->trace);

        /* A hiccup is tried once more; who asks for time is passed on with Retry-After. */
        if (err && retryable && !searching->again && !err->retry_after_ms) {
                searching->again = true;
                websearch_start(app_of(req)->websearch, &searching->query, answer_web, searching);
                return;
        }
        if (err) {
                request_finish(req, reply_error(req, err));
                return;
        }
        SCOPED_JSON json_t *body =
                json_pack("{s:s, s:O}", "provider", searching->query.provider, "results", results);
        request_finish(req, reply_json(req, 200, body));
}

static struct reply search_web(struct request *req)
{
        struct web_body body = {.results = 5};
        struct websearch_query query = {.timeout_ms = WEB_TIMEOUT_MS, .trace = &req->trace};
        struct searching *searching = mem_new(req->ctx, struct searching);
        struct error err = ERROR_INIT;

        if (request_fields(req, web_fields, &body, &err) ||
            choose_provider(req, &body, &query, &err))
                return reply_error(req, &err);
        query.query = body.query;
        query.results = body.results;
        *searching = (struct searching){.req = req, .query = query};
        struct reply later = reply_later(req);

        websearch_start(app_of(req)->websearch, &searching->query, answer_web, searching);
        return later;
}

const struct route search_routes[] = {
        {METHOD_POST, "/api/v1/search/documents", 0, INPUT_BODY, search_documents, NULL},
        {METHOD_POST, "/api/v1/search/web", 0, INPUT_BODY, search_web, NULL},
        {0},
};
