/* SPDX-License-Identifier: Apache-2.0 */
#define ZLIB_CONST
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

/* clang-format off */
#include <cmocka.h> /* wants the others before it */
/* clang-format on */

#include "api/assets/assets.h"
#include "base/json.h"

/* The asset's text, unpacked. */
static char *read_asset(const void *ctx, const char *path)
{
        const struct asset *asset = asset_find(path);
        z_stream stream = {0};
        char *text;
        size_t size = 0;

        if (!asset) {
                fail_msg("there is no %s", path);
                return NULL;
        }
        if (!asset->gzip)
                return mem_strndup(ctx, (const char *)asset->data, asset->length);
        /* The last four bytes of gzip: its size, little-endian. */
        for (size_t i = 1; i <= 4; i++)
                size = size << 8 | asset->data[asset->length - i];
        text = mem_array(ctx, char, size + 1);
        stream.next_in = asset->data;
        stream.avail_in = (uInt)asset->length;
        stream.next_out = (Bytef *)text;
        stream.avail_out = (uInt)size;
        assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
        assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
        inflateEnd(&stream);
        assert_int_equal(stream.total_out, size);
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
        assert_int_equal(page->etag[0], '"');
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
        const char *text = read_asset(ctx, "/openapi.json");
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
        const char *page = read_asset(ctx, "/docs");
        const char *style = read_asset(ctx, "/docs/swagger-ui.css");

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
        const char *page = read_asset(ctx, "/docs");

        (void)state;
        assert_int_equal(check_links(ctx, page, "src=\""), 2);
        assert_true(check_links(ctx, page, "href=\"") >= 3);
        assert_true(check_links(ctx, read_asset(ctx, "/docs/swagger-ui.css"), "url(\"") > 0);
        assert_non_null(strstr(read_asset(ctx, "/docs/docs.js"), "'/openapi.json'"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(folder_gives_its_page),
                cmocka_unit_test(only_whole_paths_are_found),
                cmocka_unit_test(definition_is_json_of_this_version),
                cmocka_unit_test(page_needs_nothing_inline_or_outside),
                cmocka_unit_test(everything_the_page_names_is_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
