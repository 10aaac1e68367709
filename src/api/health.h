/* SPDX-License-Identifier: Apache-2.0 */
/* Health: what is checked, and the last answer, kept for a second so that probes cost nothing. */
#pragma once

#include "api/app.h"

struct health *health_new(struct app *app) MUST_USE;
struct health *health_free(struct health *health);
/* From now on readiness answers 503: the program is about to stop. Waits for checks under way: after
 * it none touches the program's parts. */
void health_stop(struct health *health);
