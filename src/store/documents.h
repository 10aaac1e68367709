/* SPDX-License-Identifier: Apache-2.0 */
/* Documents, their chunks, the keyword index over them and their embeddings. */
#pragma once

#include "store/store.h"

struct document {
        char *id, *owner_id, *workflow_id;
        char *filename, *content_type, *sha256;
        int64_t file_size;
        char *status;    /* queued extracting chunking embedding ready failed */
        char *error;     /* why it failed, plain words */
        double progress; /* 0..1 of the whole processing */
        int64_t page_count, chunk_count;
        int64_t created_at, updated_at;
};

/* Fills id, status queued and times. If the workflow already has a document with the same sha256
 * that did not fail, nothing is written and *existing_id is its id (below ctx). */
enum status store_create_document(struct store *store, struct document *document, const void *ctx,
                                  char **existing_id, struct error *err) MUST_USE;
enum status store_get_document(struct store *store, const void *ctx, const char *owner_id,
                               const char *id, struct document *ret, struct error *err) MUST_USE;
/* `workflow_id` filters when not NULL. */
enum status store_list_documents(struct store *store, const void *ctx, const char *owner_id,
                                 const char *workflow_id, struct page *page, struct document **ret,
                                 size_t *ret_count, struct error *err) MUST_USE;
/* Documents not yet ready or failed, oldest first: what a start after a crash takes up. */
enum status store_unfinished_documents(struct store *store, const void *ctx, struct document **ret,
                                       size_t *ret_count, struct error *err) MUST_USE;
/* Sets status, error, progress, page_count, updated_at. NOT_FOUND when it was deleted meanwhile. */
enum status store_set_document_status(struct store *store, const char *id, const char *status,
                                      const char *error, double progress, int64_t page_count,
                                      struct error *err) MUST_USE;
/* Removes row, chunks, index entries and embeddings. */
enum status store_delete_document(struct store *store, const char *owner_id, const char *id,
                                  struct error *err) MUST_USE;

struct chunk {
        char *id, *document_id;
        int64_t ordinal;
        char *content;      /* a byte range of the extracted text */
        char *heading;      /* path of headings, "" if none; searched with the content */
        int64_t page;       /* 0: the format has no pages */
        int64_t start, end; /* byte offsets in the extracted text */
        /* Filled by reads: */
        char *filename;
        double score;
};

/* Adds chunks of a document to table and keyword index, in one write; called for each batch. */
enum status store_add_chunks(struct store *store, const char *document_id, const char *workflow_id,
                             const struct chunk *chunks, size_t count, struct error *err) MUST_USE;
/* Removes all chunks of a document: a processing that starts over. */
enum status store_clear_chunks(struct store *store, const char *document_id,
                               struct error *err) MUST_USE;
enum status store_list_chunks(struct store *store, const void *ctx, const char *document_id,
                              struct page *page, struct chunk **ret, size_t *ret_count,
                              struct error *err) MUST_USE;
/* Chunks by id, in the order of `ids`; those gone meanwhile are left out. */
enum status store_get_chunks(struct store *store, const void *ctx, const char *const *ids,
                             size_t id_count, struct chunk **ret, size_t *ret_count,
                             struct error *err) MUST_USE;

/* Which documents a search looks at: those of a workflow, all or the ones named. Only ready ones. */
struct document_set {
        const char *workflow_id;
        const char *const *document_ids;
        size_t document_count; /* 0: all of the workflow */
};

/* BM25 over content and headings, best first, score > 0. `text` is what a person typed: any
 * characters are safe, words are OR-ed, "quoted phrases" hold together. */
enum status store_search_chunks(struct store *store, const void *ctx,
                                const struct document_set *set, const char *text, size_t limit,
                                struct chunk **ret, size_t *ret_count, struct error *err) MUST_USE;
/* True if the set has any chunk, and whether any document of the workflow is still processing. */
enum status store_set_state(struct store *store, const struct document_set *set, bool *ret_any,
                            bool *ret_processing, struct error *err) MUST_USE;

/* Embeddings are unit-length float vectors, one a chunk and model ("provider/model"). */
struct embedding {
        char *chunk_id;
        const float *vector;
};
enum status store_add_embeddings(struct store *store, const char *model, size_t dims,
                                 const struct embedding *embeddings, size_t count,
                                 struct error *err) MUST_USE;
/* Chunks of a document that have no embedding of this model yet, at most `limit`. */
enum status store_missing_embeddings(struct store *store, const void *ctx, const char *document_id,
                                     const char *model, size_t limit, struct chunk **ret,
                                     size_t *ret_count, struct error *err) MUST_USE;
/* Walks the embeddings of a workflow and model, calling `each` with data borrowed for the call. */
typedef void embedding_fn(const char *chunk_id, const char *document_id, const float *vector,
                          size_t dims, void *arg);
enum status store_each_embedding(struct store *store, const char *workflow_id, const char *model,
                                 embedding_fn *each, void *arg, struct error *err) MUST_USE;
