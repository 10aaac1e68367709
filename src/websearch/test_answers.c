/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers without a network: what is sent, and what is made of what comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "websearch/websearch_internal.h"

#include <cmocka.h>

static int set_up(void **state)
{
        *state = mem_root();
        return 0;
}

static int tear_down(void **state)
{
        mem_free(*state);
        return 0;
}

/* --- Questions ---------------------------------------------------------------------------------*/
static enum status fill(const void *ctx, const struct websearch_query *query,
                        const char *configured, struct question *ret)
{
        struct error err = ERROR_INIT;
        enum status status = websearch_question_fill(ctx, query, configured, ret, &err);

        assert_int_equal(err.status, status);
        assert_int_equal(*err.message != '\0', status != STATUS_OK);
        return status;
}

static char *url_of(const void *ctx, const struct websearch_query *query, const char *configured)
{
        struct http_header headers[WEBSEARCH_HEADERS];
        struct question question;

        assert_int_equal(fill(ctx, query, configured, &question), STATUS_OK);
        return websearch_question_url(ctx, &question, headers);
}

static void asks_as_each_provider_wants(void **state)
{
        struct websearch_query brave = {.provider = "brave",
                                        .api_key = " secret-1\n",
                                        .query = "R&D = 100% naïve? #1",
                                        .results = 7};
        struct websearch_query serpapi = {
                .provider = "serpapi", .api_key = "secret 2&", .query = "a b", .results = 3};
        struct websearch_query searxng = {.provider = "searxng", .query = "a+b", .results = 3};
        struct http_header headers[WEBSEARCH_HEADERS];
        struct question question;

        assert_int_equal(fill(*state, &brave, NULL, &question), STATUS_OK);
        assert_true(question.own_base);
        assert_string_equal(
                websearch_question_url(*state, &question, headers),
                "https://api.search.brave.com/res/v1/web/search?q=R%26D%20%3D%20100%25%20na%C3%AFve"
                "%3F%20%231&count=7&text_decorations=false&result_filter=web%2Cquery");
        assert_string_equal(headers[0].name, "X-Subscription-Token");
        assert_string_equal(headers[0].value, "secret-1");
        assert_null(headers[2].name);
        assert_string_equal(
                url_of(*state, &serpapi, NULL),
                "https://serpapi.com/search.json?q=a%20b&engine=google&api_key=secret%202%26");
        assert_string_equal(url_of(*state, &searxng, "http://search.lan:8080"),
                            "http://search.lan:8080/search?q=a%2Bb&format=json");
}

static void takes_base_urls_in_every_form(void **state)
{
        static const char *const forms[] = {
                "http://lan:8080/sx",        "http://lan:8080/sx/",        "http://lan:8080/sx//",
                "http://lan:8080/sx/search", "http://lan:8080/sx/search/",
        };
        struct websearch_query query = {.provider = "searxng", .query = "x", .results = 1};
        struct websearch_query brave = {.provider = "brave", .api_key = "k", .query = "x"};
        struct question question;

        for (size_t i = 0; i < ARRAY_LENGTH(forms); i++)
                assert_string_equal(url_of(*state, &query, forms[i]),
                                    "http://lan:8080/sx/search?q=x&format=json");
        query.base_url = "https://mine";
        assert_string_equal(url_of(*state, &query, "http://lan"),
                            "https://mine/search?q=x&format=json");
        query.base_url = "";
        assert_string_equal(url_of(*state, &query, "http://lan"),
                            "http://lan/search?q=x&format=json");
        assert_int_equal(fill(*state, &brave, "http://127.0.0.1:9/res/v1/", &question), STATUS_OK);
        assert_string_equal(question.base_url, "http://127.0.0.1:9");
        assert_false(question.own_base);
}

static void says_what_is_not_set_up(void **state)
{
        static const char *const bad[] = {"lan:8080",        "ftp://lan",  "http://",
                                          "http:///search",  "/search",    "http://lan/?a=b",
                                          "http://lan/#top", "http://a b", "http://lan\nx"};
        struct websearch_query query = {.provider = "searxng", .query = "x", .results = 1};
        struct question question;
        struct error err = ERROR_INIT;

        assert_int_equal(websearch_question_fill(*state, &query, NULL, &question, &err),
                         STATUS_UNPROCESSABLE);
        assert_non_null(strstr(err.message, "SEARXNG_URL"));
        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
                assert_int_equal(fill(*state, &query, bad[i], &question), STATUS_UNPROCESSABLE);
        query.provider = "brave";
        assert_int_equal(websearch_question_fill(*state, &query, NULL, &question, &err),
                         STATUS_UNPROCESSABLE);
        assert_non_null(strstr(err.message, "BRAVE_API_KEY"));
        query.api_key = " \n";
        assert_int_equal(fill(*state, &query, NULL, &question), STATUS_UNPROCESSABLE);
        query.api_key = "key";
        query.query = " \n\t";
        assert_int_equal(fill(*state, &query, NULL, &question), STATUS_INVALID);
        query.query = NULL;
        assert_int_equal(fill(*state, &query, NULL, &question), STATUS_INVALID);
        query.provider = "altavista";
        assert_int_equal(fill(*state, &query, NULL, &question), STATUS_INVALID);
        query.provider = NULL;
        assert_int_equal(fill(*state, &query, NULL, &question), STATUS_INVALID);
}

static size_t characters(const char *text)
{
        size_t count = 0;

        for (; *text; text++)
                count += ((unsigned char)*text & 0xc0) != 0x80;
        return count;
}

static const char *query_of(const void *ctx, const char *provider, const char *text)
{
        const struct websearch_query query = {
                .provider = provider, .api_key = "k", .query = text, .results = 1};
        struct question question;

        assert_int_equal(fill(ctx, &query, "http://lan", &question), STATUS_OK);
        return question.query;
}

static char *repeat(const void *ctx, const char *text, size_t times)
{
        struct buffer out = BUFFER_INIT(ctx, 1 << 20);

        while (times-- > 0)
                buffer_text(&out, text);
        return out.data;
}

static void cuts_queries_to_what_providers_take(void **state)
{
        const char *words = repeat(*state, "né ", 300);
        const char *cut;

        assert_string_equal(query_of(*state, "brave", " two\n\n\twords\xc2\xa0more \x01"),
                            "two words more");
        assert_string_equal(query_of(*state, "brave",
                                     "a\xff"
                                     "b\xc3"),
                            "a b");
        cut = query_of(*state, "brave", words);
        assert_int_equal(characters(cut), 50 * 3 - 1);
        assert_string_equal(query_of(*state, "brave", repeat(*state, "né ", 50)), cut);
        cut = query_of(*state, "searxng", words);
        assert_int_equal(characters(cut), 133 * 3 - 1);
        assert_string_equal(cut + strlen(cut) - strlen(" né"), " né");
        cut = query_of(*state, "brave", repeat(*state, "wörd wörd wörd ", 2));
        assert_string_equal(cut, "wörd wörd wörd wörd wörd wörd");
        assert_int_equal(characters(query_of(*state, "brave", repeat(*state, "語", 1000))), 400);
        cut = query_of(*state, "brave", mem_printf(*state, "2026 %s", repeat(*state, "語", 1000)));
        assert_int_equal(characters(cut), 400);
        cut = query_of(*state, "brave", repeat(*state, "x", 400));
        assert_int_equal(strlen(cut), 400);
        assert_string_equal(query_of(*state, "brave", mem_printf(*state, "%s y", cut)), cut);
}

static char *cache_key(const void *ctx, const char *provider, const char *key, const char *base,
                       const char *text, int64_t results)
{
        const struct websearch_query query = {.provider = provider,
                                              .api_key = key,
                                              .base_url = base,
                                              .query = text,
                                              .results = results};
        struct question question;

        assert_int_equal(fill(ctx, &query, NULL, &question), STATUS_OK);
        return websearch_question_cache_key(ctx, &question);
}

static void keeps_answers_apart(void **state)
{
        const char *keys[] = {
                cache_key(*state, "brave", "key-1", "http://a", "cats", 5),
                cache_key(*state, "serpapi", "key-1", "http://a", "cats", 5),
                cache_key(*state, "searxng", "key-1", "http://a", "cats", 5),
                cache_key(*state, "brave", "key-2", "http://a", "cats", 5),
                cache_key(*state, "brave", "key-1", "http://b", "cats", 5),
                cache_key(*state, "brave", "key-1", "http://a", "dogs", 5),
                cache_key(*state, "brave", "key-1", "http://a", "cats", 6),
        };

        for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
                assert_null(strstr(keys[i], "key-"));
                assert_null(strstr(keys[i], "cats"));
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(keys[i], keys[j]);
        }
        assert_string_equal(keys[0],
                            cache_key(*state, "brave", " key-1 ", "http://a/", "  cats\n", 5));
}

/* --- Plain text --------------------------------------------------------------------------------*/
static void makes_text_plain(void **state)
{
        static const char *const cases[][2] = {
                {"", ""},
                {"  plain \n text ", "plain text"},
                {"Tom &amp; Jerry &lt;3 <strong>mark</strong>up", "Tom & Jerry <3 markup"},
                {"&quot;q&quot; &#39;t&#39; &#x2014; &eacute;nd &hellip; &#128512;",
                 "\"q\" 't' — énd … 😀"},
                {"a<script>alert(1)</script>b<style>p{}</style>c", "a b c"},
                {"a<iframe><b>x</b></iframe>b", "a b"},
                {"one<br>two<p>three</p>four<li>five", "one two three four five"},
                {"na<em>ï</em>ve", "naïve"},
                {"<b><i>nested</b> wrongly</i> &amp", "nested wrongly &"},
                {"a < b && c > d", "a < b && c > d"},
                {"R&D at AT&T &unknown; &#0; &#xD800;",
                 "R&D at AT&T &unknown; \xef\xbf\xbd \xef\xbf\xbd"},
                {"std::vector<int> and map<K,V>", "std::vector<int> and map<K,V>"},
                {"<x onclick=alert(1)>held</x>", "held"},
                {"<!-- comment -->text<!doctype x>", "text"},
                {"<table><tr><td>a<td>b</table>", "a b"},
                {"cut <b", "cut"},
                {"line\xe2\x80\xa8separator\x7f!", "line separator !"},
                {"&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>"},
                {"<title>in a title</title> <textarea><b></textarea>", "in a title <b>"},
        };

        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
                assert_string_equal(websearch_plain_text(*state, cases[i][0], 1000), cases[i][1]);
        assert_string_equal(websearch_plain_text(*state, "né née", 2), "n");
        assert_string_equal(websearch_plain_text(*state, "n&eacute;", 3), "né");
        assert_string_equal(websearch_plain_text(*state, "one two", 4), "one");
}

/* Work and depth are bounded, whatever is in the text. */
static void survives_hostile_markup(void **state)
{
        static const char *const pieces[] = {"<b>",      "<div>",       "<a x=1>",      "</p>",
                                             "<p><b a>", "<!--",        "&nGt;",        "<svg>",
                                             "<table>",  "<x>",         "<select>",     "&#",
                                             "<b><p>",   "<nobr><div>", "<font a=b><p>"};

        for (size_t i = 0; i < ARRAY_LENGTH(pieces); i++) {
                char *html = repeat(*state, pieces[i], 200000 / strlen(pieces[i]));

                assert_in_range(strlen(websearch_plain_text(*state, html, 2000)), 0, 2000);
        }
}

/* --- Answers -----------------------------------------------------------------------------------*/
static struct question question_for(const struct websearch_ops *ops)
{
        return (struct question){.ops = ops,
                                 .base_url = "http://x",
                                 .api_key = ops->needs_key ? "secret-4711" : NULL,
                                 .query = "private question",
                                 .results = 20};
}

/* Reads an answer of status 200; must be results. */
static json_t *results_of(const struct websearch_ops *ops, const char *body)
{
        const struct question question = question_for(ops);
        const struct answer answer = {.status = 200, .body = body, .length = strlen(body)};
        struct refusal refusal;
        json_t *results = NULL;

        assert_int_equal(websearch_answer_read(&question, &answer, &results, &refusal), STATUS_OK);
        assert_int_equal(refusal.error.status, STATUS_OK);
        return results;
}

static void assert_json(const json_t *json, const char *text)
{
        SCOPED_FREE char *dumped = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

        assert_string_equal(dumped, text);
}

static void reads_brave(void **state)
{
        SCOPED_JSON json_t *results = results_of(
                &brave_ops,
                "{\"type\":\"search\",\"query\":{\"original\":\"x\"},\"web\":{\"results\":["
                "{\"title\":\"A &amp; B\",\"url\":\"https://a.example/1?x=1&y=2\","
                "\"description\":\"The <strong>text</strong>\",\"age\":\"2 days ago\","
                "\"page_age\":\"2026-11-01T12:00:00\",\"profile\":{\"name\":\"Site A\"}},"
                "{\"title\":\"B\",\"url\":\"http://b.example\",\"description\":\"t\","
                "\"age\":\"2 days ago\",\"meta_url\":{\"hostname\":\"www.b.example\"}}]}}");
        SCOPED_JSON json_t *none = results_of(&brave_ops, "{\"type\":\"search\",\"query\":{}}");
        SCOPED_JSON json_t *null = results_of(&brave_ops, "{\"type\":\"search\",\"web\":null}");

        (void)state;
        assert_json(results,
                    "[{\"rank\":1,\"title\":\"A & B\",\"url\":\"https://a.example/1?x=1&y=2\","
                    "\"snippet\":\"The text\",\"date\":\"2026-11-01T12:00:00\",\"source\":\"Site "
                    "A\"},{\"rank\":2,\"title\":\"B\",\"url\":\"http://b.example\",\"snippet\":"
                    "\"t\",\"date\":\"2 days ago\",\"source\":\"www.b.example\"}]");
        assert_json(none, "[]");
        assert_json(null, "[]");
}

static void reads_serpapi(void **state)
{
        SCOPED_JSON json_t *results = results_of(
                &serpapi_ops,
                "{\"search_metadata\":{\"status\":\"Success\"},\"organic_results\":[{\"position\":"
                "4,\"title\":\"T\",\"link\":\"https://a.example/\",\"redirect_link\":"
                "\"https://www.google.com/url?q=x\",\"source\":\"Site\",\"date\":\"Nov 1, 2026\"},"
                "{\"title\":\"no link\"},{\"title\":\"U\",\"link\":\"https://b.example/\","
                "\"snippet\":\"s\"}]}");
        SCOPED_JSON json_t *none = results_of(
                &serpapi_ops,
                "{\"search_metadata\":{\"status\":\"Success\"},\"error\":\"Google hasn't returned "
                "any results for this query.\"}");
        SCOPED_JSON json_t *other =
                results_of(&serpapi_ops, "{\"search_metadata\":{\"status\":\"Success\"}}");

        (void)state;
        assert_json(results,
                    "[{\"rank\":1,\"title\":\"T\",\"url\":\"https://a.example/\",\"snippet\":\"\","
                    "\"date\":\"Nov 1, 2026\",\"source\":\"Site\"},{\"rank\":2,\"title\":\"U\","
                    "\"url\":\"https://b.example/\",\"snippet\":\"s\",\"date\":null,\"source\":"
                    "\"b.example\"}]");
        assert_json(none, "[]");
        assert_json(other, "[]");
}

static void reads_searxng(void **state)
{
        SCOPED_JSON json_t *results = results_of(
                &searxng_ops,
                "{\"query\":\"x\",\"results\":[{\"url\":\"https://a.example/\",\"title\":\"T\","
                "\"content\":\"c\",\"publishedDate\":null,\"engine\":\"brave\"},{\"url\":"
                "\"https://b.example/\",\"title\":\"\",\"content\":null,\"publishedDate\":"
                "\"2026-11-01T12:00:00\"}],\"unresponsive_engines\":[]}");
        SCOPED_JSON json_t *none = results_of(
                &searxng_ops, "{\"results\":[],\"unresponsive_engines\":[[\"x\",\"y\"]]}");

        (void)state;
        assert_json(results,
                    "[{\"rank\":1,\"title\":\"T\",\"url\":\"https://a.example/\",\"snippet\":\"c\","
                    "\"date\":null,\"source\":\"a.example\"},{\"rank\":2,\"title\":\"b.example\","
                    "\"url\":\"https://b.example/\",\"snippet\":\"\",\"date\":"
                    "\"2026-11-01T12:00:00\",\"source\":\"b.example\"}]");
        assert_json(none, "[]");
}

/* The address of a result that has it as given, or NULL if the result was dropped. */
static const char *address_of(const void *ctx, const char *given)
{
        SCOPED_JSON json_t *json = json_pack("{s:[{s:s}]}", "results", "url", given);
        SCOPED_JSON json_t *results = results_of(&searxng_ops, json_write(ctx, json));

        return mem_strdup(ctx, json_string_value(json_path(results, "[0].url")));
}

static void drops_links_that_are_no_web_addresses(void **state)
{
        static const char *const bad[] = {
                "javascript:alert(1)",
                "JavaScript:alert(1)",
                "data:text/html,x",
                "ftp://a.example/",
                "file:///etc/passwd",
                "//a.example/",
                "/relative",
                "a.example",
                "",
                "https://",
                "https://u:p@bank.example/",
                "https://a b.example/",
                "https://a.example/\n",
                "https://a.example:99999/",
                " https://a.example/",
                "https://a|b.example/",
                "https://a%00.example/",
                "https://a\"b/",
                "https://a%3Cb/",
                "https:/a.example/",
                "https:///a.example/",
                "https:a.example",
                "https://a.example\\@b",
                "http:",
        };
        static const char *const kept[] = {
                "https://a.example",
                "HTTPS://A.example/Path?q=a+b&c=%C3%A9#frag",
                "http://127.0.0.1:8080/x",
                "http://[::1]/x",
                "https://a.example/(x)_y!*';:@,$~",
        };
        static const char *const changed[][2] = {
                {"https://a.example/é", "https://a.example/%C3%A9"},
                {"https://a.example/a b|c^d", "https://a.example/a%20b%7Cc%5Ed"},
                {"https://a.example/a[]=1&b=%zz", "https://a.example/a%5B%5D=1&b=%25zz"},
                {"https://a.example/<script>\"", "https://a.example/%3Cscript%3E%22"},
                {"https://a.example/#a#b", "https://a.example/#a%23b"},
                {"https://bücher.example/ü", "https://b%C3%BCcher.example/%C3%BC"},
        };

        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
                assert_null(address_of(*state, bad[i]));
        for (size_t i = 0; i < ARRAY_LENGTH(kept); i++)
                assert_string_equal(address_of(*state, kept[i]), kept[i]);
        for (size_t i = 0; i < ARRAY_LENGTH(changed); i++) {
                const char *address = address_of(*state, changed[i][0]);

                if (!address || strcasecmp(address, changed[i][1]) != 0)
                        fail_msg("%s became %s", changed[i][0], address ? address : "nothing");
        }
        assert_null(address_of(
                *state, mem_printf(*state, "https://a.example/%s", repeat(*state, "x", 3000))));
}

static void bounds_results(void **state)
{
        struct question question = question_for(&searxng_ops);
        SCOPED_JSON json_t *items = json_array(), *few = NULL;
        char *long_text = repeat(*state, "wörd ", 2000);

        for (int i = 0; i < 100; i++)
                json_array_append_new(items,
                                      json_pack("{s:s, s:s, s:s, s:s}", "url", "https://a.example/",
                                                "title", long_text, "content", long_text,
                                                "publishedDate", long_text));
        SCOPED_JSON json_t *body = json_pack("{s:O}", "results", items);
        char *text = json_write(*state, body);
        SCOPED_JSON json_t *many = results_of(&searxng_ops, text);
        const struct answer answer = {.status = 200, .body = text, .length = strlen(text)};
        struct refusal refusal;

        assert_int_equal(json_array_size(many), 20);
        assert_int_equal(json_integer_value(json_path(many, "[19].rank")), 20);
        assert_in_range(strlen(json_string_value(json_path(many, "[0].title"))), 290, 300);
        assert_in_range(strlen(json_string_value(json_path(many, "[0].snippet"))), 1490, 1500);
        assert_in_range(strlen(json_string_value(json_path(many, "[0].date"))), 70, 80);
        question.results = 3;
        assert_int_equal(websearch_answer_read(&question, &answer, &few, &refusal), STATUS_OK);
        assert_int_equal(json_array_size(few), 3);
}

static void passes_over_odd_results(void **state)
{
        SCOPED_JSON json_t *results = results_of(
                &brave_ops,
                "{\"type\":\"search\",\"web\":{\"results\":[null,7,\"x\",[],{},{\"url\":null},"
                "{\"url\":7},{\"url\":[\"https://a.example\"]},{\"url\":\"https://a.example/\","
                "\"title\":null,\"description\":{},\"page_age\":7,\"age\":[],\"profile\":\"x\","
                "\"meta_url\":null}]}}");

        (void)state;
        assert_json(results, "[{\"rank\":1,\"title\":\"a.example\",\"url\":\"https://a.example/\","
                             "\"snippet\":\"\",\"date\":null,\"source\":\"a.example\"}]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(asks_as_each_provider_wants),
                TEST(takes_base_urls_in_every_form),
                TEST(says_what_is_not_set_up),
                TEST(cuts_queries_to_what_providers_take),
                TEST(keeps_answers_apart),
                TEST(makes_text_plain),
                TEST(survives_hostile_markup),
                TEST(reads_brave),
                TEST(reads_serpapi),
                TEST(reads_searxng),
                TEST(drops_links_that_are_no_web_addresses),
                TEST(bounds_results),
                TEST(passes_over_odd_results),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
