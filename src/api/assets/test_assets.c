/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* clang-format off */
#include <cmocka.h> /* wants the others before it */
/* clang-format on */

#include "api/assets/assets.h"
#include "base/json.h"

static char *unpack(const void *ctx, const char *path)
{
        const struct asset *asset = asset_find(path);
        struct error err = ERROR_INIT;
        char *text = NULL;

        if (!asset)
                fail_msg("there is no %s", path);
        assert_int_equal(asset_unpack(ctx, asset, &text, &err), STATUS_OK);
        assert_int_equal(strlen(text), asset->plain_length);
        return text;
}

static void folder_gives_its_page(void **state)
{
        const struct asset *page = asset_find("/docs/index.html");

        (void)state;
        assert_non_null(page);
        assert_ptr_equal(asset_find("/docs"), page);
        assert_ptr_equal(asset_find("/docs/"), page);
        assert_string_equal(page->content_type, "text/html; charset=utf-8");
        assert_memory_equal(page->etag, "W/\"", 3);
}

static void only_whole_paths_are_found(void **state)
{
        char deep[2048];

        (void)state;
        memset(deep, 'a', sizeof(deep) - 1);
        deep[sizeof(deep) - 1] = '\0';
        deep[0] = '/';
        assert_null(asset_find(deep));
        assert_null(asset_find(""));
        assert_null(asset_find("/"));
        assert_null(asset_find("docs"));
        assert_null(asset_find("/docs//"));
        assert_null(asset_find("/docs/docs"));
        assert_null(asset_find("/docs/docs.js/"));
        assert_null(asset_find("/docs/../openapi.json"));
        assert_null(asset_find("/DOCS/docs.js"));
}

static void definition_is_json_of_this_version(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        SCOPED_JSON json_t *definition = NULL;
        struct error err = ERROR_INIT;
        const char *text = unpack(ctx, "/openapi.json");
        json_t *operation, *paths;

        (void)state;
        assert_int_equal(json_read(text, strlen(text), &definition, &err), STATUS_OK);
        assert_string_equal(json_get_text(definition, "openapi", ""), "3.1.0");
        assert_string_equal(json_string_value(json_path(definition, "info.version")),
                            FLOWGENIX_VERSION);
        paths = json_object_get(definition, "paths");
        operation = json_object_get(json_object_get(paths, "/health"), "get");
        assert_string_equal(json_get_text(operation, "operationId", ""), "getHealth");
        assert_string_equal(asset_find("/openapi.json")->content_type, "application/json");
}

/* What a strict Content-Security-Policy would refuse, or what would reach out of this server. */
static void page_needs_nothing_inline_or_outside(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const char *page = unpack(ctx, "/docs");
        const char *style = unpack(ctx, "/docs/swagger-ui.css");

        (void)state;
        assert_null(strstr(page, "<script>"));
        assert_null(strstr(page, "<style"));
        assert_null(strstr(page, "style="));
        assert_null(strstr(page, "onload="));
        assert_null(strstr(page, "://"));
        assert_null(strstr(style, "url(data:"));
        assert_null(strstr(style, "url(\"data:"));
        assert_null(strstr(style, "url('data:"));
        assert_null(strstr(style, "@import"));
        assert_null(strstr(style, "sourceMappingURL"));
}

/* Checks that every `before`"PATH" of `text` names an asset; returns how many there were. */
static size_t check_links(const void *ctx, const char *text, const char *before)
{
        size_t count = 0;

        for (const char *at = strstr(text, before); at; at = strstr(at, before)) {
                const char *path, *end;

                path = at + strlen(before);
                end = strchr(path, '"');
                assert_non_null(end);
                if (path[0] == '/' && !asset_find(mem_strndup(ctx, path, (size_t)(end - path))))
                        fail_msg("%.*s is not embedded", (int)(end - path), path);
                count++;
                at = end;
        }
        return count;
}

static void everything_the_page_names_is_there(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const char *page = unpack(ctx, "/docs");

        (void)state;
        assert_int_equal(check_links(ctx, page, "src=\""), 2);
        assert_true(check_links(ctx, page, "href=\"") >= 3);
        assert_true(check_links(ctx, unpack(ctx, "/docs/swagger-ui.css"), "url(\"") > 0);
        assert_non_null(strstr(unpack(ctx, "/docs/docs.js"), "'/openapi.json'"));
}

static void damaged_asset_is_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct asset damaged = *asset_find("/docs/docs.js");
        struct error err = ERROR_INIT;
        char *text = NULL;

        (void)state;
        assert_true(damaged.gzip);
        damaged.length /= 2;
        assert_int_equal(asset_unpack(ctx, &damaged, &text, &err), STATUS_INTERNAL);
        assert_non_null(strstr(err.message, "/docs/docs.js"));
        assert_null(text);

        damaged = *asset_find("/docs/docs.js");
        damaged.plain_length--;
        assert_int_equal(asset_unpack(ctx, &damaged, &text, &err), STATUS_INTERNAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(folder_gives_its_page),
                cmocka_unit_test(only_whole_paths_are_found),
                cmocka_unit_test(definition_is_json_of_this_version),
                cmocka_unit_test(page_needs_nothing_inline_or_outside),
                cmocka_unit_test(everything_the_page_names_is_there),
                cmocka_unit_test(damaged_asset_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
