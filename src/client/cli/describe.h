/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/describe.h - intercepts as commands show them
 *
 * Each takes a description as docs/ipc-userd.md has it: the daemon's word, so that nothing of it
 * may be missing is not assumed.
 */
#ifndef CLIENT_CLI_DESCRIBE_H
#define CLIENT_CLI_DESCRIBE_H

#include <json-c/json.h>
#include <stdbool.h>

struct cli;

/* Keys and values, the keys padded to the longest, each line after `indent` spaces. owner: whose it
 * is, too. */
void describe_intercept(struct cli *cli, json_object *intercept, int indent, bool owner);
/* The block of `status`: how many, and each with its client; what is not as it should be. */
void describe_summary(struct cli *cli, json_object *intercepts);

#endif /* CLIENT_CLI_DESCRIBE_H */
