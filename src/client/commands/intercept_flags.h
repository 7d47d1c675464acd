/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/commands/intercept_flags.h - the flags of `intercept`, and the request that they make
 */
#ifndef CLIENT_COMMANDS_INTERCEPT_FLAGS_H
#define CLIENT_COMMANDS_INTERCEPT_FLAGS_H

#include <argp.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "client/cli/envfile.h"
#include "core/attr.h"

struct cli;
struct err;

#define INTERCEPT_FLAG_PORTS 32 /* each of --port and --to-pod */

/* Texts are the command line's own. */
struct intercept_flags {
	const char *workload, *service, *container, *address, *on_refuse, *wait_message;
	const char *env_file, *env_json;
	enum env_syntax env_syntax;
	const char *ports[INTERCEPT_FLAG_PORTS], *to_pod[INTERCEPT_FLAG_PORTS];
	size_t port_count, to_pod_count;
	bool detailed, local_only;
};

extern const struct argp_option intercept_options[];
/* As command.parse. */
NODISCARD int intercept_flags_parse(struct cli *cli, int key, const char *arg, struct err *err);
/* What the daemon would refuse is known without one: before a connection installs anything. */
NODISCARD int intercept_flags_check(const struct cli *cli, struct err *err);
/* The request `intercept` of docs/ipc-userd.md; the caller's. */
NODISCARD json_object *intercept_flags_request(const struct cli *cli);

#endif /* CLIENT_COMMANDS_INTERCEPT_FLAGS_H */
