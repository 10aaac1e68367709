/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the program. Each gets its own name as argv[0]; STATUS_INVALID means wrong use
 * (exit status 2), any other failure is exit status 1; the message was not printed yet. */
#pragma once

#include "main/config.h"

enum status command_serve(const struct config *config, int argc, char **argv,
                          struct error *err) MUST_USE;
enum status command_run(const struct config *config, int argc, char **argv,
                        struct error *err) MUST_USE;
enum status command_migrate(const struct config *config, int argc, char **argv,
                            struct error *err) MUST_USE;
enum status command_user(const struct config *config, int argc, char **argv,
                         struct error *err) MUST_USE;
enum status command_check(const struct config *config, int argc, char **argv,
                          struct error *err) MUST_USE;
enum status command_version(const struct config *config, int argc, char **argv,
                            struct error *err) MUST_USE;
