/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/connection.h - a connection for the commands that need one
 */
#ifndef CLIENT_CLI_CONNECTION_H
#define CLIENT_CLI_CONNECTION_H

#include <json-c/json.h>
#include <stdbool.h>

#include "core/attr.h"

struct cli;
struct err;

/* Starts the daemons that do not run, and connects as cli->args say; the user daemon's result. */
NODISCARD int connection_open(struct cli *cli, json_object **ret_result, struct err *err);
/* As connection_open() unless there is a connection. --namespace is the command's own here: the
 * connection keeps the context's. */
NODISCARD int connection_ensure(struct cli *cli, struct err *err);
/* 1, 0, or -ETIMEDOUT: the user daemon stands still. */
NODISCARD int connection_is_open(struct cli *cli, struct err *err);
/* A user daemon that answers. */
NODISCARD int connection_need_userd(struct cli *cli, json_object **ret_status, struct err *err);
/* args and env of a request. */
void connection_put_args(const struct cli *cli, json_object *request);

#endif /* CLIENT_CLI_CONNECTION_H */
