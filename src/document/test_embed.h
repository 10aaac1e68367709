/* SPDX-License-Identifier: Apache-2.0 */
/* An embedding model for tests in place of the llm layer: a text's vector is the sum of fixed
 * directions of the "meanings" of its words, so that "car" and "automobile" are close. */
#pragma once

#include <stdatomic.h>

#include "llm/llm.h"

enum { TEST_DIMS = 64 };

extern atomic_bool test_embed_fails; /* then: UPSTREAM, "the model is out" */
extern atomic_uint test_embed_calls;
/* Called at the start of each call when not NULL. */
extern void (*test_embed_hook)(void);
