/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever text is searched for, the expression made of it is one that FTS5 accepts, and means
 * nothing but the words: it never finds the row whose only word is outside the text. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/text_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Row 2 can be reached by syntax only: no word of the text is in it, but NOT or a prefix would. */
static const char schema[] =
        "CREATE VIRTUAL TABLE chunk_index USING fts5 (content, heading, scope,"
        " tokenize = 'porter unicode61 remove_diacritics 2');"
        "INSERT INTO chunk_index VALUES ('alpha beta', 'gamma', '0192');"
        "INSERT INTO chunk_index VALUES ('qzqzqzqzqzqz', 'zqzqzqzqzqzq', '0192');";

static sqlite3_stmt *prepare(void)
{
        static sqlite3_stmt *statement;
        sqlite3 *db = NULL;

        if (statement)
                return statement;
        if (sqlite3_open(":memory:", &db) || sqlite3_exec(db, schema, NULL, NULL, NULL) ||
            sqlite3_prepare_v2(db, "SELECT rowid FROM chunk_index WHERE chunk_index MATCH ?1", -1,
                               &statement, NULL))
                abort();
        return statement;
}

static void run(const char *query, const char *text)
{
        sqlite3_stmt *statement = prepare();
        int code;

        sqlite3_bind_text(statement, 1, query, -1, SQLITE_STATIC);
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
                if (sqlite3_column_int(statement, 0) == 2 && !strcasestr(text, "zqz"))
                        abort();
        }
        if (code != SQLITE_DONE)
                abort();
        sqlite3_reset(statement);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        SCOPED_MEM void *ctx = mem_root();
        char *text = mem_strndup(ctx, (const char *)data, size);
        struct text_query *query = text_query_new(ctx, text, "01-92");
        bool lead[TEXT_QUERY_TERMS_MAX];

        if (!query)
                return 0;
        for (size_t i = 0; i < text_query_count(query); i++) {
                lead[i] = i == 0 || (size >> (i & 7) & 1);
                run(text_query_term(query, i), text);
        }
        run(text_query_any(query), text);
        run(text_query_led(query, lead), text);
        return 0;
}
