/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/launch.h - starts the daemons; both return here when they serve, and go on by
 * themselves
 */
#ifndef CLIENT_CLI_LAUNCH_H
#define CLIENT_CLI_LAUNCH_H

#include "core/attr.h"

struct cli;
struct err;

/* Succeeds too when another command has started one meanwhile. */
NODISCARD int launch_userd(struct cli *cli, struct err *err);
/* Directly as root, else through sudo, which may ask for a password on the terminal. */
NODISCARD int launch_rootd(struct cli *cli, struct err *err);

/* "~/.cache/telepresence", made when it is missing; NULL with *err. The caller frees. */
char *launch_cache_dir(struct err *err);

#endif /* CLIENT_CLI_LAUNCH_H */
