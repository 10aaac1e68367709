/* SPDX-License-Identifier: Apache-2.0 */
/* Wiring: opens every part of the program in order, and closes them in the opposite one. */
#pragma once

#include "api/app.h"
#include "main/config.h"

/* Everything but the HTTP server, below one struct. On failure nothing stays open. */
enum status parts_open(const struct config *config, struct app **ret, struct error *err) MUST_USE;
/* After the server has stopped. Takes NULL. */
struct app *parts_close(struct app *app);
