/* SPDX-License-Identifier: Apache-2.0 */
/* The product's own nodes in a running engine, with documents in the store, the local engine, and
 * scripted servers in place of OpenAI and Brave. */
#include "engine/test_stage.h"
#include "net/test_stub_server.h"
#include "store/documents.h"

#define KB      "{'id':'kb','type':'knowledgeBase','data':{'top_k':2}}"
#define L(data) "{'id':'l','type':'llmEngine','data':{" data "}}"
#define CHAIN   E("q", "kb") "," E("kb", "l") "," E("l", "o")
#define CHAT    "/v1/chat/completions"

struct world {
        struct stage *stage;
        struct stub *stub;
        struct http_client *client;
        struct pool *pool;
        char openai_url[100];
};

static struct world world;

/* openai is the stub; nobody has a key for gemini. */
static enum status credential(void *arg, const void *ctx, const char *user_id, const char *provider,
                              char **ret_key, char **ret_base_url, struct error *err)
{
        (void)arg;
        (void)err;
        assert_string_equal(user_id, world.stage->bench.user.id);
        if (strcmp(provider, "gemini") == 0)
                return STATUS_OK;
        *ret_key = mem_strdup(ctx, "key-7");
        if (strcmp(provider, "openai") == 0)
                *ret_base_url = mem_strdup(ctx, world.openai_url);
        return STATUS_OK;
}

static void open_ports(struct stage *stage)
{
        struct llm_options llm = {.retry_base_ms = 10};
        struct websearch_options search = {0};

        world.stub = stub_start();
        ok(http_client_new(&world.client, &err));
        ok(pool_new("llm", 2, 100, &world.pool, &err));
        snprintf(world.openai_url, sizeof(world.openai_url), "%s",
                 stub_url(world.stub, stage->bench.ctx, "/v1"));
        llm.client = search.client = world.client;
        llm.pool = world.pool;
        search.brave_base_url = stub_url(world.stub, stage->bench.ctx, "/brave");
        ok(llm_new(&llm, &stage->services.llm, &err));
        ok(websearch_new(&search, &stage->services.websearch, &err));
        ok(vector_new(stage->bench.store, &stage->services.vector, &err));
        stage->services.credential = credential;
}

static int set_up(void **state)
{
        struct stage *stage;

        stage_set_up(state);
        stage = *state;
        world = (struct world){.stage = stage};
        open_ports(stage);
        stage_restart(stage, 0);
        return 0;
}

static int tear_down(void **state)
{
        struct stage *stage = *state;

        stage->engine = engine_free(stage->engine);
        http_client_free(world.client);
        pool_free(world.pool);
        llm_free(stage->services.llm);
        websearch_free(stage->services.websearch);
        vector_free(stage->services.vector);
        stub_stop(world.stub);
        return stage_tear_down(state);
}

/* --- Material ----------------------------------------------------------------------------------*/
static const char *const chunk_texts[] = {
        "The package manager keeps its cache in the folder /var/cache/apt. It can be emptied.",
        "A mirror holds copies of all packages. Mirrors are found in many countries.",
        "Kernel messages are shown by the program dmesg, which reads the ring buffer.",
};

static struct workflow workflow_with_document(struct stage *stage, const char *graph)
{
        struct workflow workflow = bench_workflow(&stage->bench, graph);
        struct document document = {
                .owner_id = stage->bench.user.id,
                .workflow_id = workflow.id,
                .filename = TEXT("handbook.pdf"),
                .content_type = TEXT("application/pdf"),
                .sha256 = TEXT("00"),
                .file_size = 1,
        };
        struct chunk chunks[ARRAY_LENGTH(chunk_texts)];
        char *existing = NULL;

        ok(store_create_document(stage->bench.store, &document, stage->bench.ctx, &existing, &err));
        for (size_t i = 0; i < ARRAY_LENGTH(chunk_texts); i++)
                chunks[i] = (struct chunk){
                        .id = uuid_new(mem_array(stage->bench.ctx, char, UUID_TEXT_SIZE)),
                        .ordinal = (int64_t)i,
                        .content = TEXT(chunk_texts[i]),
                        .heading = TEXT(""),
                        .page = (int64_t)i + 10,
                        .start = (int64_t)i * 100,
                        .end = (int64_t)i * 100 + (int64_t)strlen(chunk_texts[i]),
                };
        ok(store_add_chunks(stage->bench.store, document.id, workflow.id, chunks,
                            ARRAY_LENGTH(chunks), &err));
        ok(store_set_document_status(stage->bench.store, document.id, "ready", NULL, 1, 12, &err));
        return workflow;
}

static struct record ask(struct stage *stage, const struct workflow *workflow, const char *question)
{
        const struct llm_message history[] = {{"user", "Hi"}, {"assistant", "Hello there"}};
        const struct engine_request request = {.user_id = stage->bench.user.id,
                                               .workflow = workflow,
                                               .user_input = question,
                                               .history = history,
                                               .history_count = 2};
        struct play play;

        assert_int_equal(play_request(&play, stage, &request), STATUS_OK);
        play_finish(&play);
        return read_record(stage, play.id);
}

static json_t *parse(const char *text)
{
        json_t *json = NULL;

        assert_non_null(text);
        ok(json_read(text, strlen(text), &json, &err));
        return json;
}

static const char *text_at(const json_t *json, const char *path)
{
        const char *text = json_string_value(json_path(json, path));

        return text ? text : "";
}

/* --- The local engine --------------------------------------------------------------------------*/
struct streamed {
        size_t length;
        char text[4000];
};

static void gather_tokens(const struct event *event, void *arg)
{
        struct streamed *streamed = arg;
        SCOPED_JSON json_t *json = parse(event->json);

        if (strcmp(event->type, "node_token") == 0)
                streamed->length += (size_t)snprintf(streamed->text + streamed->length,
                                                     sizeof(streamed->text) - streamed->length,
                                                     "%s", text_at(json, "data.text"));
}

static void a_question_is_answered_from_the_documents(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                workflow_with_document(stage, G(Q "," KB "," L("") "," O, CHAIN));
        struct streamed streamed = {0};
        struct subscription *subscription = NULL;

        ok(events_subscribe(stage->events, workflow.id, NULL, 0, gather_tokens, &streamed,
                            &subscription, &err));
        struct record record =
                ask(stage, &workflow, "Where does the package manager keep its cache?");
        SCOPED_JSON json_t *output = parse(record.row.output);
        SCOPED_JSON json_t *passages = parse(find_step(&record, "kb")->output);

        events_unsubscribe(subscription);
        assert_string_equal(record.row.status, "completed");
        assert_holds(text_at(output, "text"), "/var/cache/apt");
        assert_string_equal(text_at(output, "citations[0].filename"), "handbook.pdf");
        assert_int_equal(json_integer_value(json_path(output, "citations[0].page")), 10);
        assert_holds(text_at(output, "citations[0].quote"), "/var/cache/apt");
        assert_int_equal(json_integer_value(json_path(passages, "passages[0].page")), 10);
        assert_string_equal(text_at(passages, "passages[0].text"), chunk_texts[0]);
        assert_string_equal(text_at(passages, "passages[0].chunk_id"),
                            text_at(output, "citations[0].chunk_id"));
        assert_holds(text_at(passages, "text"), "[1] handbook.pdf");
        assert_string_equal(streamed.text, text_at(output, "text"));
}

static void no_documents_give_a_notice(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, G(Q "," KB "," L("") "," O, CHAIN));
        struct record record = ask(stage, &workflow, "Where?");

        assert_string_equal(record.row.status, "completed");
        assert_holds(find_step(&record, "kb")->output, "\"count\":0");
        assert_holds(find_step(&record, "kb")->output, "There are no documents to search");
}

static void semantic_search_needs_a_model(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = workflow_with_document(
                stage, G(Q ",{'id':'kb','type':'knowledgeBase','data':{'mode':'semantic'}}," O,
                         E("q", "kb") "," E("kb", "o")));
        struct record record = ask(stage, &workflow, "Where?");

        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "\"node_id\":\"kb\"");
        assert_holds(record.row.error, "unprocessable");
}

/* --- A model behind the network ----------------------------------------------------------------*/
static void reply_stream(const char *path, const char *text)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer body = BUFFER_INIT(ctx, 10000);

        buffer_text(&body, "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":");
        buffer_json(&body, text);
        buffer_text(&body, "},\"finish_reason\":null}]}\n\n"
                           "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                           "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,"
                           "\"completion_tokens\":4}}\n\ndata: [DONE]\n\n");
        stub_add(world.stub, &(struct stub_reply){.path = path,
                                                  .headers = "Content-Type: text/event-stream\r\n",
                                                  .body = buffer_string(&body),
                                                  .framing = STUB_CHUNKED});
}

static void a_model_gets_passages_question_and_history(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = workflow_with_document(
                stage,
                G(Q "," KB
                    "," L("'provider':'openai','model':'m-1','system_prompt':'Be kind.'") "," O,
                  CHAIN "," E("q", "l")));

        reply_stream(CHAT, "In /var/cache/apt [1].");
        struct record record = ask(stage, &workflow, "Where is the cache?");
        const char *sent = stub_request(world.stub, stage->bench.ctx, 0);
        SCOPED_JSON json_t *output = parse(record.row.output);

        assert_string_equal(record.row.status, "completed");
        assert_string_equal(text_at(output, "text"), "In /var/cache/apt [1].");
        assert_string_equal(text_at(output, "citations[0].filename"), "handbook.pdf");
        assert_holds(record.row.usage, "\"input_tokens\":11,\"output_tokens\":4");
        assert_holds(sent, "Authorization: Bearer key-7");
        SCOPED_JSON json_t *body = parse(strstr(sent, "\r\n\r\n") + 4);

        assert_holds(text_at(body, "messages[0].content"), "Be kind.\n\nAnswer from the numbered");
        assert_string_equal(text_at(body, "messages[1].content"), "Hi");
        assert_string_equal(text_at(body, "messages[2].role"), "assistant");
        assert_holds(text_at(body, "messages[3].content"), "[1] handbook.pdf, page 10");
        assert_holds(text_at(body, "messages[3].content"), "Question: Where is the cache?");
        assert_holds(find_step(&record, "l")->output, "\"provider\":\"openai\"");
}

static void a_prompt_of_ones_own_is_kept(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = workflow_with_document(
                stage, G(Q "," KB "," L("'provider':'openai','model':'m','use_history':false,"
                                        "'prompt':'Say {{q.text}} with {{kb.text}}'") "," O,
                         CHAIN));

        reply_stream(CHAT, "ok");
        ask(stage, &workflow, "dmesg");
        SCOPED_JSON json_t *body =
                parse(strstr(stub_request(world.stub, stage->bench.ctx, 0), "\r\n\r\n") + 4);

        assert_int_equal(json_array_size(json_path(body, "messages")), 1);
        assert_memory_equal(text_at(body, "messages[0].content"), "Say dmesg with [1]", 18);
}

static void a_missing_key_is_told_in_plain_words(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, G(Q "," L("'provider':'gemini'") "," O,
                                                E("q", "l") "," E("l", "o")));
        struct record record = ask(stage, &workflow, "Why?");

        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "There is no API key for gemini");
        assert_holds(record.row.error, "GEMINI_API_KEY");
        assert_step(&record, "l", "failed", 1);
}

static void json_answers_are_checked(void **state)
{
        struct stage *stage = *state;
        const char *graph = G(
                Q
                "," L("'provider':'openai','model':'m','json_output':true,'max_attempts':1") "," O,
                E("q", "l") "," E("l", "o"));
        struct workflow workflow = bench_workflow(&stage->bench, graph);

        reply_stream(CHAT, "```json\n{\"a\":[1]}\n```");
        struct record record = ask(stage, &workflow, "Why?");

        assert_holds(find_step(&record, "l")->output, "\"json\":{\"a\":[1]}");
        stub_reset(world.stub);
        reply_stream(CHAT, "{\"a\":");
        record = ask(stage, &workflow, "Why?");
        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "asked for JSON");
        assert_holds(record.row.usage, "\"output_tokens\":4");
}

static void a_stalled_model_is_cancelled_at_once(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, G(Q "," L("'provider':'openai','model':'m'") "," O,
                                                E("q", "l") "," E("l", "o")));
        struct error err = ERROR_INIT;
        struct play play;
        int64_t start_us;

        stub_add(world.stub, &(struct stub_reply){.path = CHAT,
                                                  .headers = "Content-Type: text/event-stream\r\n",
                                                  .body = "data: {}\n\n",
                                                  .framing = STUB_CHUNKED,
                                                  .hang = true});
        play_start(&play, stage, &workflow);
        assert_true(stub_wait_requests(world.stub, 1));
        start_us = clock_monotonic_us();
        assert_int_equal(engine_cancel(stage->engine, play.id, &err), STATUS_OK);
        play_finish(&play);
        assert_true(clock_monotonic_us() - start_us < 5000000);
        assert_string_equal(read_record(stage, play.id).row.status, "cancelled");
        assert_true(stub_wait_hangups(world.stub, 1));
}

/* --- Search ------------------------------------------------------------------------------------*/
static void results_of_a_search_are_cited(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow = bench_workflow(
                &stage->bench, G(Q ",{'id':'w','type':'webSearch','data':{'num_results':2}}," L(
                                         "'provider':'openai','model':'m'") "," O,
                                 E("q", "w") "," E("w", "l") "," E("q", "l") "," E("l", "o")));

        stub_add(world.stub,
                 &(struct stub_reply){.path = "/brave",
                                      .body = "{\"type\":\"search\",\"query\":{\"original\":\"x\"},"
                                              "\"web\":{\"type\":\"search\","
                                              "\"results\":[{\"title\":\"Debian\",\"url\":\"https:/"
                                              "/example.org/a\","
                                              "\"description\":\"The universal system.\"}]}}"});
        reply_stream(CHAT, "It is universal [1].");
        struct record record = ask(stage, &workflow, "What is Debian?");
        SCOPED_JSON json_t *output = parse(record.row.output);

        assert_string_equal(record.row.status, "completed");
        assert_string_equal(text_at(output, "citations[0].url"), "https://example.org/a");
        assert_holds(find_step(&record, "w")->output, "\"results\":[{");
        assert_holds(find_step(&record, "w")->output, "The universal system.");
}

static void a_search_without_key_says_so(void **state)
{
        struct stage *stage = *state;
        struct workflow workflow =
                bench_workflow(&stage->bench, G(Q ",{'id':'w','type':'webSearch','data':{'provider'"
                                                  ":'searxng','max_attempts':1}}," O,
                                                E("q", "w") "," E("w", "o")));
        struct record record = ask(stage, &workflow, "x");

        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "\"node_id\":\"w\"");
}

/* --- Output ------------------------------------------------------------------------------------*/
static void the_output_is_what_its_node_says(void **state)
{
        struct stage *stage = *state;
        struct record record = play_through(
                stage, G(Q ",{'id':'o','type':'output','data':{'format':'json','template':"
                           "'[\\\"{{q.text}}\\\"]'}}",
                         E("q", "o")));

        assert_string_equal(record.row.output, "{\"text\":\"[\\\"hello\\\"]\",\"citations\":[],"
                                               "\"format\":\"json\",\"json\":[\"hello\"]}");
        record = play_through(
                stage, G(Q ",{'id':'o','type':'output','data':{'format':'json'}}", E("q", "o")));
        assert_string_equal(record.row.status, "failed");
        assert_holds(record.row.error, "The output should be JSON");
}

#define in_world(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                in_world(a_question_is_answered_from_the_documents),
                in_world(no_documents_give_a_notice),
                in_world(semantic_search_needs_a_model),
                in_world(a_model_gets_passages_question_and_history),
                in_world(a_prompt_of_ones_own_is_kept),
                in_world(a_missing_key_is_told_in_plain_words),
                in_world(json_answers_are_checked),
                in_world(a_stalled_model_is_cancelled_at_once),
                in_world(results_of_a_search_are_cited),
                in_world(a_search_without_key_says_so),
                in_world(the_output_is_what_its_node_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
