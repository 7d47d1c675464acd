/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/options.h"

#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/attr.h"
#include "core/err.h"

enum option_key {
	OPTION_MANAGER = 0x100,
	OPTION_MANAGER_POD,
	OPTION_PIN,
	OPTION_TOKEN,
	OPTION_POD_UID,
	OPTION_CONTAINER,
	OPTION_NODE_ADDRESS,
	OPTION_NAME,
	OPTION_LOG_LEVEL,
};

static const struct argp_option option_table[] = {
	{"manager", OPTION_MANAGER, "IP:PORT", 0, "Where the traffic-manager takes agents", 0},
	{"manager-pod", OPTION_MANAGER_POD, "IP:PORT", 0,
		"The same of its pod, while that is there", 0},
	{"pin", OPTION_PIN, "BASE64", 0, "SHA-256 of the traffic-manager's public key", 0},
	{"token", OPTION_TOKEN, "BASE64", 0, "Good for the first contact", 0},
	{"pod-uid", OPTION_POD_UID, "UID", 0, "The pod that this is in", 0},
	{"container", OPTION_CONTAINER, "NAME", 0, "The app's container", 0},
	{"node-address", OPTION_NODE_ADDRESS, "IP,...", 0, "Addresses of the pod's node", 0},
	{"name", OPTION_NAME, "NAME", 0, "This container's name", 0},
	{"log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "error, warning, info (default) or debug", 0},
	{0},
};

/* "10.0.0.1:8082" or "[fd00::1]:8082". */
static int parse_endpoint(const char *text, struct ip_endpoint *ret_endpoint)
{
	struct ip_endpoint endpoint = {.port = 0};
	const char *colon = strrchr(text, ':');
	char address[ADDR_TEXT_BYTES], *end = NULL;
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	unsigned long port;

	if (bracketed) {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(address) || colon[1] < '1' || colon[1] > '9')
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = 0;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX || ip_addr_parse(address, &endpoint.addr) < 0 ||
		bracketed != (endpoint.addr.family == AF_INET6))
		return -EINVAL;
	endpoint.port = (uint16_t)port;
	*ret_endpoint = endpoint;
	return 0;
}

static_assert(IDENTITY_PIN_BYTES == 32 && AGENT_TOKEN_BYTES == 32, "one form for both");

/* Exactly 32 bytes, as RFC 4648 writes them: 43 characters and one "=". */
static int parse_32_bytes(const char *text, uint8_t ret_bytes[static 32])
{
	uint8_t bytes[33];
	bool ok = strlen(text) == 44 && text[43] == '=' && text[42] != '=' &&
		  EVP_DecodeBlock(bytes, (const unsigned char *)text, 44) == 33;

	if (ok)
		memcpy(ret_bytes, bytes, 32);
	explicit_bzero(bytes, sizeof(bytes));
	return ok ? 0 : -EINVAL;
}

static int parse_addresses(const char *text, struct agent_options *options)
{
	char address[ADDR_TEXT_BYTES];

	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ",");

		if (len >= sizeof(address) || options->node_count == ARRAY_SIZE(options->nodes))
			return -EINVAL;
		memcpy(address, at, len);
		address[len] = 0;
		if (ip_addr_parse(address, &options->nodes[options->node_count]) < 0)
			return -EINVAL;
		options->node_count++;
		at += len;
		if (!*at)
			return 0;
	}
}

static int parse_name(const char *text, const char **ret_name)
{
	if (!*text)
		return -EINVAL;
	*ret_name = text;
	return 0;
}

static int set_option(struct agent_options *options, int key, char *value)
{
	int r;

	switch (key) {
	case OPTION_MANAGER:
		return parse_endpoint(value, &options->manager);
	case OPTION_MANAGER_POD:
		return parse_endpoint(value, &options->manager_pod);
	case OPTION_PIN:
		return parse_32_bytes(value, options->pin);
	case OPTION_TOKEN:
		r = parse_32_bytes(value, options->token);
		/* Nothing in this pod is to read it in /proc. */
		explicit_bzero(value, strlen(value));
		return r;
	case OPTION_POD_UID:
		return parse_name(value, &options->pod_uid);
	case OPTION_CONTAINER:
		return parse_name(value, &options->container);
	case OPTION_NODE_ADDRESS:
		return parse_addresses(value, options);
	case OPTION_NAME:
		return parse_name(value, &options->name);
	case OPTION_LOG_LEVEL:
		return log_level_parse(value, &options->log_level);
	default:
		return -ENOENT;
	}
}

struct parsing {
	struct agent_options options;
	unsigned int given; /* bit per key */
};

static unsigned int bit(int key)
{
	return 1U << (key - OPTION_MANAGER);
}

static void check_required(const struct parsing *parsing, struct argp_state *state)
{
	for (const struct argp_option *option = option_table; option->name; option++) {
		if (option->key != OPTION_MANAGER_POD && option->key != OPTION_NODE_ADDRESS &&
			option->key != OPTION_LOG_LEVEL && !(parsing->given & bit(option->key)))
			argp_error(state, "--%s is missing", option->name);
	}
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct parsing *parsing = state->input;
	int r;

	if (key == ARGP_KEY_ARG) {
		argp_error(state, "unexpected argument: %s", value);
		return EINVAL;
	}
	if (key == ARGP_KEY_END)
		check_required(parsing, state);
	r = set_option(&parsing->options, key, value);
	if (r == -ENOENT)
		return ARGP_ERR_UNKNOWN;
	if (r < 0)
		argp_error(state, "invalid value of --%s", option_table[key - OPTION_MANAGER].name);
	parsing->given |= bit(key);
	return 0;
}

static void print_version(FILE *stream, struct argp_state *state UNUSED)
{
	(void)fprintf(stream, "traffic-agent %s\n", TP_VERSION);
}

void agent_options_parse(int argc, char **argv, struct agent_options *ret_options)
{
	const struct argp argp = {
		.options = option_table,
		.parser = parse_option,
		.doc = "The part of telepresence in an intercepted pod. The traffic-manager starts "
		       "it.",
	};
	struct parsing parsing = {.options = {.log_level = LOG_LEVEL_INFO}};

	argp_program_version_hook = print_version;
	argp_err_exit_status = err_exit_code(ERR_USAGE);
	(void)argp_parse(&argp, argc, argv, 0, NULL, &parsing);
	*ret_options = parsing.options;
	explicit_bzero(&parsing, sizeof(parsing));
}
