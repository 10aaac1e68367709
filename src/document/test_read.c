/* SPDX-License-Identifier: Apache-2.0 */
/* Readers in this process, names and kinds of files. Headings show as "<1:Title>". */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "document/filename.h"
#include "document/format.h"
#include "document/test_files.h"

#include <cmocka.h>

static bool collect(const char *data, size_t length, void *arg)
{
        struct buffer *out = arg;

        buffer_append(out, data, length);
        return true;
}

/* Level marks become visible; the text's end loses its newlines. */
static char *visible(const void *ctx, const struct buffer *raw)
{
        struct buffer out = BUFFER_INIT(ctx, 64 << 20);
        const char *text = buffer_string(raw);

        for (size_t i = 0; i < raw->length; i++) {
                if (text[i] > 6 || text[i] < 1) {
                        buffer_char(&out, text[i]);
                        continue;
                }
                size_t title = strcspn(text + i, "\n");

                buffer_printf(&out, "<%d:%.*s>", text[i], (int)title - 1, text + i + 1);
                i += title - 1;
        }
        while (out.length && out.data[out.length - 1] == '\n')
                out.data[--out.length] = '\0';
        return mem_strdup(ctx, buffer_string(&out));
}

static enum status read_bytes(const void *ctx, reader_fn *read, const char *data, size_t length,
                              char **ret, struct error *err)
{
        struct text_out *out = mem_new(ctx, struct text_out);
        struct buffer raw = BUFFER_INIT(ctx, 64 << 20);
        enum status status;

        text_out_init(out, collect, &raw);
        status = read(ctx, data, length, out, err);
        text_out_flush(out);
        assert_true(utf8_valid(buffer_string(&raw), raw.length));
        *ret = visible(ctx, &raw);
        return status;
}

static void check(reader_fn *read, const char *data, size_t length, const char *wanted)
{
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        char *text;

        if (read_bytes(ctx, read, data, length, &text, &err))
                fail_msg("%s", err.message);
        assert_string_equal(text, wanted);
}
#define CHECK(read, data, wanted) check((read), (data), sizeof(data) - 1, (wanted))

static void refused(reader_fn *read, const char *data, size_t length, const char *because)
{
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        char *text;

        assert_int_equal(read_bytes(ctx, read, data, length, &text, &err), STATUS_UNPROCESSABLE);
        if (!strstr(err.message, because))
                fail_msg("'%s' does not say '%s'", err.message, because);
}

/* --- Text --------------------------------------------------------------------------------------*/
static void text_is_decoded(void **state)
{
        (void)state;
        CHECK(read_plain_text, "na\xC3\xAFve\r\ncaf\xC3\xA9\rend",
              "na\xC3\xAFve\ncaf\xC3\xA9\nend");
        CHECK(read_plain_text,
              "\xEF\xBB\xBF"
              "marked",
              "marked");
        CHECK(read_plain_text,
              "na\xEFve caf\xE9 \x80"
              "5",
              "na\xC3\xAFve caf\xC3\xA9 \xE2\x82\xAC"
              "5");
        CHECK(read_plain_text, "\xFF\xFEh\0i\0\xE9\0", "hi\xC3\xA9");
        CHECK(read_plain_text, "\xFE\xFF\0h\0i\x26\x3A", "hi\xE2\x98\xBA");
        CHECK(read_plain_text, "\xFF\xFEh\0i", "h");
        CHECK(read_plain_text,
              "a\x01"
              "b\fc\x1B[1m",
              "a b c [1m");
        CHECK(read_plain_text, "a\n\n\n\n\nb", "a\n\nb");
        CHECK(read_plain_text, "# no heading here", "# no heading here");
        refused(read_plain_text,
                "a\x81\x8D\xFF"
                "bcd",
                7, "neither UTF-8");
        refused(read_plain_text,
                "\xFE\xFF\xD8\x00\x00"
                "abc",
                8, "neither UTF-8");
}

/* --- Markdown ----------------------------------------------------------------------------------*/
static void markdown_headings_are_found(void **state)
{
        (void)state;
        CHECK(read_markdown, "# One\ntext\n### Three ###\nmore",
              "<1:One>\n\ntext\n\n<3:Three>\n\nmore");
        CHECK(read_markdown, "Title\n=====\n\nSub *title*\n---\ntext",
              "<1:Title>\n\n<2:Sub *title*>\n\ntext");
        CHECK(read_markdown, "#hash tag\n####### seven\n    # code\n",
              "#hash tag\n####### seven\n    # code");
        CHECK(read_markdown, "para one\npara two\n---\nafter", "para one\npara two\n---\nafter");
        CHECK(read_markdown, "- item\n---\n| a | b |\n|---|---|\n",
              "- item\n---\n| a | b |\n|---|---|");
        CHECK(read_markdown, "text\r\n# Win\r\nend\r\n", "text\n\n<1:Win>\n\nend");
        CHECK(read_markdown, "last line held", "last line held");
}

static void code_is_no_heading(void **state)
{
        (void)state;
        CHECK(read_markdown, "```sh\n# comment\n```\n# Real", "```sh\n# comment\n```\n\n<1:Real>");
        CHECK(read_markdown, "~~~\n```\n# x\n~~~~\n# Real", "~~~\n```\n# x\n~~~~\n\n<1:Real>");
        CHECK(read_markdown, "````\n```\n# x\n````\n# Real", "````\n```\n# x\n````\n\n<1:Real>");
        CHECK(read_markdown, "```never closed\n# x", "```never closed\n# x");
        CHECK(read_markdown, "```not `a` fence```\n# Real", "```not `a` fence```\n\n<1:Real>");
}

/* --- CSV ---------------------------------------------------------------------------------------*/
static void csv_rows_become_records(void **state)
{
        (void)state;
        CHECK(read_csv, "name,price\npump,12\nvalve,7\n",
              "name: pump\nprice: 12\n\nname: valve\nprice: 7");
        CHECK(read_csv, "name;price\r\n\"a;b\";\"1 \"\"2\"\"\r\n3\"\r\n",
              "name: a;b\nprice: 1 \"2\" 3");
        CHECK(read_csv, "a\tb\n1\t2", "a: 1\nb: 2");
        CHECK(read_csv, "a,,b\n1,2,3,4\n\n,,\n", "a: 1\ncolumn 2: 2\nb: 3\ncolumn 4: 4");
        CHECK(read_csv, "only,names", "only\nnames");
        CHECK(read_csv, "a,b\n\"never closed\nx,y", "a: never closed x,y");
        CHECK(read_csv, "\"a,b\";c\n1;2", "a,b: 1\nc: 2");
        CHECK(read_csv, "a\n\"quoted\"rest\n", "a: quotedrest");
}

static void hostile_csv_is_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        size_t length;
        char *text = repeated(ctx, ",", 2000, &length);

        (void)state;
        refused(read_csv, text, length, "columns");
        text = repeated(ctx, "x", 3 << 20, &length);
        refused(read_csv, text, length, "quotation mark");
}

/* --- HTML --------------------------------------------------------------------------------------*/
static void html_is_what_people_read(void **state)
{
        (void)state;
        CHECK(read_html,
              "<html><head><title> The\n page </title><style>x{}</style></head><body>"
              "<nav>Home</nav><h1>Top <b>one</b></h1><p>Some <b>bold</b>\n text&nbsp;&amp; "
              "more.</p>"
              "<script>scriptword()</script><p hidden>secret</p><p>Next</p></body></html>",
              "<1:The page>\n\n<1:Top one>\n\nSome bold text\xC2\xA0& more.\n\nNext");
        CHECK(read_html, "<p>one<br>two</p><div>three<div>four</div></div>",
              "one\ntwo\n\nthree\n\nfour");
        CHECK(read_html, "<pre>  a\n    b\n</pre>after", "  a\n    b\n\nafter");
        CHECK(read_html, "no tags at all &lt;", "no tags at all <");
        CHECK(read_html, "<p>caf\xE9", "caf\xC3\xA9");
        CHECK(read_html, "x<!-- comment --><svg><text>drawn</text></svg>y", "xy");
}

static void html_lists_and_tables_keep_their_shape(void **state)
{
        (void)state;
        CHECK(read_html, "<p>a</p><ul><li>one</li><li><p>two</p></li></ul><ol><li>x<li>y</ol>z",
              "a\n\n- one\n- two\n\n1. x\n2. y\n\nz");
        CHECK(read_html,
              "<table><caption>Sizes</caption><tr><th>Name</th><th>mm</th></tr>"
              "<tr><td>Nut</td><td><p>1</p><p>2</p></td></tr></table>",
              "Sizes\nName | mm\nNut | 1 2");
        /* A page laid out by tables is no table. */
        CHECK(read_html,
              "<table><tr><td><div>left</div></td><td><h2>right</h2>text</td></tr></table>",
              "left\n\n<2:right>\n\ntext");
        CHECK(read_html, "<ul><li></li><li> <h2>Head</h2>text</li></ul>", "<2:Head>\n\n- text");
        CHECK(read_html, "<ol><li>a<ol><li>b</li></ol></li><li>c</li></ol>", "1. a\n1. b\n2. c");
}

static void html_too_deep_is_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        size_t length;
        char *text = repeated(ctx, "<div>", 1900, &length);

        (void)state;
        check(read_html, mem_printf(ctx, "%sdeep", text), length + 4, "deep");
        text = repeated(ctx, "<div>", 200000, &length);
        refused(read_html, text, length, "too deep");
        text = repeated(ctx, "<p>a<br>", 20000, &length);
        check(read_html, text, length, mem_printf(ctx, "a%s", repeated(ctx, "\n\na", 19999, NULL)));
        text = repeated(ctx, "<!-- <b> --><script>if (a<b) </script><i></i>", 5000, &length);
        check(read_html, text, length, "");
}

/* --- DOCX --------------------------------------------------------------------------------------*/
static void check_docx(const char *body, const char *styles, const char *wanted)
{
        SCOPED_MEM void *ctx = mem_root();
        struct bytes file = docx_new(ctx, body, styles);

        check(read_docx, file.data, file.length, wanted);
}

static void refused_docx(struct bytes file, const char *because)
{
        refused(read_docx, file.data, file.length, because);
}

#define P(text) "<w:p><w:r><w:t xml:space=\"preserve\">" text "</w:t></w:r></w:p>"

static void docx_paragraphs_and_headings(void **state)
{
        (void)state;
        check_docx(P("Tom &amp; Jerry &lt;3") P("caf\xC3\xA9"), NULL,
                   "Tom & Jerry <3\n\ncaf\xC3\xA9");
        check_docx("<w:p><w:pPr><w:pStyle w:val=\"Kop2\"/></w:pPr><w:r><w:t>A </w:t></w:r>"
                   "<w:r><w:t>heading</w:t></w:r></w:p>" P("text"),
                   "<w:style w:styleId=\"H2\"><w:name w:val=\"heading 2\"/></w:style>"
                   "<w:style w:styleId=\"Kop2\"><w:name w:val=\"Kop\"/><w:basedOn "
                   "w:val=\"H2\"/></w:style>",
                   "<2:A heading>\n\ntext");
        check_docx("<w:p><w:pPr><w:outlineLvl w:val=\"0\"/></w:pPr><w:r><w:t>Top</w:t></w:r></w:p>",
                   NULL, "<1:Top>");
        /* Two styles that are based on each other. */
        check_docx("<w:p><w:pPr><w:pStyle w:val=\"a\"/></w:pPr><w:r><w:t>x</w:t></w:r></w:p>",
                   "<w:style w:styleId=\"a\"><w:basedOn w:val=\"b\"/></w:style>"
                   "<w:style w:styleId=\"b\"><w:basedOn w:val=\"a\"/></w:style>",
                   "x");
}

static void docx_lists_tables_and_changes(void **state)
{
        (void)state;
        check_docx("<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>one</w:t></w:r></w:p>"
                   "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>two</w:t></w:r></w:p>" P("end"),
                   NULL, "- one\n- two\nend");
        check_docx(
                P("before") "<w:tbl><w:tr><w:tc>" P("a") P("b") "</w:tc><w:tc>" P(
                        "c") "</w:tc></w:tr>"
                             "<w:tr><w:tc>" P("d") "</w:tc><w:tc><w:tbl><w:tr><w:tc>" P(
                                     "in") "</w:tc><w:tc>" P("ner") "</w:tc></w:tr></w:tbl></"
                                                                    "w:tc></w:tr></w:tbl>" P("afte"
                                                                                             "r"),
                NULL, "before\n\na b | c\nd | in ner\n\nafter");
        check_docx("<w:p><w:del><w:r><w:t>old</w:t></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></"
                   "w:ins>"
                   "<w:r><w:instrText>PAGE</w:instrText><w:tab/><w:t>x</w:t><w:br/><w:t>y</w:t></"
                   "w:r></w:p>",
                   NULL, "new\tx\ny");
        check_docx(
                "<w:p><w:r><w:t>a</w:t><mc:AlternateContent xmlns:mc=\"m\"><mc:Choice><w:t>b</w:t>"
                "</mc:Choice><mc:Fallback><w:t>b</w:t></mc:Fallback></mc:AlternateContent></w:r></"
                "w:p>",
                NULL, "ab");
        check_docx("<w:p><w:pPr><w:tabs><w:tab "
                   "w:val=\"left\"/></w:tabs></w:pPr><w:r><w:t>z</w:t></w:r></w:p>",
                   NULL, "z");
}

static void docx_parts_are_found(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct member members[] = {
                {"_rels/.rels",
                 "<Relationships><Relationship Type=\"http://purl.oclc.org/ooxml/officeDocument/"
                 "relationships/officeDocument\" Target=\"/word/document2.xml\"/></Relationships>",
                 0},
                {"word/document2.xml",
                 "<document><body><p><r><t>strict</t></r></p></body></document>", 0},
                {"word/footnotes.xml",
                 "<footnotes><footnote><p><r><t>A note.</t></r></p></footnote></footnotes>", 0},
                {"../../etc/passwd", "slipped", 0},
        };
        struct bytes file = zip_new(ctx, members, ARRAY_LENGTH(members));

        (void)state;
        check(read_docx, file.data, file.length, "strict\n\nA note.");
}

static void damaged_docx_is_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        const struct member other = {"mimetype", "application/epub+zip", 0};
        struct bytes good = docx_new(ctx, P("text"), NULL), bad;

        (void)state;
        for (size_t kept = 4; kept < good.length; kept += good.length / 7)
                refused_docx((struct bytes){good.data, kept}, "damaged");
        refused_docx(zip_new(ctx, &other, 1), "not a Word document");
        refused_docx(docx_of(ctx, "<document><body>", 0), "not well-formed");
        refused_docx(docx_of(ctx, "no xml", 0), "not well-formed");
        refused_docx(docx_of(ctx, "<a>\xFF</a>", 0), "not well-formed");
        bad = docx_new(ctx, repeated(ctx, P("text of many kinds"), 400, NULL), NULL);
        for (size_t i = 200; i < bad.length - 400; i++)
                bad.data[i] = (char)(bad.data[i] ^ 0x55);
        refused_docx(bad, "damaged");
}

static void hostile_docx_is_refused(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct buffer laughs = BUFFER_INIT(ctx, 1 << 20);
        size_t length;
        char *deep = repeated(ctx, "<p>", 5000, &length), *bomb;

        (void)state;
        buffer_text(&laughs, "<!DOCTYPE d [<!ENTITY l0 \"ha\">");
        for (int i = 1; i < 10; i++)
                buffer_printf(&laughs, "<!ENTITY l%d \"&l%d;&l%d;&l%d;&l%d;&l%d;\">", i, i - 1,
                              i - 1, i - 1, i - 1, i - 1);
        buffer_text(&laughs, "]><d><p><t>&l9;</t></p></d>");
        refused_docx(docx_of(ctx, buffer_string(&laughs), 0), "document type");
        refused_docx(docx_of(ctx,
                             "<!DOCTYPE d [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
                             "<d><p><t>&x;</t></p></d>",
                             0),
                     "document type");
        refused_docx(docx_of(ctx, deep, length), "too deep");
        bomb = repeated(ctx, P("bomb bomb bomb bomb bomb bomb bomb"), 400000, NULL);
        refused_docx(docx_new(ctx, bomb, NULL), "unpacks to much more");
}

static void an_archive_of_many_entries_is_refused(void **state)
{
        enum { COUNT = 10050 };
        SCOPED_MEM void *ctx = mem_root();
        struct member *members = mem_array(ctx, struct member, COUNT);

        (void)state;
        for (size_t i = 0; i < COUNT; i++)
                members[i] = (struct member){mem_printf(members, "%zu", i), "x", 0};
        refused_docx(zip_new(ctx, members, COUNT), "entries");
}

/* --- Names and kinds ---------------------------------------------------------------------------*/
static void name_becomes(const char *name, const char *wanted)
{
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        char *clean = NULL;

        assert_int_equal(filename_clean(ctx, name, &clean, &err),
                         wanted ? STATUS_OK : STATUS_INVALID);
        if (wanted)
                assert_string_equal(clean, wanted);
}

static void names_are_cleaned(void **state)
{
        SCOPED_MEM void *ctx = mem_root();
        struct error err = ERROR_INIT;
        char *clean, *lengthy;

        (void)state;
        name_becomes("\xC3\x9C"
                     "berblick \xE6\x9D\xB1 (2).txt",
                     "\xC3\x9C"
                     "berblick \xE6\x9D\xB1 (2).txt");
        name_becomes("../../../etc/cron.d/evil.txt", "evil.txt");
        name_becomes("..\\..\\windows\\evil.txt", "evil.txt");
        name_becomes("C:\\Users\\a\\b.pdf", "b.pdf");
        name_becomes("a\r\nSet-Cookie: x\x1B[2J.txt", "aSet-Cookie: x[2J.txt");
        name_becomes("fdp.\xE2\x80\xAE"
                     "exe.pdf",
                     "fdp.exe.pdf");
        name_becomes(" name.pdf. . ", "name.pdf");
        name_becomes("bad\xFFutf.txt", "bad_utf.txt");
        name_becomes("", NULL);
        name_becomes("..", NULL);
        name_becomes("folder/", NULL);
        name_becomes("\x01\x02", NULL);
        lengthy = mem_printf(ctx, "%s.pdf", repeated(ctx, "\xC3\xA9", 300, NULL));
        assert_int_equal(filename_clean(ctx, lengthy, &clean, &err), STATUS_OK);
        assert_in_range(strlen(clean), 250, FILENAME_BYTES_MAX);
        assert_string_equal(clean + strlen(clean) - 4, ".pdf");
        assert_true(utf8_valid(clean, strlen(clean)));
}

static enum status kind_of(const char *name, const void *data, size_t length, const char **ret_type,
                           struct error *err)
{
        struct format_probe probe = {0};
        const struct format *format;

        *err = ERROR_INIT;
        /* In two pieces, as files come. */
        format_probe_feed(&probe, data, length / 2);
        format_probe_feed(&probe, (const char *)data + length / 2, length - length / 2);
        if (!format_decide(&probe, name, &format, err))
                *ret_type = format->content_type;
        return err->status;
}

#define KIND(name, data, wanted)                                                                   \
        do {                                                                                       \
                const char *type_ = NULL;                                                          \
                struct error err_;                                                                 \
                assert_int_equal(kind_of((name), (data), sizeof(data) - 1, &type_, &err_), 0);     \
                assert_string_equal(type_, (wanted));                                              \
                assert_non_null(format_by_type(type_));                                            \
        } while (0)
#define NO_KIND(name, data, status, says)                                                          \
        do {                                                                                       \
                const char *type_ = NULL;                                                          \
                struct error err_;                                                                 \
                assert_int_equal(kind_of((name), (data), sizeof(data) - 1, &type_, &err_),         \
                                 (status));                                                        \
                assert_non_null(strstr(err_.message, (says)));                                     \
        } while (0)

static void name_and_content_agree(void **state)
{
        (void)state;
        KIND("a.pdf", "%PDF-1.7\n...", "application/pdf");
        KIND("A.PDF", "junk before %PDF-1.4", "application/pdf");
        KIND("a.tar.docx", "PK\x03\x04....",
             "application/vnd.openxmlformats-officedocument.wordprocessingml.document");
        KIND("a.txt", "text", "text/plain");
        KIND("a.md", "# text", "text/markdown");
        KIND("a.HTM", "<p>", "text/html");
        KIND("a.csv", "a,b", "text/csv");
        KIND("a.txt", "\xFF\xFEh\0i\0", "text/plain");
        KIND("a.txt", "caf\xE9 in windows-1252", "text/plain");
        KIND("about-pdf.txt", "A PDF begins with %PDF-1.7", "text/plain");
}

static void disagreement_is_named(void **state)
{
        (void)state;
        NO_KIND("a.txt", "", STATUS_INVALID, "empty");
        NO_KIND("a.pdf", "", STATUS_INVALID, "empty");
        NO_KIND("a.txt", "%PDF-1.4 ...", STATUS_UNSUPPORTED_TYPE, "content is a PDF");
        NO_KIND("a.pdf", "PK\x03\x04...", STATUS_UNSUPPORTED_TYPE, "content is a ZIP archive");
        NO_KIND("a.pdf", "Just text.", STATUS_UNSUPPORTED_TYPE, "content is text");
        NO_KIND("a.docx", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", STATUS_UNSUPPORTED_TYPE,
                "password-protected");
        NO_KIND("a.txt",
                "\x7F"
                "ELF\x02\x01\x01\0\0\0",
                STATUS_UNSUPPORTED_TYPE, "a program");
        NO_KIND("a.csv", "te\0xt", STATUS_UNSUPPORTED_TYPE, "not text");
        NO_KIND("a.md", "\x01\x02\x03 text", STATUS_UNSUPPORTED_TYPE, "not text");
        NO_KIND("a.exe", "MZ...", STATUS_UNSUPPORTED_TYPE, "documents are PDF");
        NO_KIND("README", "text", STATUS_UNSUPPORTED_TYPE, "documents are PDF");
        NO_KIND("a.", "text", STATUS_UNSUPPORTED_TYPE, "documents are PDF");
        NO_KIND("a.pdf.exe", "%PDF-1.4", STATUS_UNSUPPORTED_TYPE, "documents are PDF");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_is_decoded),
                cmocka_unit_test(markdown_headings_are_found),
                cmocka_unit_test(code_is_no_heading),
                cmocka_unit_test(csv_rows_become_records),
                cmocka_unit_test(hostile_csv_is_refused),
                cmocka_unit_test(html_is_what_people_read),
                cmocka_unit_test(html_lists_and_tables_keep_their_shape),
                cmocka_unit_test(html_too_deep_is_refused),
                cmocka_unit_test(docx_paragraphs_and_headings),
                cmocka_unit_test(docx_lists_tables_and_changes),
                cmocka_unit_test(docx_parts_are_found),
                cmocka_unit_test(damaged_docx_is_refused),
                cmocka_unit_test(hostile_docx_is_refused),
                cmocka_unit_test(an_archive_of_many_entries_is_refused),
                cmocka_unit_test(names_are_cleaned),
                cmocka_unit_test(name_and_content_agree),
                cmocka_unit_test(disagreement_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
