/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads: bytes go to the disk as they come and are hashed and looked at on the way; the document
 * exists once they are all there, under a name of our own. */
#include <sodium.h>
#include <string.h>

#include "document/documents_internal.h"
#include "document/filename.h"
#include "document/format.h"

struct upload {
        struct documents *documents;
        char *filename;
        struct part_file part;
        struct format_probe probe;
        crypto_hash_sha256_state hash;
};

static int upload_destroy(struct upload *upload)
{
        folder_drop(upload->documents->folder, &upload->part);
        return 0;
}

enum status upload_begin(struct documents *documents, const void *ctx, const char *filename,
                         struct upload **ret, struct error *err)
{
        struct upload *upload;
        struct part_file part;
        char *name;

        if (pool_waiting(documents->pool) >= documents->options.queue_max) {
                error_set(err, STATUS_UNAVAILABLE, "too many documents are waiting to be read");
                err->retry_after_ms = 30000;
                return err->status;
        }
        if (filename_clean(ctx, filename, &name, err) ||
            folder_begin(documents->folder, &part, err))
                return err->status;
        upload = mem_new(ctx, struct upload);
        upload->documents = documents;
        upload->filename = name;
        upload->part = part;
        crypto_hash_sha256_init(&upload->hash);
        talloc_set_destructor(upload, upload_destroy);
        *ret = upload;
        return STATUS_OK;
}

enum status upload_write(struct upload *upload, const void *data, size_t length, struct error *err)
{
        uint64_t max = upload->documents->options.upload_max;

        if (length > max || upload->probe.length > max - length)
                return error_set(err, STATUS_TOO_LARGE,
                                 "the file is larger than the %.1f MiB that are allowed",
                                 (double)max / (1024 * 1024));
        crypto_hash_sha256_update(&upload->hash, data, length);
        format_probe_feed(&upload->probe, data, length);
        return part_file_write(&upload->part, data, length, err);
}

static char *hash_text(struct upload *upload, const void *ctx)
{
        unsigned char hash[crypto_hash_sha256_BYTES];
        char *text = mem_array(ctx, char, 2 * sizeof(hash) + 1);

        crypto_hash_sha256_final(&upload->hash, hash);
        return sodium_bin2hex(text, 2 * sizeof(hash) + 1, hash, sizeof(hash));
}

/* The row comes after the file, so that a document that is there can always be read. A file whose
 * row never came is swept later. */
static enum status create(struct upload *upload, const void *ctx, struct document *document,
                          bool *ret_duplicate, struct error *err)
{
        struct documents *documents = upload->documents;
        struct store *store = documents->options.store;
        char *existing = NULL;

        if (folder_keep(documents->folder, &upload->part, document->id, err))
                return err->status;
        if (store_create_document(store, document, ctx, &existing, err) || existing)
                folder_remove(documents->folder, document->id);
        if (err->status)
                return err->status;
        *ret_duplicate = existing != NULL;
        if (existing)
                return store_get_document(store, ctx, NULL, existing, document, err);
        documents_queue(documents, JOB_PROCESS, document->id);
        return STATUS_OK;
}

enum status upload_finish(struct upload *upload, const char *owner_id, const char *workflow_id,
                          const void *ctx, struct document *ret, bool *ret_duplicate,
                          struct error *err)
{
        const struct format *format;
        char id[UUID_TEXT_SIZE];

        if (format_decide(&upload->probe, upload->filename, &format, err))
                return err->status;
        *ret = (struct document){
                .id = mem_strdup(ctx, uuid_new(id)),
                .owner_id = mem_strdup(ctx, owner_id),
                .workflow_id = mem_strdup(ctx, workflow_id),
                .filename = mem_strdup(ctx, upload->filename),
                .content_type = mem_strdup(ctx, format->content_type),
                .sha256 = hash_text(upload, ctx),
                .file_size = (int64_t)upload->probe.length,
        };
        return create(upload, ctx, ret, ret_duplicate, err);
}
