/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/help.h - texts made of the command table: overview, man page
 */
#ifndef CLIENT_CLI_HELP_H
#define CLIENT_CLI_HELP_H

#include "core/attr.h"

struct argp_option;
struct cli;
struct command;

/* The options of a command as argp takes them: its own, the connection's, the common ones. The
 * caller frees. */
NODISCARD struct argp_option *help_options(const struct command *command);

void help_overview(struct cli *cli);
void help_command(struct cli *cli, const struct command *command);
void help_man_page(struct cli *cli);

#define KEY_HELP   'h'
#define KEY_OUTPUT 500

#endif /* CLIENT_CLI_HELP_H */
