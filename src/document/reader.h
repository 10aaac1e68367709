/* SPDX-License-Identifier: Apache-2.0 */
/* Readers turn the bytes of one format into text. They run in the confined child (and in fuzz
 * targets), may use as much memory as the child is allowed, and open nothing. */
#pragma once

#include "document/text_out.h"

/* Fails with UNPROCESSABLE and words that tell the owner of the file what is wrong with it. */
typedef enum status reader_fn(const void *ctx, const char *data, size_t length,
                              struct text_out *out, struct error *err);

reader_fn read_plain_text, read_markdown, read_html, read_csv, read_docx;

/* Opens the converters that readers need, which loads files: before the child locks itself in. */
enum status reader_prepare(struct error *err) MUST_USE;

/* The file as UTF-8 without byte order mark: UTF-8 as it is, UTF-16 with a byte order mark and
 * windows-1252 converted. *ret is `data` itself or below ctx. */
enum status reader_decode(const void *ctx, const char *data, size_t length, const char **ret,
                          size_t *ret_length, struct error *err) MUST_USE;
