/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/child.h - "-- CMD ARGS": a program that lives as long as an intercept
 *
 * It runs in the foreground with the command's terminal and descriptors, gets the signals that are
 * sent to the command, and is terminated when the intercept ends under it or when the command dies
 * in whatever way.
 */
#ifndef CLIENT_CLI_CHILD_H
#define CLIENT_CLI_CHILD_H

#include <json-c/json.h>
#include <stdbool.h>

#include "core/attr.h"

struct err;

/*
 * Runs argv with environment (an object of strings, or NULL) over this process's own, until it
 * ends. held: a descriptor that becomes readable when its reason to run is gone.
 * 0: it ended with status 0. -ECHILD: otherwise, *err says how. -errno: it could not be started.
 */
NODISCARD int child_run(
	char *const argv[], json_object *environment, int held, bool *ret_ended, struct err *err);

#endif /* CLIENT_CLI_CHILD_H */
