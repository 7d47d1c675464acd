/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/options.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/attr.h"
#include "core/err.h"
#include "manager/agents.h"
#include "manager/session.h"
#include "tunnel/target.h"

#define SECONDS_MAX (24 * 60 * 60)

enum option_key {
	OPTION_PORT = 'p',
	OPTION_NAMESPACE = 'n',
	OPTION_POD_IPS = 0x100,
	OPTION_KUBECONFIG = 0x101,
	OPTION_LOG_LEVEL = 0x102,
	OPTION_AGENT_PORT = 0x103,
	OPTION_POD_NAME = 0x104,
	OPTION_AGENT_IDLE = 0x105,
	OPTION_SESSION_TTL = 0x106,
};

static const struct argp_option option_table[] = {
	{"port", OPTION_PORT, "PORT", 0, "Serve on this port ($MANAGER_PORT, 8081)", 0},
	{"agent-port", OPTION_AGENT_PORT, "PORT", 0,
		"Serve agents on this port ($AGENT_PORT, 8082)", 0},
	{"agent-idle", OPTION_AGENT_IDLE, "SECONDS", 0,
		"Agents without an intercept end after this ($AGENT_IDLE, 600)", 0},
	{"session-ttl", OPTION_SESSION_TTL, "SECONDS", 0,
		"Sessions without a tunnel end after this at the latest ($SESSION_TTL, 86400)", 0},
	{"namespace", OPTION_NAMESPACE, "NS", 0,
		"Namespace of the Session objects ($POD_NAMESPACE)", 0},
	{"pod-name", OPTION_POD_NAME, "NAME", 0, "Own name, whose image agents have ($POD_NAME)",
		0},
	{"pod-ips", OPTION_POD_IPS, "IP,IP", 0, "Own addresses ($POD_IPS)", 0},
	{"kubeconfig", OPTION_KUBECONFIG, "FILE", 0,
		"Not in a pod: how to reach the cluster ($KUBECONFIG is not read)", 0},
	{"log-level", OPTION_LOG_LEVEL, "LEVEL", 0,
		"error, warning, info or debug ($LOG_LEVEL, info)", 0},
	{0},
};

/* Variables stand for the flag of this key when it is not given. */
static const struct {
	int key;
	const char *variable;
} variables[] = {
	{OPTION_PORT, "MANAGER_PORT"},
	{OPTION_AGENT_PORT, "AGENT_PORT"},
	{OPTION_AGENT_IDLE, "AGENT_IDLE"},
	{OPTION_SESSION_TTL, "SESSION_TTL"},
	{OPTION_NAMESPACE, "POD_NAMESPACE"},
	{OPTION_POD_NAME, "POD_NAME"},
	{OPTION_POD_IPS, "POD_IPS"},
	{OPTION_LOG_LEVEL, "LOG_LEVEL"},
};

static int parse_port(const char *text, uint16_t *ret_port)
{
	struct target target;
	char authority[32];

	(void)snprintf(authority, sizeof(authority), "port:%s", text);
	if (target_parse(authority, &target) < 0)
		return -EINVAL;
	*ret_port = target.port;
	return 0;
}

/* 1 s to a day, as the agent and a Session take it. */
static int parse_seconds(const char *text, uint32_t *ret_seconds)
{
	char *end = NULL;
	unsigned long seconds = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end || seconds < 1 || seconds > SECONDS_MAX)
		return -EINVAL;
	*ret_seconds = (uint32_t)seconds;
	return 0;
}

static int set_option(struct manager_options *options, int key, const char *value)
{
	struct target_policy policy = {.own_count = 0};

	switch (key) {
	case OPTION_PORT:
		return parse_port(value, &options->port);
	case OPTION_AGENT_PORT:
		return parse_port(value, &options->agent_port);
	case OPTION_AGENT_IDLE:
		return parse_seconds(value, &options->agent_idle_s);
	case OPTION_SESSION_TTL:
		return parse_seconds(value, &options->session_ttl_s);
	case OPTION_POD_NAME:
		options->pod = value;
		return 0;
	case OPTION_NAMESPACE:
		options->namespace = value;
		return 0;
	case OPTION_POD_IPS:
		options->pod_ips = value;
		return target_policy_add(&policy, value);
	case OPTION_KUBECONFIG:
		options->kubeconfig = value;
		return 0;
	case OPTION_LOG_LEVEL:
		return log_level_parse(value, &options->log_level);
	default:
		return -ENOENT;
	}
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	int r;

	if (key == ARGP_KEY_ARG) {
		argp_error(state, "unexpected argument: %s", value);
		return EINVAL;
	}
	r = set_option(state->input, key, value);
	if (r == -ENOENT)
		return ARGP_ERR_UNKNOWN;
	if (r < 0)
		argp_error(state, "invalid value: %s", value);
	return 0;
}

static void print_version(FILE *stream, struct argp_state *state UNUSED)
{
	(void)fprintf(stream, "traffic-manager %s\n", TP_VERSION);
}

void manager_options_parse(int argc, char **argv, struct manager_options *ret_options)
{
	const struct argp argp = {
		.options = option_table,
		.parser = parse_option,
		.doc = "The cluster's end of telepresence: connects clients with what pods reach.",
	};
	struct manager_options options = {.port = MANAGER_PORT,
		.agent_port = MANAGER_AGENT_PORT,
		.agent_idle_s = AGENTS_IDLE_S,
		.session_ttl_s = SESSION_TTL_MAX_S,
		.pod_ips = "",
		.log_level = LOG_LEVEL_INFO};

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *value = getenv(variables[i].variable);

		if (value && set_option(&options, variables[i].key, value) < 0) {
			(void)fprintf(stderr, "traffic-manager: invalid value of $%s: %s\n",
				variables[i].variable, value);
			exit(err_exit_code(ERR_USAGE));
		}
	}
	argp_program_version_hook = print_version;
	argp_err_exit_status = err_exit_code(ERR_USAGE);
	(void)argp_parse(&argp, argc, argv, 0, NULL, &options);
	*ret_options = options;
}
