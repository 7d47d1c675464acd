/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/suggest.h - what somebody may have meant who typed a word that does not exist
 */
#ifndef CLIENT_CLI_SUGGEST_H
#define CLIENT_CLI_SUGGEST_H

#include "core/attr.h"

struct argp_option;
struct err;

/* -EINVAL and *err for a name that no command has, with the one that is most like it. */
int suggest_command(const char *name, struct err *err);
/* The same for a word of the command line that getopt has refused: an option that is unknown, is
 * ambiguous, lacks its value or takes none. */
int suggest_option(const struct argp_option *options, const char *word, struct err *err);

#endif /* CLIENT_CLI_SUGGEST_H */
