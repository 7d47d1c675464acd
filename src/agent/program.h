/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/program.h - the life of an agent: its link to the manager, its configuration, its end
 *
 * Lifecycle: program_start(), run the loop, program_free() when it has run out. It stops itself
 * when it is idle for as long as the manager said, when it has had no manager for
 * PROGRAM_ALONE_MS, when told to exit, and when it was refused.
 */
#ifndef AGENT_PROGRAM_H
#define AGENT_PROGRAM_H

#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"

/* Without the manager every intercepted connection takes the way around by the app: the rules go
 * when this was no moment's loss, and come back with the next configuration. */
#define PROGRAM_RULES_KEPT_MS 10000
#define PROGRAM_ALONE_MS      60000

struct agent_options;
struct err;
struct program;

/* options are borrowed. Opens the nftables socket; the link is made by the loop. */
NODISCARD int program_start(uv_loop_t *loop, const struct agent_options *options,
	struct program **ret_program, struct err *err);
/* Removes the rules at once; the loop runs out. */
void program_stop(struct program *program);
/* Removes the rules at once and stops with the last connection that is there: the pod goes, and its
 * grace period is the limit. False: there was none. */
bool program_drain(struct program *program);
int program_exit_code(const struct program *program);
void program_free(struct program *program); /* NULL-safe; after the loop */

#endif /* AGENT_PROGRAM_H */
