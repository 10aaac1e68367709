/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those above. */
#include <string.h>

#include "base/clock.h"
#include "engine/graph.h"

#include <cmocka.h>

#define Q       "{'id':'q','type':'userQuery','position':{'x':1,'y':2},'data':{'label':'x'}}"
#define KB      "{'id':'kb','type':'knowledgeBase','data':{'top_k':3}}"
#define L       "{'id':'l','type':'llmEngine'}"
#define O       "{'id':'o','type':'output','data':null}"
#define E(s, t) "{'id':'e-" s t "','source':'" s "','target':'" t "'}"
#define CHAIN   E("q", "kb") "," E("kb", "l") "," E("l", "o")

struct fixture {
        void *ctx;
        json_t *data;
        struct problems *problems;
        struct graph *graph;
};

static json_t *parse(const void *ctx, const char *text)
{
        char *copy = mem_strdup(ctx, text);
        struct error err = ERROR_INIT;
        json_t *json = NULL;

        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        assert_int_equal(json_read(copy, strlen(copy), &json, &err), STATUS_OK);
        return json;
}

static struct fixture compile(const char *nodes, const char *edges)
{
        struct fixture f = {.ctx = mem_root()};

        f.data = parse(f.ctx, mem_printf(f.ctx, "{'nodes':[%s],'edges':[%s],'viewport':{}}", nodes,
                                         edges));
        f.problems = problems_new(f.ctx);
        f.graph = graph_compile(f.data, f.problems);
        return f;
}

static void done(struct fixture *f)
{
        graph_unref(f->graph);
        json_decref(f->data);
        mem_free(f->ctx);
}

static const struct problem *find_problem(const struct problems *problems, const char *node_id,
                                          const char *path, const char *part)
{
        for (size_t i = 0; i < problems->count; i++) {
                const struct problem *problem = &problems->items[i];

                if (strcmp(problem->path, path) == 0 && strstr(problem->message, part) &&
                    (node_id ? problem->node_id && strcmp(problem->node_id, node_id) == 0
                             : !problem->node_id))
                        return problem;
        }
        for (size_t i = 0; i < problems->count; i++)
                print_message("%s %s: %s\n",
                              problems->items[i].node_id ? problems->items[i].node_id : "-",
                              problems->items[i].path, problems->items[i].message);
        return NULL;
}

static void assert_problem(const char *nodes, const char *edges, const char *node_id,
                           const char *path, const char *part)
{
        struct fixture f = compile(nodes, edges);

        assert_null(f.graph);
        assert_non_null(find_problem(f.problems, node_id, path, part));
        done(&f);
}

static void assert_good(const char *nodes, const char *edges)
{
        struct fixture f = compile(nodes, edges);

        if (!f.graph)
                find_problem(f.problems, NULL, "", "");
        assert_non_null(f.graph);
        done(&f);
}

static void a_chain_compiles_with_defaults_and_inferred_handles(void **state)
{
        struct fixture f = compile(Q "," KB "," L "," O, CHAIN "," E("q", "l"));

        (void)state;
        assert_non_null(f.graph);
        assert_int_equal(f.problems->count, 0);
        assert_int_equal(f.graph->node_count, 4);
        assert_int_equal(f.graph->edge_count, 4);
        const struct graph_node *kb = &f.graph->nodes[1], *l = &f.graph->nodes[2];

        assert_string_equal(kb->type->type, "knowledgeBase");
        assert_int_equal(f.graph->nodes[3].order, 3);
        assert_int_equal(json_get_int(kb->params, "top_k", 0), 3);
        assert_string_equal(json_get_text(kb->params, "mode", ""), "hybrid");
        assert_null(json_object_get(kb->params, "label"));
        assert_int_equal(kb->timeout_ms, 60000);
        assert_int_equal(kb->max_attempts, 1);
        assert_int_equal(l->timeout_ms, 300000);
        assert_int_equal(l->max_attempts, 1);
        assert_int_equal(l->incoming_count, 2);
        assert_string_equal(f.graph->edges[l->incoming[0]].target_port, "context");
        assert_string_equal(f.graph->edges[l->incoming[0]].source_port, "context");
        assert_string_equal(f.graph->edges[l->incoming[1]].target_port, "query");
        assert_string_equal(f.graph->edges[l->outgoing[0]].source_port, "answer");
        assert_ptr_equal(graph_ref(f.graph), f.graph);
        assert_null(graph_unref(f.graph));
        done(&f);
}

static void settings_of_every_node_are_read(void **state)
{
        struct fixture f = compile(
                Q
                ",{'id':'kb','type':'knowledgeBase','data':{'timeout_seconds':1.5,'max_attempts':4,"
                "'on_error':'default','default_output':'none'}}," O,
                E("q", "kb") "," E("kb", "o"));
        const struct graph_node *kb;

        (void)state;
        assert_non_null(f.graph);
        kb = &f.graph->nodes[1];
        assert_int_equal(kb->timeout_ms, 1500);
        assert_int_equal(kb->max_attempts, 4);
        assert_int_equal(kb->on_error, ON_ERROR_DEFAULT);
        assert_string_equal(json_get_text(kb->default_output, "text", ""), "none");
        done(&f);
}

static void nodes_need_ids_and_known_types(void **state)
{
        (void)state;
        assert_problem(Q "," O ",{'id':'n','type':'stickyNote'}", E("q", "o"), "n", "nodes[2].type",
                       "stickyNote");
        assert_problem(Q "," O ",{'id':'n'}", E("q", "o"), "n", "nodes[2].type", "must name");
        assert_problem(Q "," O ",{'type':'output'}", E("q", "o"), NULL, "nodes[2].id", "1 to 100");
        assert_problem(Q "," O "," L ",{'id':'q','type':'output'}", E("q", "o"), NULL,
                       "nodes[3].id", "\"q\" is also the id of nodes[0]");
        assert_problem(Q "," O ",7", E("q", "o"), NULL, "nodes[2].id", "1 to 100");
}

static void edges_need_ends_and_ports_that_fit(void **state)
{
        (void)state;
        assert_problem(Q "," O, E("q", "zz"), NULL, "edges[0].target", "zz");
        assert_problem(Q "," O, "{'target':'o'}", NULL, "edges[0].source", "must be");
        assert_problem(Q "," O, "{'source':'q','target':'o','targetHandle':'in'}", "o",
                       "edges[0].targetHandle", "has no input \"in\"; it has: input");
        assert_problem(Q "," O, "{'source':'q','target':'o','sourceHandle':'out'}", "q",
                       "edges[0].sourceHandle", "it has: text");
        assert_problem(Q "," O, "{'source':'q','target':'o','sourceHandle':5}", NULL,
                       "edges[0].sourceHandle", "must be a text");
        assert_problem(Q "," L "," O,
                       "{'source':'q','target':'l','targetHandle':'context'}," E("l", "o"), "l",
                       "edges[0].targetHandle", "does not fit");
        assert_problem(Q "," O, E("q", "o") "," E("o", "q"), "q", "edges[1]", "does not fit");
        assert_problem(Q "," O, E("q", "o") "," E("q", "o"), "o", "edges[1]", "another edge");
        assert_good(Q "," O,
                    "{'source':'q','target':'o','sourceHandle':'text','targetHandle':'input'}");
}

static void inputs_are_counted(void **state)
{
        (void)state;
        assert_problem(Q "," KB "," L "," O, E("q", "l") "," E("kb", "l") "," E("l", "o"), "kb",
                       "nodes[1]", "\"query\" is not connected");
        assert_problem(Q ",{'id':'p','type':'userQuery'}," KB "," O,
                       E("q", "kb") "," E("p", "kb") "," E("kb", "o"), "kb", "nodes[2]",
                       "takes one edge, not 2");
}

static void an_error_output_needs_its_setting(void **state)
{
        const char *edges = E("q", "l") "," E("l", "o") ",{'source':'l','sourceHandle':'error',"
                                                        "'target':'o'}";

        (void)state;
        assert_problem(Q "," L "," O, edges, "l", "edges[2].sourceHandle", "on_error");
        assert_good(Q ",{'id':'l','type':'llmEngine','data':{'on_error':'branch'}}," O, edges);
        assert_problem("{'id':'q','type':'userQuery','data':{'on_error':'branch'}}," O, E("q", "o"),
                       "q", "nodes[0].data.on_error", "no error output");
        assert_problem(Q ",{'id':'l','type':'llmEngine','data':{'on_error':'default'}}," O,
                       E("q", "l") "," E("l", "o"), "l", "nodes[1].data.default_output", "object");
}

static void parameters_are_checked(void **state)
{
        static const struct {
                const char *type, *data, *path, *part;
        } cases[] = {
                {"knowledgeBase", "{'top_k':0}", ".data.top_k", "between 1 and 50"},
                {"knowledgeBase", "{'top_k':2.5}", ".data.top_k", "whole number"},
                {"knowledgeBase", "{'top_k':'5'}", ".data.top_k", "whole number"},
                {"knowledgeBase", "{'min_score':2}", ".data.min_score", "between 0 and 1"},
                {"knowledgeBase", "{'mode':'fuzzy'}", ".data.mode", "hybrid, keyword, semantic"},
                {"knowledgeBase", "{'mode':3}", ".data.mode", "must be one of"},
                {"knowledgeBase", "{'document_ids':'x'}", ".data.document_ids", "array"},
                {"knowledgeBase", "{'document_ids':['019a5c22-2222-7ccc-9ddd-0123456789ab','x']}",
                 ".data.document_ids[1]", "document id"},
                {"knowledgeBase", "{'query':'{{q.text'}", ".data.query", "not closed"},
                {"knowledgeBase", "{'timeout_seconds':0}", ".data.timeout_seconds", "between"},
                {"knowledgeBase", "{'timeout_seconds':'a'}", ".data.timeout_seconds", "number"},
                {"knowledgeBase", "{'max_attempts':11}", ".data.max_attempts", "between 1 and 10"},
                {"knowledgeBase", "{'on_error':'ignore'}", ".data.on_error",
                 "fail, default, branch"},
                {"llmEngine", "{'use_history':'yes'}", ".data.use_history", "true or false"},
                {"llmEngine", "{'model':5}", ".data.model", "must be a text"},
                {"llmEngine", "[]", ".data", "must be an object"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
                SCOPED_MEM void *ctx = mem_root();

                assert_problem(mem_printf(ctx, Q ",{'id':'n','type':'%s','data':%s}," O,
                                          cases[i].type, cases[i].data),
                               E("q", "n") "," E("n", "o"), "n",
                               mem_printf(ctx, "nodes[1]%s", cases[i].path), cases[i].part);
        }
        assert_good(Q
                    ",{'id':'kb','type':'knowledgeBase','data':{'mode':'','top_k':null,'top_k2':1,"
                    "'query':''}}," O,
                    E("q", "kb") "," E("kb", "o"));
}

static void long_texts_are_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        char *text = mem_array(ctx, char, 100002);

        (void)state;
        memset(text, 'a', 100001);
        assert_problem(
                mem_printf(ctx, Q ",{'id':'l','type':'llmEngine','data':{'prompt':'%s'}}," O, text),
                E("q", "l") "," E("l", "o"), "l", "nodes[1].data.prompt", "longer than");
}

static void cycles_are_named(void **state)
{
        static const char *const nodes = Q ",{'id':'a','type':'llmEngine'},{'id':'b','type':'"
                                           "llmEngine'},{'id':'c','type':'llmEngine'}," O;

        (void)state;
        assert_problem(nodes, E("q", "o") "," E("a", "b") "," E("b", "c") "," E("c", "a"), "a",
                       "nodes[1]", "a -> b -> c -> a");
        assert_problem(nodes, E("q", "o") "," E("a", "a"), "a", "nodes[1]", "a -> a");
}

static void starts_and_outputs_must_be_joined(void **state)
{
        (void)state;
        assert_problem("", "", NULL, "nodes", "no user query");
        assert_problem(L "," O, E("l", "o"), NULL, "nodes", "no user query");
        assert_problem(Q "," L, E("q", "l"), NULL, "nodes", "no output");
        assert_problem(Q "," L "," O, E("l", "o"), "o", "nodes[2]", "The output is not reached");
        assert_problem(Q "," L "," O, E("q", "o"), "l", "nodes[1]", "The node is not reached");
}

static void templates_look_back(void **state)
{
#define WITH(prompt) Q "," KB ",{'id':'l','type':'llmEngine','data':{'prompt':'" prompt "'}}," O
        (void)state;
        assert_problem(WITH("{{zz.text}}"), CHAIN, "l", "nodes[2].data.prompt",
                       "{{zz.text}} names no node");
        assert_problem(WITH("{{o.text}}"), CHAIN, "l", "nodes[2].data.prompt",
                       "does not come before");
        assert_problem(WITH("{{l}}"), CHAIN, "l", "nodes[2].data.prompt",
                       "{{l}} names a node that does");
        struct fixture f = compile(WITH("{{q.text}} {{kb.passages[0].text}} {{q}}"), CHAIN);

        assert_non_null(f.graph);
        assert_true(f.graph->nodes[2].has_templates);
        assert_int_equal(f.graph->nodes[2].named_count, 2);
        assert_int_equal(f.graph->nodes[2].named[1], 1);
        assert_false(f.graph->nodes[3].has_templates);
        done(&f);
}

static void shapes_are_checked(void **state)
{
        static const struct {
                const char *text, *path;
        } cases[] = {
                {"[]", "workflow_data"},
                {"{'nodes':[]}", "workflow_data.edges"},
                {"{'nodes':{},'edges':[]}", "workflow_data.nodes"},
                {"{'nodes':[1],'edges':[]}", "workflow_data.nodes[0]"},
                {"{'nodes':[{'id':''}],'edges':[]}", "workflow_data.nodes[0].id"},
                {"{'nodes':[],'edges':[{'source':'a'}]}", "workflow_data.edges[0].target"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
                SCOPED_MEM void *ctx = mem_root();
                SCOPED_JSON json_t *data = parse(ctx, cases[i].text);
                struct problems *problems = problems_new(ctx);
                struct error err = ERROR_INIT;

                assert_int_equal(graph_check_shape(data, problems, &err), STATUS_INVALID);
                assert_string_equal(problems->items[0].path, cases[i].path);
                assert_null(graph_compile(data, problems));
        }
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *data = parse(
                ctx, "{'nodes':[{'id':'a','type':'other'}],'edges':[],'viewport':{'zoom':1}}");
        struct problems *problems = problems_new(ctx);
        struct error err = ERROR_INIT;

        assert_int_equal(graph_check_shape(data, problems, &err), STATUS_OK);
        assert_int_equal(problems->count, 0);
        assert_null(graph_find_params(data, "knowledgeBase"));
        assert_null(graph_find_params(NULL, "knowledgeBase"));
}

/* A chain of `count` models behind a query, closed to a ring if asked. */
static json_t *long_chain(size_t count, bool ring)
{
        json_t *nodes = json_array(), *edges = json_array();
        char id[32], last[32] = "q";

        json_array_append_new(nodes, json_pack("{s:s,s:s}", "id", "q", "type", "userQuery"));
        for (size_t i = 0; i < count; i++) {
                snprintf(id, sizeof(id), "n%zu", i);
                json_array_append_new(nodes, json_pack("{s:s,s:s}", "id", id, "type", "llmEngine"));
                json_array_append_new(edges, json_pack("{s:s,s:s}", "source", last, "target", id));
                memcpy(last, id, sizeof(last));
        }
        json_array_append_new(nodes, json_pack("{s:s,s:s}", "id", "o", "type", "output"));
        json_array_append_new(edges, json_pack("{s:s,s:s}", "source", last, "target", "o"));
        if (ring) {
                json_object_set_new(json_array_get(edges, 0), "source", json_string(last));
                json_array_append_new(edges, json_pack("{s:s,s:s}", "source", "q", "target", "o"));
        }
        return json_pack("{s:o,s:o}", "nodes", nodes, "edges", edges);
}

static void large_graphs_answer_quickly(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct problems *problems = problems_new(ctx);
        SCOPED_JSON json_t *huge = long_chain(4998, false), *ring = long_chain(998, true);
        SCOPED_JSON json_t *full = long_chain(998, false);
        int64_t start = clock_monotonic_us();

        (void)state;
        assert_null(graph_compile(huge, problems));
        assert_non_null(find_problem(problems, NULL, "nodes", "5000 nodes; at most 1000"));
        assert_null(graph_compile(ring, problems));
        assert_non_null(find_problem(problems, "n0", "nodes[1]", "(998 nodes)"));
        problems = problems_new(ctx);
        struct graph *graph = graph_compile(full, problems);

        assert_non_null(graph);
        graph_unref(graph);
        /* Far above what linear work takes, far below what quadratic work would. */
        assert_true(clock_monotonic_us() - start < 2000000);
}

static void the_table_is_complete_json(void **state)
{
        SCOPED_JSON json_t *types = node_types_json();
        const json_t *type;
        size_t i;

        (void)state;
        assert_int_equal(json_array_size(types), 5);
        json_array_foreach (types, i, type) {
                assert_ptr_equal(node_type_find(json_get_text(type, "type", "")), node_types[i]);
                assert_true(json_is_array(json_object_get(type, "inputs")));
                assert_true(json_is_array(json_object_get(type, "outputs")));
                assert_true(json_array_size(json_object_get(type, "parameters")) >= 4);
        }
        assert_int_equal(json_integer_value(json_path(types, "[1].parameters[1].default")), 5);
        assert_string_equal(json_string_value(json_path(types, "[1].parameters[3].options[2]")),
                            "semantic");
        assert_null(node_type_find("nothing"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_chain_compiles_with_defaults_and_inferred_handles),
                cmocka_unit_test(settings_of_every_node_are_read),
                cmocka_unit_test(nodes_need_ids_and_known_types),
                cmocka_unit_test(edges_need_ends_and_ports_that_fit),
                cmocka_unit_test(inputs_are_counted),
                cmocka_unit_test(an_error_output_needs_its_setting),
                cmocka_unit_test(parameters_are_checked),
                cmocka_unit_test(long_texts_are_refused),
                cmocka_unit_test(cycles_are_named),
                cmocka_unit_test(starts_and_outputs_must_be_joined),
                cmocka_unit_test(templates_look_back),
                cmocka_unit_test(shapes_are_checked),
                cmocka_unit_test(large_graphs_answer_quickly),
                cmocka_unit_test(the_table_is_complete_json),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
