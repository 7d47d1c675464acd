/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/commands/commands.h - the commands, one file each
 */
#ifndef CLIENT_COMMANDS_COMMANDS_H
#define CLIENT_COMMANDS_COMMANDS_H

#include "client/cli/command.h"

extern const struct command command_complete;
extern const struct command command_completion;
extern const struct command command_connect;
extern const struct command command_detach;
extern const struct command command_dns;
extern const struct command command_help;
extern const struct command command_intercept;
extern const struct command command_leave;
extern const struct command command_list;
extern const struct command command_lookup;
extern const struct command command_man;
extern const struct command command_quit;
extern const struct command command_status;
extern const struct command command_uninstall;
extern const struct command command_userd;
extern const struct command command_version;

#endif /* CLIENT_COMMANDS_COMMANDS_H */
