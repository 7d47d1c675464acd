/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "client/cli/child.h"
#include "client/cli/connection.h"
#include "client/cli/daemon.h"
#include "client/cli/describe.h"
#include "client/cli/envfile.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"
#include "core/limits.h"

enum {
	KEY_SERVICE = 600,
	KEY_CONTAINER,
	KEY_ADDRESS,
	KEY_MECHANISM,
	KEY_ENV_SYNTAX,
	KEY_ON_REFUSE,
	KEY_DETAILED,
	KEY_TO_POD,
	KEY_HTTP,
};

#define FLAG_PORTS 32 /* each of --port and --to-pod */

struct flags {
	const char *workload, *service, *container, *address, *on_refuse;
	const char *env_file, *env_json;
	enum env_syntax env_syntax;
	const char *ports[FLAG_PORTS], *to_pod[FLAG_PORTS];
	size_t port_count, to_pod_count;
	bool detailed;
};

static int add_port(const char **list, size_t *count, const char *text, struct err *err)
{
	if (*count >= FLAG_PORTS)
		return err_set(err, -E2BIG, ERR_USAGE, "at most %d ports", FLAG_PORTS);
	list[(*count)++] = text;
	return 0;
}

static int check_preview(const char *arg, struct err *err)
{
	if (arg && strcmp(arg, "false") == 0)
		return 0;
	if (arg && strcmp(arg, "true") != 0)
		return err_set(err, -EINVAL, ERR_USAGE, "--preview-url is true or false");
	return err_set(err, -EOPNOTSUPP, ERR_UNSUPPORTED,
		"preview URLs are not there yet: use --preview-url=false");
}

static int check_mechanism(const char *arg, struct err *err)
{
	if (strcmp(arg, "tcp") == 0)
		return 0;
	if (strcmp(arg, "http") != 0)
		return err_set(err, -EINVAL, ERR_USAGE, "unknown mechanism \"%.40s\": tcp", arg);
	return err_set(err, -EOPNOTSUPP, ERR_UNSUPPORTED,
		"intercepts of single HTTP requests are not there yet: use --mechanism tcp");
}

static int parse(struct cli *cli, int key, const char *arg, struct err *err)
{
	struct flags *flags = cli->flags;

	switch (key) {
	case 'p':
		return add_port(flags->ports, &flags->port_count, arg, err);
	case KEY_TO_POD:
		return add_port(flags->to_pod, &flags->to_pod_count, arg, err);
	case 'd':
	case 'w':
		flags->workload = arg;
		return 0;
	case KEY_SERVICE:
		flags->service = arg;
		return 0;
	case KEY_CONTAINER:
		flags->container = arg;
		return 0;
	case KEY_ADDRESS:
		flags->address = arg;
		return 0;
	case KEY_ON_REFUSE:
		flags->on_refuse = arg;
		return 0;
	case 'e':
		flags->env_file = arg;
		return 0;
	case 'j':
		flags->env_json = arg;
		return 0;
	case KEY_ENV_SYNTAX:
		return env_syntax_parse(arg, &flags->env_syntax, err);
	case KEY_DETAILED:
		flags->detailed = true;
		return 0;
	case 'u':
		return check_preview(arg, err);
	case KEY_MECHANISM:
		return check_mechanism(arg, err);
	default:
		return check_mechanism("http", err);
	}
}

static void put_list(json_object *request, const char *key, const char *const *items, size_t count)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, json_object_new_string(items[i]));
	json_object_object_add(request, key, list);
}

static json_object *make_request(const struct cli *cli)
{
	const struct flags *flags = cli->flags;
	json_object *request = daemon_request("intercept");
	bool environment = flags->env_file || flags->env_json || flags->detailed || cli->child;

	json_put_string(request, "name", cli->operands[0]);
	json_put_string(request, "workload", flags->workload);
	json_put_string(request, "namespace", cli->args.namespace);
	json_put_string(request, "service", flags->service);
	json_put_string(request, "container", flags->container);
	json_put_string(request, "address", flags->address);
	json_put_string(request, "on-refuse", flags->on_refuse);
	put_list(request, "ports", flags->ports, flags->port_count);
	put_list(request, "to-pod", flags->to_pod, flags->to_pod_count);
	json_object_object_add(request, "environment", json_object_new_boolean(environment));
	return request;
}

static int leave(struct cli *cli, const char *name, struct err *err)
{
	json_object *request = daemon_request("leave"), *result = NULL;
	int r;

	put_list(request, "names", &name, 1);
	r = daemon_call(cli, request, DAEMON_WORK_MS, &result, err);
	json_object_put(result);
	return r;
}

static void on_omitted(void *user, const char *name)
{
	cli_say(user, "Warning: the environment file cannot hold the variable %s: left out\n",
		name);
}

static int write_environment(struct cli *cli, json_object *environment, const char *path,
	enum env_syntax syntax, struct err *err)
{
	struct buf text;
	int r;

	if (!path)
		return 0;
	buf_init(&text, 4 * LIMIT_USER_MESSAGE_BYTES);
	r = env_format(environment, syntax, &text, on_omitted, cli);
	if (r < 0)
		err_set_errno(err, r, "%s", path);
	else
		r = env_write(path, &text, err);
	buf_done(&text);
	return r;
}

static int write_environments(struct cli *cli, json_object *intercept, struct err *err)
{
	const struct flags *flags = cli->flags;
	json_object *environment = json_get(intercept, "environment", json_type_object);
	int r;

	if (!environment && (flags->env_file || flags->env_json))
		return err_set(err, -ENODATA, ERR_INTERNAL,
			"the environment of the container is not known");
	r = write_environment(cli, environment, flags->env_file, flags->env_syntax, err);
	if (r == 0)
		r = write_environment(cli, environment, flags->env_json, ENV_JSON, err);
	return r;
}

static void show(struct cli *cli, json_object *intercept)
{
	const struct flags *flags = cli->flags;
	const char *workload = json_get_string(intercept, "workload");
	const char *kind = json_get_string(intercept, "workload_kind");

	if (cli->format == OUTPUT_JSON) {
		cli_result(cli, json_object_get(intercept), flags->detailed);
		return;
	}
	cli_print(cli, "Using ");
	for (; kind && *kind; kind++)
		cli_print(cli, "%c", tolower((unsigned char)*kind));
	cli_print(cli, " %s\nintercepted\n", workload ? workload : "");
	describe_intercept(cli, intercept, 4, false);
}

/* Until the program ends or the intercept does; then neither is left. */
static int run_child(struct cli *cli, json_object *intercept, struct err *err)
{
	const char *name = json_get_string(intercept, "name");
	json_object *hold = daemon_request("hold");
	struct err ignored = ERR_INIT;
	auto_close int held = -1;
	bool ended = false;
	int r;

	json_put_string(hold, "name", name);
	held = daemon_begin(hold, err);
	if (held < 0)
		return held;
	r = child_run(cli->child, json_get(intercept, "environment", json_type_object), held,
		&ended, err);
	if (!ended)
		(void)leave(cli, name, &ignored);
	else
		cli_say(cli, "The intercept %s has ended\n", name);
	return r;
}

static int run(struct cli *cli, struct err *err)
{
	json_object *intercept = NULL;
	const char *name;
	int r;

	if (!cli->operands[0])
		return err_set(err, -EINVAL, ERR_USAGE, "please name the intercept");
	r = connection_ensure(cli, err);
	if (r == 0)
		r = daemon_call(cli, make_request(cli), DAEMON_WORK_MS, &intercept, err);
	if (r < 0)
		return r;
	name = json_get_string(intercept, "name");
	r = write_environments(cli, intercept, err);
	if (r < 0) {
		struct err ignored = ERR_INIT;

		(void)leave(cli, name, &ignored);
	} else {
		show(cli, intercept);
		if (cli->child)
			r = run_child(cli, intercept, err);
	}
	json_object_put(intercept);
	return r;
}

static const struct argp_option options[] = {
	{"port", 'p', "LOCAL[:PORT]", 0,
		"Local port, and the service's (or container's) by name or number (default 8080; "
		"repeatable)",
		0},
	{"deployment", 'd', "NAME", 0, "The same as --workload", 0},
	{"workload", 'w', "NAME", 0, "Workload to intercept (default: the intercept's name)", 0},
	{"service", KEY_SERVICE, "NAME", 0, "Service, when several select the workload", 0},
	{"container", KEY_CONTAINER, "NAME", 0,
		"Container that the environment is taken from (default: the port's)", 0},
	{"address", KEY_ADDRESS, "HOST", 0, "Where connections go (default 127.0.0.1)", 0},
	{"mechanism", KEY_MECHANISM, "NAME", 0, "tcp: all connections of the port", 0},
	{"env-file", 'e', "FILE", 0, "Write the container's environment to this file", 0},
	{"env-json", 'j', "FILE", 0, "Write the container's environment as JSON", 0},
	{"env-syntax", KEY_ENV_SYNTAX, "SYNTAX", 0,
		"Of --env-file: docker (default), compose, sh, sh:export, csh, csh:export, ps, "
		"ps:export, cmd or json",
		0},
	{"on-refuse", KEY_ON_REFUSE, "app|close", 0,
		"Who gets a connection that this machine refuses (default app)", 0},
	{"to-pod", KEY_TO_POD, "PORT[/UDP]", 0,
		"Make this port of the pod's localhost one of this machine's (repeatable)", 0},
	{"detailed-output", KEY_DETAILED, NULL, 0,
		"With --output json: the whole description, without envelope", 0},
	{"preview-url", 'u', "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{"http-match", KEY_HTTP, "MATCH", OPTION_HIDDEN, NULL, 0},
	{"http-header", KEY_HTTP, "HEADER", OPTION_HIDDEN, NULL, 0},
	{"http-path-equal", KEY_HTTP, "PATH", OPTION_HIDDEN, NULL, 0},
	{"http-path-prefix", KEY_HTTP, "PATH", OPTION_HIDDEN, NULL, 0},
	{"http-path-regex", KEY_HTTP, "REGEX", OPTION_HIDDEN, NULL, 0},
	{"http-meta", KEY_HTTP, "META", OPTION_HIDDEN, NULL, 0},
	{"http-plaintext", KEY_HTTP, "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{0},
};

const struct command command_intercept = {
	.name = "intercept",
	.operand = "NAME",
	.completes = "workloads",
	.summary = "Let a workload's connections come to this machine",
	.description =
		"Every new connection to a port of the workload, in all its pods, arrives at this "
		"machine, until the intercept is left. What this machine does not take goes to the "
		"workload's own program. No pod is restarted. NAME is the workload's too, unless "
		"--workload is given; with --namespace NS and no --workload the intercept is "
		"called NAME-NS. A command after -- is started with the container's environment "
		"over its own; the intercept ends with it, and it with the intercept. Connects "
		"first when there is no connection, with the same flags as connect.",
	.options = options,
	.parse = parse,
	.flags_bytes = sizeof(struct flags),
	.kube_flags = true,
	.runs_child = true,
	.run = run,
};
