/* SPDX-License-Identifier: Apache-2.0 */
#include "client/commands/commands.h"

/* In the order of help: as a person meets them. */
const struct command *const commands[] = {
	&command_connect,
	&command_status,
	&command_list,
	&command_intercept,
	&command_leave,
	&command_detach,
	&command_dns,
	&command_quit,
	&command_uninstall,
	&command_version,
	&command_help,
	&command_completion,
	&command_man,
	&command_lookup,
	&command_complete,
	&command_userd,
};
const size_t command_count = ARRAY_SIZE(commands);
