/* SPDX-License-Identifier: Apache-2.0 */
#include "client/commands/intercept_flags.h"

#include <errno.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/daemon.h"
#include "client/userd/intercept_args.h"
#include "client/userd/proto.h"

enum {
	KEY_SERVICE = 600,
	KEY_CONTAINER,
	KEY_ADDRESS,
	KEY_MECHANISM,
	KEY_ENV_SYNTAX,
	KEY_ON_REFUSE,
	KEY_DETAILED,
	KEY_TO_POD,
	KEY_WAIT_MESSAGE,
	KEY_MOUNT,
	/* What is not there, by what is said of it. */
	KEY_HTTP,
	KEY_PREVIEW,
	KEY_VOLUMES,
	KEY_DOCKER,
	KEY_REPLACE,
};

static const struct {
	int key;
	const char *text;
} absent[] = {
	{KEY_HTTP, "intercepts of single HTTP requests are not there yet: use --mechanism tcp"},
	{KEY_PREVIEW, "preview URLs are not there yet: use --preview-url=false"},
	{KEY_VOLUMES, "the pod's volumes on this machine are not there yet: use --mount=false"},
	{KEY_DOCKER, "--docker-run is not there yet: write --env-file FILE, then run the container "
		     "with --env-file FILE and --network host"},
	{KEY_REPLACE, "--replace is not there yet: an intercept leaves the container running"},
};

static int refuse(int key, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
		if (absent[i].key == key)
			return err_set(err, -EOPNOTSUPP, ERR_UNSUPPORTED, "%s", absent[i].text);
	}
	return err_set(err, -EINVAL, ERR_INTERNAL, "flag %d", key);
}

static int add_port(const char **list, size_t *count, const char *text, struct err *err)
{
	if (*count >= INTERCEPT_FLAG_PORTS)
		return err_set(err, -E2BIG, ERR_USAGE, "at most %d ports", INTERCEPT_FLAG_PORTS);
	list[(*count)++] = text;
	return 0;
}

/* "", "true" and "false" of a flag; anything else is neither. */
static int take_bool(const char *name, const char *arg, bool *ret_value, struct err *err)
{
	*ret_value = !arg || strcmp(arg, "true") == 0;
	if (*ret_value || strcmp(arg, "false") == 0)
		return 0;
	return err_set(err, -EINVAL, ERR_USAGE, "%s is true or false", name);
}

static int check_preview(const char *arg, struct err *err)
{
	bool wanted = false;
	int r = take_bool("--preview-url", arg, &wanted, err);

	return r == 0 && wanted ? refuse(KEY_PREVIEW, err) : r;
}

static int check_mechanism(const char *arg, struct err *err)
{
	if (strcmp(arg, "tcp") == 0)
		return 0;
	if (strcmp(arg, "http") != 0)
		return err_set(err, -EINVAL, ERR_USAGE, "unknown mechanism \"%.40s\": tcp", arg);
	return refuse(KEY_HTTP, err);
}

/* The place of a flag that keeps its text; NULL: another one. */
static const char **text_of(struct intercept_flags *flags, int key)
{
	const struct {
		int key;
		const char **text;
	} texts[] = {
		{'d', &flags->workload},
		{'w', &flags->workload},
		{KEY_SERVICE, &flags->service},
		{KEY_CONTAINER, &flags->container},
		{KEY_ADDRESS, &flags->address},
		{KEY_ON_REFUSE, &flags->on_refuse},
		{KEY_WAIT_MESSAGE, &flags->wait_message},
		{'e', &flags->env_file},
		{'j', &flags->env_json},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].key == key)
			return texts[i].text;
	}
	return NULL;
}

int intercept_flags_parse(struct cli *cli, int key, const char *arg, struct err *err)
{
	struct intercept_flags *flags = cli->flags;
	const char **text = text_of(flags, key);

	if (text) {
		*text = arg;
		return 0;
	}
	switch (key) {
	case 'p':
		return add_port(flags->ports, &flags->port_count, arg, err);
	case KEY_TO_POD:
		return add_port(flags->to_pod, &flags->to_pod_count, arg, err);
	case KEY_ENV_SYNTAX:
		return env_syntax_parse(arg, &flags->env_syntax, err);
	case KEY_DETAILED:
		flags->detailed = true;
		return 0;
	case 'l':
		return take_bool("--local-only", arg, &flags->local_only, err);
	case 'u':
		return check_preview(arg, err);
	case KEY_MECHANISM:
		return check_mechanism(arg, err);
	case KEY_MOUNT:
		return strcmp(arg, "false") == 0 ? 0 : refuse(KEY_VOLUMES, err);
	default:
		return refuse(key == 'b' ? KEY_PREVIEW : key, err);
	}
}

static void put_list(json_object *request, const char *key, const char *const *items, size_t count)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, json_object_new_string(items[i]));
	json_object_object_add(request, key, list);
}

json_object *intercept_flags_request(const struct cli *cli)
{
	const struct intercept_flags *flags = cli->flags;
	json_object *request = daemon_request("intercept");
	bool files = flags->env_file || flags->env_json;
	/* Without a pod there is none: a command keeps its own, and only files need one. */
	bool environment = files || (!flags->local_only && (flags->detailed || cli->child));

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
	json_object_object_add(request, "hold", json_object_new_boolean(cli->child != NULL));
	json_object_object_add(request, "local-only", json_object_new_boolean(flags->local_only));
	return request;
}

int intercept_flags_check(const struct cli *cli, struct err *err)
{
	json_object *request = intercept_flags_request(cli);
	struct intercept_args args;
	int r = intercept_args_parse(request, "", &args, err);

	if (r == 0)
		intercept_args_done(&args);
	json_object_put(request);
	return r;
}

const struct argp_option intercept_options[] = {
	{"port", 'p', "LOCAL[:PORT]", 0,
		"Local port, and the service's (or container's) by name or number, with /UDP if "
		"TCP has it too (default 8080; repeatable)",
		0},
	{"deployment", 'd', "NAME", 0, "The same as --workload", 0},
	{"workload", 'w', "NAME", 0, "Workload to intercept (default: the intercept's name)", 0},
	{"service", KEY_SERVICE, "NAME", 0, "Service, when several select the workload", 0},
	{"container", KEY_CONTAINER, "NAME", 0,
		"Container that the environment is taken from (default: the port's)", 0},
	{"address", KEY_ADDRESS, "HOST", 0, "Where connections go (default 127.0.0.1)", 0},
	{"local-only", 'l', "BOOL", OPTION_ARG_OPTIONAL,
		"Intercept nothing: only let names of --namespace be found without it", 0},
	{"mechanism", KEY_MECHANISM, "NAME", 0, "tcp: all connections of the port", 0},
	{"env-file", 'e', "FILE", 0,
		"Write the container's environment to this file (-: standard output)", 0},
	{"env-json", 'j', "FILE", 0, "The same as JSON", 0},
	{"env-syntax", KEY_ENV_SYNTAX, "SYNTAX", 0,
		"Of --env-file: docker (default), compose, sh, sh:export, csh, csh:export, ps, "
		"ps:export, cmd or json",
		0},
	{"on-refuse", KEY_ON_REFUSE, "app|close", 0,
		"Who gets a connection that this machine refuses (default app)", 0},
	{"to-pod", KEY_TO_POD, "PORT[/UDP]", 0,
		"Make this port of the pod's localhost one of this machine's (repeatable)", 0},
	{"wait-message", KEY_WAIT_MESSAGE, "TEXT", 0, "Print this when the intercept is active", 0},
	{"detailed-output", KEY_DETAILED, NULL, 0,
		"With --output json: the whole description, without envelope", 0},
	{"preview-url", 'u', "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{"preview-url-banner", 'b', "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{"preview-url-add-request-headers", KEY_PREVIEW, "HEADERS", OPTION_HIDDEN, NULL, 0},
	{"ingress-host", KEY_PREVIEW, "HOST", OPTION_HIDDEN, NULL, 0},
	{"ingress-port", KEY_PREVIEW, "PORT", OPTION_HIDDEN, NULL, 0},
	{"ingress-tls", KEY_PREVIEW, "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{"ingress-l5", KEY_PREVIEW, "HOST", OPTION_HIDDEN, NULL, 0},
	{"http-match", KEY_HTTP, "MATCH", OPTION_HIDDEN, NULL, 0},
	{"http-header", KEY_HTTP, "HEADER", OPTION_HIDDEN, NULL, 0},
	{"http-path-equal", KEY_HTTP, "PATH", OPTION_HIDDEN, NULL, 0},
	{"http-path-prefix", KEY_HTTP, "PATH", OPTION_HIDDEN, NULL, 0},
	{"http-path-regex", KEY_HTTP, "REGEX", OPTION_HIDDEN, NULL, 0},
	{"http-meta", KEY_HTTP, "META", OPTION_HIDDEN, NULL, 0},
	{"metadata", KEY_HTTP, "META", OPTION_HIDDEN, NULL, 0},
	{"http-plaintext", KEY_HTTP, "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{"plaintext", KEY_HTTP, "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{"mount", KEY_MOUNT, "BOOL", OPTION_HIDDEN, NULL, 0},
	{"local-mount-port", KEY_VOLUMES, "PORT", OPTION_HIDDEN, NULL, 0},
	{"docker-run", KEY_DOCKER, NULL, OPTION_HIDDEN, NULL, 0},
	{"docker-build", KEY_DOCKER, "DIR", OPTION_HIDDEN, NULL, 0},
	{"docker-debug", KEY_DOCKER, "DIR", OPTION_HIDDEN, NULL, 0},
	{"docker-build-opt", KEY_DOCKER, "OPTION", OPTION_HIDDEN, NULL, 0},
	{"docker-mount", KEY_DOCKER, "DIR", OPTION_HIDDEN, NULL, 0},
	{"replace", KEY_REPLACE, "BOOL", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{0},
};
