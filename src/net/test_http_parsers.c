/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, framing and routes, without a socket. */
#include <string.h>

#include "net/http_framing.h"
#include "net/http_target.h"
#include "net/router.h"
#include "net/test_http.h"

static void target_is_decoded_and_split(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct http_target target;
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(
                http_target_parse(ctx, "/a/b%20c/%C3%A9?x=1+2&y&z=%26%3D&&", &target, &err), 0);
        assert_string_equal(target.path, "/a/b c/\xC3\xA9");
        assert_int_equal(target.segment_count, 3);
        assert_string_equal(target.segments[2], "\xC3\xA9");
        assert_int_equal(target.query_count, 3);
        assert_string_equal(target.query[0].value, "1 2");
        assert_string_equal(target.query[1].name, "y");
        assert_string_equal(target.query[1].value, "");
        assert_string_equal(target.query[2].value, "&=");
}

static void target_forms(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct http_target target;
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(http_target_parse(ctx, "/", &target, &err), 0);
        assert_int_equal(target.segment_count, 0);
        assert_string_equal(target.path, "/");
        assert_int_equal(http_target_parse(ctx, "http://host:80/a?b=c", &target, &err), 0);
        assert_string_equal(target.path, "/a");
        assert_string_equal(target.query[0].value, "c");
        assert_int_equal(http_target_parse(ctx, "*", &target, &err), 0);
        assert_string_equal(target.path, "*");
        assert_int_equal(http_target_parse(ctx, "/a/", &target, &err), 0);
        assert_int_equal(target.segment_count, 2);
        assert_string_equal(target.segments[1], "");
}

static void doubtful_targets_are_refused(void **state)
{
        static const char *const bad[] = {
                "",       "a",         "/%",     "/%4",     "/%zz",     "/a%00b",  "/..",
                "/a/../", "/%2e%2E/x", "/a/./b", "/a%2fb",  "/%ff",     "/\xff",   "/a b",
                "/a\\b",  "/a#b",      "/a\x01", "/%0a",    "/?a=%",    "/?a=%00", "/?%f0=1",
                "/\x7f",  "/%c0%af",   "/a%2Fb", "/?a=%c3", "http://h",
        };
        SCOPED_MEM void *ctx = mem_root();
        struct http_target target;

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
                struct error err = ERROR_INIT;

                if (http_target_parse(ctx, bad[i], &target, &err) != STATUS_INVALID)
                        fail_msg("\"%s\" was taken", bad[i]);
                assert_true(strlen(err.message) > 0);
        }
}

static void targets_are_bounded(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer text = BUFFER_INIT(ctx, 10000);
        struct http_target target;
        struct error err = ERROR_INIT;

        (void)state;
        for (int i = 0; i <= TARGET_SEGMENTS_MAX; i++)
                buffer_text(&text, "/a");
        assert_int_equal(http_target_parse(ctx, text.data, &target, &err), STATUS_NOT_FOUND);
        buffer_clear(&text);
        buffer_text(&text, "/?");
        for (int i = 0; i <= TARGET_QUERY_MAX; i++)
                buffer_text(&text, "a=b&");
        assert_int_equal(http_target_parse(ctx, text.data, &target, &err), STATUS_INVALID);
}

#define FIELD(n, v)                                                                                \
        {                                                                                          \
                .name = (n), .value = (v), .name_length = sizeof(n) - 1,                           \
                .value_length = sizeof(v) - 1                                                      \
        }

static enum status framing(const struct http_field *fields, bool http_1_1, struct http_framing *ret)
{
        struct error err = ERROR_INIT;
        size_t count = 0;

        while (fields[count].name)
                count++;
        return http_framing_check(fields, count, http_1_1, ret, &err);
}

static void framing_of_good_requests(void **state)
{
        const struct http_field none[] = {FIELD("Host", "a"), {0}};
        const struct http_field length[] = {
                FIELD("host", "[::1]:80"), FIELD("CONTENT-LENGTH", "12"), {0}};
        const struct http_field chunked[] = {
                FIELD("Host", ""), FIELD("Transfer-Encoding", "Chunked"), {0}};
        struct http_framing ret;

        (void)state;
        assert_int_equal(framing(none, true, &ret), STATUS_OK);
        assert_false(ret.body);
        assert_int_equal(framing(none + 1, false, &ret), STATUS_OK);
        assert_int_equal(framing(length, true, &ret), STATUS_OK);
        assert_true(ret.body);
        assert_int_equal(ret.length, 12);
        assert_int_equal(framing(chunked, true, &ret), STATUS_OK);
        assert_true(ret.chunked);
}

static void framing_in_doubt_is_refused(void **state)
{
        static const struct http_field bad[][4] = {
                {{0}}, /* no Host */
                {FIELD("Host", "a"), FIELD("Host", "a"), {0}},
                {FIELD("Host", "a b"), {0}},
                {FIELD("Host", "a/b"), {0}},
                {FIELD("Host", "user@a"), {0}},
                {FIELD("Host", "a"),
                 FIELD("Content-Length", "1"),
                 FIELD("Content-Length", "2"),
                 {0}},
                {FIELD("Host", "a"),
                 FIELD("Content-Length", "1"),
                 FIELD("Content-Length", "1"),
                 {0}},
                {FIELD("Host", "a"), FIELD("Content-Length", "+1"), {0}},
                {FIELD("Host", "a"), FIELD("Content-Length", "-1"), {0}},
                {FIELD("Host", "a"), FIELD("Content-Length", "0x1"), {0}},
                {FIELD("Host", "a"), FIELD("Content-Length", "1, 1"), {0}},
                {FIELD("Host", "a"), FIELD("Content-Length", ""), {0}},
                {FIELD("Host", "a"), FIELD("Content-Length", "99999999999999999999"), {0}},
                {FIELD("Host", "a"),
                 FIELD("Content-Length", "1"),
                 FIELD("Transfer-Encoding", "chunked"),
                 {0}},
                {FIELD("Host", "a"), FIELD("Transfer-Encoding", "gzip"), {0}},
                {FIELD("Host", "a"), FIELD("Transfer-Encoding", "gzip, chunked"), {0}},
                {FIELD("Host", "a"), FIELD("Transfer-Encoding", "chunked, chunked"), {0}},
                {FIELD("Host", "a"), FIELD("Transfer-Encoding", "xchunked"), {0}},
                {FIELD("Host", "a"), FIELD("Transfer-Encoding", ""), {0}},
                {FIELD("Host", "a"), FIELD("X a", "1"), {0}},
                {FIELD("Host", "a"), FIELD("X ", "1"), {0}},
                {FIELD("Host", "a"), FIELD("", "1"), {0}},
                {FIELD("Host", "a"), FIELD("X", "1\r2"), {0}},
                {FIELD("Host", "a"),
                 FIELD("X", "1\x00"
                            "2"),
                 {0}},
        };
        struct http_framing ret;

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
                if (framing(bad[i], true, &ret) != STATUS_INVALID)
                        fail_msg("case %zu was taken", i);
        }
        const struct http_field old[] = {FIELD("Transfer-Encoding", "chunked"), {0}};

        assert_int_equal(framing(old, false, &ret), STATUS_INVALID);
}

static void lists_are_searched_by_token(void **state)
{
        (void)state;
        assert_true(http_list_has("keep-alive, Upgrade", "upgrade"));
        assert_true(http_list_has("Upgrade;x=1", "upgrade"));
        assert_true(http_list_has("\tupgrade ", "upgrade"));
        assert_false(http_list_has("upgraded", "upgrade"));
        assert_false(http_list_has("keep-alive", "upgrade"));
        assert_false(http_list_has("", "upgrade"));
}

static struct reply nothing(struct request *req)
{
        return reply_empty(req, 204);
}

static const struct route some[] = {
        {METHOD_GET, "/", 0, 0, nothing, NULL},
        {METHOD_GET, "/a", 0, 0, nothing, NULL},
        {METHOD_POST, "/a", 0, 0, nothing, NULL},
        {METHOD_GET, "/a/{id}", 0, 0, nothing, NULL},
        {METHOD_DELETE, "/a/{other}", 0, 0, nothing, NULL},
        {METHOD_GET, "/a/import", 0, 0, nothing, NULL},
        {METHOD_GET, "/a/{id}/parts/{part}", 0, 0, nothing, NULL},
        {METHOD_GET, "/a/import/rules", 0, 0, nothing, NULL},
        {METHOD_GET, "/files/{path...}", 0, 0, nothing, NULL},
        {0},
};

static const struct route *find(const struct router *router, const void *ctx, const char *path,
                                enum method method, struct route_match *match)
{
        struct http_target target;
        struct error err = ERROR_INIT;

        assert_int_equal(http_target_parse(ctx, path, &target, &err), STATUS_OK);
        if (!router_find(router, ctx, target.segments, target.segment_count, match))
                return NULL;
        return match->entries[method] ? match->entries[method]->route : NULL;
}

static void routes_are_found(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct route *const tables[] = {some, NULL};
        struct route_match match;
        struct router *router;
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(router_new(ctx, tables, &router, &err), STATUS_OK);
        assert_ptr_equal(find(router, ctx, "/", METHOD_GET, &match), &some[0]);
        assert_ptr_equal(find(router, ctx, "/a", METHOD_POST, &match), &some[2]);
        assert_string_equal(route_allow(ctx, &match), "GET, HEAD, POST, OPTIONS");
        assert_ptr_equal(find(router, ctx, "/a/7", METHOD_GET, &match), &some[3]);
        assert_string_equal(match.values[0], "7");
        assert_ptr_equal(find(router, ctx, "/a/7", METHOD_DELETE, &match), &some[4]);
        assert_string_equal(match.entries[METHOD_DELETE]->names[0], "other");
        assert_ptr_equal(find(router, ctx, "/a/import", METHOD_GET, &match), &some[5]);
        /* The literal leads nowhere here, the parameter does. */
        assert_ptr_equal(find(router, ctx, "/a/import/parts/2", METHOD_GET, &match), &some[6]);
        assert_int_equal(match.value_count, 2);
        assert_string_equal(match.values[0], "import");
        assert_string_equal(match.values[1], "2");
        assert_ptr_equal(find(router, ctx, "/files/x/y.js", METHOD_GET, &match), &some[8]);
        assert_string_equal(match.values[0], "x/y.js");
        assert_ptr_equal(find(router, ctx, "/files", METHOD_GET, &match), &some[8]);
        assert_string_equal(match.values[0], "");
}

static void paths_match_exactly(void **state)
{
        static const char *const none[] = {"/b",         "/a/",         "/a//", "//a",
                                           "/a/7/parts", "/a/7/parts/", "/A"};
        SCOPED_MEM void *ctx = mem_root();
        const struct route *const tables[] = {some, NULL};
        struct route_match match;
        struct router *router;
        struct error err = ERROR_INIT;

        (void)state;
        assert_int_equal(router_new(ctx, tables, &router, &err), STATUS_OK);
        for (size_t i = 0; i < ARRAY_LENGTH(none); i++) {
                if (find(router, ctx, none[i], METHOD_GET, &match))
                        fail_msg("%s was found", none[i]);
        }
}

static void malformed_tables_are_refused(void **state)
{
        static const struct route bad[][3] = {
                {{METHOD_GET, "a", 0, 0, nothing, NULL}, {0}},
                {{METHOD_GET, "/a/", 0, 0, nothing, NULL}, {0}},
                {{METHOD_GET, "/a//b", 0, 0, nothing, NULL}, {0}},
                {{METHOD_GET, "/{x...}/b", 0, 0, nothing, NULL}, {0}},
                {{METHOD_GET, "/a", 0, 0, NULL, NULL}, {0}},
                {{METHOD_GET, "/a", 0, 0, nothing, NULL},
                 {METHOD_GET, "/a", 0, 0, nothing, NULL},
                 {0}},
                {{METHOD_GET, "/{a}", 0, 0, nothing, NULL},
                 {METHOD_GET, "/{b}", 0, 0, nothing, NULL},
                 {0}},
        };
        SCOPED_MEM void *ctx = mem_root();
        struct router *router;

        (void)state;
        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
                const struct route *const tables[] = {bad[i], NULL};
                struct error err = ERROR_INIT;

                if (router_new(ctx, tables, &router, &err) != STATUS_INTERNAL)
                        fail_msg("table %zu was taken", i);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(target_is_decoded_and_split),
                cmocka_unit_test(target_forms),
                cmocka_unit_test(doubtful_targets_are_refused),
                cmocka_unit_test(targets_are_bounded),
                cmocka_unit_test(framing_of_good_requests),
                cmocka_unit_test(framing_in_doubt_is_refused),
                cmocka_unit_test(lists_are_searched_by_token),
                cmocka_unit_test(routes_are_found),
                cmocka_unit_test(paths_match_exactly),
                cmocka_unit_test(malformed_tables_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
