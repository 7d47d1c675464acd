/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/connection.h"

#include <errno.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/daemon.h"
#include "client/cli/launch.h"
#include "client/userd/proto.h"
#include "cluster/kubeconfig.h"
#include "core/alloc.h"
#include "core/err.h"

/* Of connections that are just ending there is one; more were ended by other commands meanwhile. */
#define OPEN_TRIES 5

static json_object *environment(void)
{
	json_object *env = json_object_new_object();

	for (char **entry = environ; *entry; entry++) {
		const char *equals = strchr(*entry, '=');
		auto_free char *name = equals ? xstrndup(*entry, (size_t)(equals - *entry)) : NULL;

		auto_free char *paths = NULL;

		if (!name)
			continue;
		if (strcmp(name, "KUBECONFIG") == 0)
			paths = connect_absolute_paths(equals + 1);
		json_put_string(env, name, paths ? paths : equals + 1);
	}
	return env;
}

void connection_put_args(const struct cli *cli, json_object *request)
{
	json_object_object_add(request, "args", connect_args_to_json(&cli->args));
	json_object_object_add(request, "env", environment());
}

int connection_need_userd(struct cli *cli, json_object **ret_status, struct err *err)
{
	int r = daemon_call(cli, daemon_request("status"), DAEMON_ANSWER_MS, ret_status, err);

	if (r != -ECONNREFUSED)
		return r;
	*err = (struct err)ERR_INIT;
	r = launch_userd(cli, err);
	if (r < 0)
		return r;
	return daemon_call(cli, daemon_request("status"), DAEMON_ANSWER_MS, ret_status, err);
}

/* A kubeconfig that cannot be used is told before anybody is asked for a password. */
static int check_kubeconfig(const struct cli *cli, struct err *err)
{
	const struct kube_overrides overrides = connect_args_overrides(&cli->args);
	AUTO(kube_config) config = NULL;

	return kube_config_load(&overrides, &config, err);
}

/* The daemons as they are now, those that do not run started. */
static int open_once(struct cli *cli, json_object **ret_result, struct err *err)
{
	json_object *status = NULL, *request;
	bool has_root;
	int r = connection_need_userd(cli, &status, err);

	if (r < 0)
		return r == -EPIPE || r == -ECONNRESET ? -ERESTART : r;
	has_root = json_get_bool(json_get(status, "root_daemon", json_type_object), "running");
	json_object_put(status);
	if (!has_root)
		r = launch_rootd(cli, err);
	if (r < 0)
		return r;
	request = daemon_request("connect");
	connection_put_args(cli, request);
	return daemon_connect(cli, request, ret_result, err);
}

int connection_open(struct cli *cli, json_object **ret_result, struct err *err)
{
	int r = check_kubeconfig(cli, err);

	if (r < 0)
		return r;
	for (int i = 0; i < OPEN_TRIES; i++) {
		*err = (struct err)ERR_INIT;
		cli->hint[0] = '\0';
		r = open_once(cli, ret_result, err);
		if (r != -ERESTART)
			break;
	}
	return r;
}

int connection_is_open(struct cli *cli, struct err *err)
{
	json_object *status = NULL, *daemon;
	const char *text;
	bool connected;
	int r = daemon_call(cli, daemon_request("status"), DAEMON_ANSWER_MS, &status, err);

	if (r == -ETIMEDOUT)
		return r;
	if (r < 0) {
		*err = (struct err)ERR_INIT;
		return 0;
	}
	daemon = json_get(status, "user_daemon", json_type_object);
	text = json_get_string(daemon, "status");
	connected = text && (strcmp(text, "Connected") == 0 || strcmp(text, "Reconnecting") == 0);
	json_object_put(status);
	return connected;
}

/* Who names a cluster must not be given another one that is connected already. */
static bool names_cluster(const struct cli *cli)
{
	const struct connect_args none = {0};
	json_object *given = connect_args_to_json(&cli->args);
	json_object *empty = connect_args_to_json(&none);
	bool any = !json_object_equal(given, empty);

	json_object_put(given);
	json_object_put(empty);
	return any;
}

int connection_ensure(struct cli *cli, struct err *err)
{
	char *namespace = TAKE_PTR(cli->args.namespace);
	int was_connected = connection_is_open(cli, err);
	json_object *result = NULL;
	int r = MIN(was_connected, 0);

	if (r == 0 && (!was_connected || names_cluster(cli))) {
		r = connection_open(cli, &result, err);
		if (r == 0 && !was_connected)
			cli_say(cli, "Connected to context %s (%s)\n",
				json_get_string(result, "kubernetes_context"),
				json_get_string(result, "kubernetes_server"));
	}
	json_object_put(result);
	cli->args.namespace = namespace;
	return r;
}
