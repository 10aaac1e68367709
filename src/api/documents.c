/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/documents: uploads streamed to disk as they arrive, and what became of them. */
#include <string.h>

#include "api/routes.h"
#include "api/views.h"
#include "net/multipart.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { FORM_OVERHEAD = 64 * 1024, FIELD_TEXT = 64 };

/* One upload request: the form is parsed on the event loop, piece by piece. */
struct upload_form {
        struct request *req;
        struct multipart *multipart;
        struct upload *upload;
        char workflow_id[FIELD_TEXT];
        size_t workflow_id_length;
        enum { PART_NONE, PART_FILE, PART_WORKFLOW_ID } part;
};

static enum status part_begin(const char *name, const char *filename, const char *content_type,
                              void *arg, struct error *err)
{
        struct upload_form *form = arg;

        (void)content_type; /* the content itself tells the type */
        form->part = PART_NONE;
        if (strcmp(name, "workflow_id") == 0) {
                form->part = PART_WORKFLOW_ID;
                return STATUS_OK;
        }
        if (strcmp(name, "file") != 0)
                return error_set(err, STATUS_INVALID, "'%.60s' is not a field of this form", name);
        if (form->upload)
                return error_set(err, STATUS_INVALID, "Send one file at a time");
        if (!filename || !*filename)
                return error_set(err, STATUS_INVALID, "The file has no name");
        form->part = PART_FILE;
        return upload_begin(app_of(form->req)->documents, form, filename, &form->upload, err);
}

static enum status part_data(const char *data, size_t length, void *arg, struct error *err)
{
        struct upload_form *form = arg;

        if (form->part == PART_FILE)
                return upload_write(form->upload, data, length, err);
        if (form->workflow_id_length + length >= FIELD_TEXT)
                return error_set(err, STATUS_INVALID, "workflow_id must be an id (UUID)");
        memcpy(form->workflow_id + form->workflow_id_length, data, length);
        form->workflow_id_length += length;
        return STATUS_OK;
}

static enum status sink_begin(struct request *req, struct error *err)
{
        static const struct multipart_handlers handlers = {
                .part_begin = part_begin,
                .part_data = part_data,
        };
        struct upload_form *form = mem_new(req->ctx, struct upload_form);

        form->req = req;
        req->upload = form;
        return multipart_new(form, request_header(req, "Content-Type"), &handlers, form,
                             &form->multipart, err);
}

static enum status sink_piece(struct request *req, const char *data, size_t length,
                              struct error *err)
{
        struct upload_form *form = req->upload;

        return multipart_feed(form->multipart, data, length, err);
}

static const struct body_sink upload_sink = {sink_begin, sink_piece};

static enum status finish_upload(struct request *req, struct document *document, bool *duplicate,
                                 struct error *err)
{
        struct app *app = app_of(req);
        struct upload_form *form = req->upload;
        int64_t version;

        if (!form)
                return error_set(err, STATUS_INVALID, "Send the file as multipart/form-data");
        if (multipart_end(form->multipart, err))
                return err->status;
        if (!form->upload) {
                problems_add(request_problems(req), NULL, "file", "is required");
                return error_set(err, STATUS_INVALID, "file is required");
        }
        if (strlen(form->workflow_id) != form->workflow_id_length) /* a NUL in it */
                form->workflow_id[0] = '\0';
        if (id_field(req, "workflow_id", form->workflow_id_length ? form->workflow_id : NULL,
                     err) ||
            store_check_workflow(app->store, user_of(req)->id, form->workflow_id, &version, err))
                return err->status;
        trace_set(req->trace.workflow_id, form->workflow_id);
        return upload_finish(form->upload, user_of(req)->id, form->workflow_id, req->ctx, document,
                             duplicate, err);
}

static struct reply upload(struct request *req)
{
        struct document document = {0};
        struct error err = ERROR_INIT;
        bool duplicate = false;
        struct view view;

        if (finish_upload(req, &document, &duplicate, &err)) {
                metric_add(METRIC_document_uploads_total, 1, "refused");
                return reply_error(req, &err);
        }
        metric_add(METRIC_document_uploads_total, 1, "accepted");
        metric_observe(METRIC_document_upload_bytes, (double)document.file_size);
        log_info(LOG_document_upload, "document uploaded", LOG_STR("document_id", document.id),
                 LOG_INT("file_size", document.file_size), LOG_BOOL("duplicate", duplicate));
        view_begin(&view, req);
        view_document(&view.json, duplicate ? document.id : NULL, &document);
        return view_reply(&view, 202);
}

static enum status load(struct request *req, struct document *document, struct error *err)
{
        const char *id;

        if (id_param(req, "id", &id, err))
                return err->status;
        return store_get_document(app_of(req)->store, req->ctx, user_of(req)->id, id, document,
                                  err);
}

static struct reply get_document(struct request *req)
{
        struct document document = {0};
        struct error err = ERROR_INIT;
        struct view view;

        if (load(req, &document, &err))
                return reply_error(req, &err);
        view_begin(&view, req);
        view_document(&view.json, NULL, &document);
        return view_reply(&view, 200);
}

static struct reply get_status(struct request *req)
{
        struct document document = {0};
        struct error err = ERROR_INIT;
        struct view view;

        if (load(req, &document, &err))
                return reply_error(req, &err);
        view_begin(&view, req);
        view_document_status(&view.json, &document);
        return view_reply(&view, 200);
}

static struct reply list_documents(struct request *req)
{
        const char *workflow_id = request_query(req, "workflow_id");
        struct page page;
        struct document *rows = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;

        if (page_read(req, &page, &err) ||
            (workflow_id && id_field(req, "workflow_id", workflow_id, &err)) ||
            store_list_documents(app_of(req)->store, req->ctx, user_of(req)->id, workflow_id, &page,
                                 &rows, &count, &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++)
                view_document(&view.json, NULL, &rows[i]);
        return view_list_reply(&view, &page);
}

static struct reply list_chunks(struct request *req)
{
        struct document document = {0};
        struct page page;
        struct chunk *rows = NULL;
        size_t count = 0;
        struct error err = ERROR_INIT;
        struct view view;

        if (page_read(req, &page, &err) || load(req, &document, &err) ||
            store_list_chunks(app_of(req)->store, req->ctx, document.id, &page, &rows, &count,
                              &err))
                return reply_error(req, &err);
        view_list_begin(&view, req);
        for (size_t i = 0; i < count; i++)
                view_chunk(&view.json, &rows[i]);
        return view_list_reply(&view, &page);
}

static struct reply download(struct request *req)
{
        struct document document = {0};
        struct error err = ERROR_INIT;
        int fd = -1;

        if (load(req, &document, &err) ||
            documents_open(app_of(req)->documents, &document, &fd, &err))
                return reply_error(req, &err);
        return reply_file(req, fd, (size_t)document.file_size, document.content_type,
                          document.filename);
}

static struct reply delete_document(struct request *req)
{
        struct error err = ERROR_INIT;
        const char *id;

        if (id_param(req, "id", &id, &err) ||
            documents_delete(app_of(req)->documents, user_of(req)->id, id, &err))
                return reply_error(req, &err);
        return reply_empty(req, 204);
}

/* The upload's own limit is MAX_UPLOAD_BYTES, checked as it arrives; this one only bounds what a
 * form may add around it. */
enum { UPLOAD_BODY_MAX = 2147483647 - FORM_OVERHEAD };

const struct route document_routes[] = {
        {METHOD_POST, "/api/v1/documents/upload", 0, UPLOAD_BODY_MAX, upload, &upload_sink},
        {METHOD_GET, "/api/v1/documents", 0, 0, list_documents, NULL},
        {METHOD_GET, "/api/v1/documents/{id}", 0, 0, get_document, NULL},
        {METHOD_GET, "/api/v1/documents/{id}/status", 0, 0, get_status, NULL},
        {METHOD_GET, "/api/v1/documents/{id}/chunks", 0, 0, list_chunks, NULL},
        {METHOD_GET, "/api/v1/documents/{id}/download", 0, 0, download, NULL},
        {METHOD_DELETE, "/api/v1/documents/{id}", 0, 0, delete_document, NULL},
        {0},
};
