/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/daemon.h - the command line's side of the user daemon's protocol: ask, watch, be told
 */
#ifndef CLIENT_CLI_DAEMON_H
#define CLIENT_CLI_DAEMON_H

#include <json-c/json.h>

#include "core/attr.h"

struct cli;
struct err;

/* A daemon that is healthy answers this fast; connecting and installing say something meanwhile. */
#define DAEMON_ANSWER_MS 10000
#define DAEMON_WORK_MS   180000
/* What ending a connection in order takes, many times over. */
#define DAEMON_STOP_MS 5000

/* {"protocol": 1, "request": name}. */
json_object *daemon_request(const char *name);
/*
 * Sends the request (taken) and waits for the result, which is the caller's; progress lines go to
 * cli_say(). -ECONNREFUSED: no user daemon runs; -EPIPE: it has ended. The daemon's error and hint
 * are passed on.
 */
NODISCARD int daemon_call(struct cli *cli, json_object *request, int timeout_ms,
	json_object **ret_result, struct err *err);
/* The two halves of daemon_call(), for what takes as long as it takes: the socket, readable when
 * the answer comes, which hanging up takes the request back; and the result. Of one that asked to
 * hold it the socket is readable again when it has ended. */
NODISCARD int daemon_begin(json_object *request, struct err *err);
NODISCARD int daemon_end(
	struct cli *cli, int fd, int timeout_ms, json_object **ret_result, struct err *err);
/* As daemon_call() for a connection. -ERESTART: the daemon was ending the former one, perhaps with
 * itself, which is over now, and whatever else was looked at before is to be looked at again. */
NODISCARD int daemon_connect(
	struct cli *cli, json_object *request, json_object **ret_result, struct err *err);
/* As daemon_call(), and then waits until the daemon's process has ended. One that does not answer
 * in time is ended by force: success, without a result. */
NODISCARD int daemon_stop(
	struct cli *cli, int timeout_ms, json_object **ret_result, struct err *err);

#endif /* CLIENT_CLI_DAEMON_H */
