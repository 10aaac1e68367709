/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks: bearer tokens (JWT or personal API key) to users, with a short cache. */
#pragma once

#include "api/app.h"

struct sessions *sessions_new(struct app *app) MUST_USE;
struct sessions *sessions_free(struct sessions *sessions);

/* The authorize hook of the server: fills req->user. */
enum status session_authorize(struct request *req, struct error *err);
/* The user of a token from any place (header, WebSocket), below ctx. */
enum status session_user(struct app *app, const void *ctx, const char *token, struct user *ret,
                         struct error *err) MUST_USE;
/* The user changed (password, name): the next request reads it anew. */
void session_forget(struct app *app, const char *user_id);
