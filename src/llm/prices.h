/* SPDX-License-Identifier: Apache-2.0 */
/* Price table: US dollars per million tokens by provider and model prefix, from an editable JSON
 * file: {"updated":"2026-11-01","prices":[{"provider":"gemini","model":"gemini-3.8-flash",
 * "input":0.3,"output":2.5}]}. The longest prefix that ends at a word of the model id wins ("gpt-5"
 * covers "gpt-5-2026-01-01", not "gpt-5.4"); unknown models cost 0. */
#pragma once

#include "base/json.h"

struct prices;

/* `file` NULL: the table embedded at build (src/llm/prices.json). */
enum status prices_load(const void *ctx, const char *file, struct prices **ret,
                        struct error *err) MUST_USE;
double prices_cost(const struct prices *prices, const char *provider, const char *model,
                   int64_t input_tokens, int64_t output_tokens);
