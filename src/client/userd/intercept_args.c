/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/intercept_args.h"

#include <ctype.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "client/userd/proto.h"
#include "core/alloc.h"
#include "core/err.h"
#include "net/addr.h"

#define DEFAULT_PORT    8080
#define DEFAULT_ADDRESS "127.0.0.1"
/* RFC 1123 subdomain, the name of a Kubernetes object. */
#define NAME_MAX_BYTES 253

/* 1 to 65535, decimal digits only; 0: it is none. */
static uint16_t port_number(const char *text, size_t len)
{
	unsigned int value = 0;

	if (len == 0 || len > 5)
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return 0;
		value = value * 10 + (unsigned int)(text[i] - '0');
	}
	return value <= UINT16_MAX ? (uint16_t)value : 0;
}

/* IANA_SVC_NAME (RFC 6335 5.1), with upper case and any length up to a label's as Services have. */
static bool is_port_name(const char *text, size_t len)
{
	if (len == 0 || len >= INTERCEPT_LABEL_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && text[i] != '-')
			return false;
	}
	return text[0] != '-' && text[len - 1] != '-';
}

/* "http", "53", "53/UDP"; false: none of them. */
static bool parse_remote(const char *text, struct intercept_port_arg *port)
{
	size_t len = strcspn(text, "/");

	if (!is_port_name(text, len))
		return false;
	memcpy(port->remote, text, len);
	if (strcasecmp(text + len, "/udp") == 0)
		port->protocol = INTERCEPT_UDP;
	else if (strcasecmp(text + len, "/tcp") == 0)
		port->protocol = INTERCEPT_TCP;
	else
		return !text[len];
	return true;
}

int intercept_port_parse(const char *text, struct intercept_port_arg *ret_port, struct err *err)
{
	const char *colon = strchr(text, ':');
	struct intercept_port_arg port = {
		.local = port_number(text, colon ? (size_t)(colon - text) : strlen(text))};

	if (port.local == 0 || (colon && !parse_remote(colon + 1, &port)))
		return err_set(err, -EINVAL, ERR_USAGE,
			"--port %.80s is not LOCAL or LOCAL:SVCPORT (a number, and the name or "
			"number of the service's or container's port, with /UDP if TCP has it too)",
			text);
	*ret_port = port;
	return 0;
}

/* Labels with dots between, of what `is_inner` takes, and letters or digits at both ends. */
static bool is_labels(const char *text, bool (*is_inner)(unsigned char c))
{
	size_t len = strlen(text);

	if (len == 0 || len > NAME_MAX_BYTES)
		return false;
	for (const char *end = NULL;; text = end + 1) {
		end = text + strcspn(text, ".");
		if (end == text || !isalnum((unsigned char)text[0]) ||
			!isalnum((unsigned char)end[-1]))
			return false;
		for (const char *at = text; at < end; at++) {
			if (!is_inner((unsigned char)*at))
				return false;
		}
		if (!*end)
			return true;
	}
}

static bool is_of_object(unsigned char c)
{
	return islower(c) || isdigit(c) || c == '-';
}

static bool is_of_host(unsigned char c)
{
	return isalnum(c) || c == '-' || c == '_';
}

static bool is_object_name(const char *text)
{
	return is_labels(text, is_of_object);
}

/* What ends in a number is an address, or nothing (RFC 1123, 2.1). A dot at the end says that the
 * name is whole. */
static bool is_host(const char *text)
{
	auto_free char *name = xstrdup(text);
	size_t len = strlen(name);
	char *zone = strchr(name, '%');
	const char *last = NULL;
	struct ip_addr addr;

	if (zone && zone[1])
		*zone = '\0';
	if (ip_addr_parse(name, &addr) == 0)
		return true;
	if (len > 1 && name[len - 1] == '.')
		name[len - 1] = '\0';
	last = strrchr(name, '.');
	last = last ? last + 1 : name;
	return is_labels(name, is_of_host) && last[strspn(last, "0123456789")];
}

/* A member of the request that names an object; 0 and NULL when it is absent. */
static int take_name(json_object *request, const char *key, char **ret_name, struct err *err)
{
	const char *text = json_get_string(request, key);

	if (!text)
		return 0;
	if (!is_object_name(text))
		return err_set(err, -EINVAL, ERR_USAGE,
			"\"%.80s\" is no %s: lower-case letters, digits, - and .", text,
			strcmp(key, "name") == 0 ? "name of an intercept" : key);
	*ret_name = xstrdup(text);
	return 0;
}

static int take_ports(json_object *array, struct intercept_args *args, struct err *err)
{
	size_t count = array ? json_object_array_length(array) : 0;

	if (count > INTERCEPT_PORTS_MAX)
		return err_set(err, -E2BIG, ERR_USAGE, "at most %d ports in one intercept",
			INTERCEPT_PORTS_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(array, i));
		int r = intercept_port_parse(text ? text : "", &args->ports[i], err);

		if (r < 0)
			return r;
	}
	args->port_count = count;
	if (count == 0 && !args->local_only)
		args->ports[args->port_count++].local = DEFAULT_PORT;
	return 0;
}

static int take_address(json_object *request, struct intercept_args *args, struct err *err)
{
	const char *address = json_get_string(request, "address");

	if (!address)
		address = DEFAULT_ADDRESS;
	if (!is_host(address))
		return err_set(err, -EINVAL, ERR_USAGE,
			"--address %.80s is neither an IP address nor a host's name", address);
	args->address = xstrdup(address);
	return 0;
}

static int take_refusal(json_object *request, struct intercept_args *args, struct err *err)
{
	const char *text = json_get_string(request, "on-refuse");

	args->close_on_refuse = text && strcmp(text, "close") == 0;
	if (text && !args->close_on_refuse && strcmp(text, "app") != 0)
		return err_set(err, -EINVAL, ERR_USAGE, "--on-refuse is app or close");
	return 0;
}

static int take_names(json_object *request, struct intercept_args *args, struct err *err)
{
	int r = take_name(request, "name", &args->name, err);

	if (r == 0)
		r = take_name(request, "workload", &args->workload, err);
	if (r == 0)
		r = take_name(request, "namespace", &args->namespace, err);
	if (r == 0)
		r = take_name(request, "service", &args->service, err);
	if (r == 0)
		r = take_name(request, "container", &args->container, err);
	if (r == 0 && !args->name)
		r = err_set(err, -EINVAL, ERR_USAGE, "an intercept needs a name");
	return r;
}

bool intercept_is_loopback(const char *address)
{
	return strcmp(address, "localhost") == 0 || strcmp(address, "::1") == 0 ||
	       strncmp(address, "127.", 4) == 0;
}

/* A port leads one way: what comes to 127.0.0.1:8080 would go back to the pod. */
static int check_to_pod(
	const struct intercept_args *args, const struct to_pod_port *port, struct err *err)
{
	assert(args->address); /* read before */
	for (size_t i = 0; i < args->to_pod_count; i++) {
		if (args->to_pod[i].port == port->port && args->to_pod[i].udp == port->udp)
			return err_set(err, -EINVAL, ERR_USAGE, "--to-pod %u%s is given twice",
				port->port, port->udp ? "/UDP" : "");
	}
	for (size_t i = 0; i < args->port_count && !port->udp; i++) {
		if (args->ports[i].local == port->port && intercept_is_loopback(args->address))
			return err_set(err, -EINVAL, ERR_USAGE,
				"--to-pod %u: that port of this machine is where the intercepted "
				"connections go (--port)",
				port->port);
	}
	return 0;
}

static int take_to_pod(json_object *array, struct intercept_args *args, struct err *err)
{
	size_t count = array ? json_object_array_length(array) : 0;

	if (count > INTERCEPT_PORTS_MAX)
		return err_set(err, -E2BIG, ERR_USAGE, "--to-pod: more than %d ports",
			INTERCEPT_PORTS_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(array, i));
		struct to_pod_port port;
		int r = to_pod_parse(text ? text : "", &port, err);

		if (r == 0)
			r = check_to_pod(args, &port, err);
		if (r < 0)
			return r;
		args->to_pod[args->to_pod_count++] = port;
	}
	return 0;
}

/* It has no connections, and no pod that anything could be of. */
static int take_local_only(json_object *request, struct intercept_args *args, struct err *err)
{
	static const struct {
		const char *key, *text;
	} foreign[] = {
		{"workload", "a workload"},
		{"service", "a service"},
		{"container", "a container"},
		{"address", "an address"},
		{"on-refuse", "connections that could be refused (--on-refuse)"},
		{"ports", "a port"},
		{"to-pod", "a pod's port (--to-pod)"},
		{"environment", "an environment"},
	};

	args->local_only = json_get_bool(request, "local-only");
	for (size_t i = 0; args->local_only && i < ARRAY_SIZE(foreign); i++) {
		json_object *value = json_object_object_get(request, foreign[i].key);
		bool given = json_object_is_type(value, json_type_array)
				     ? json_object_array_length(value) > 0
				     : json_object_get_boolean(value);

		if (given)
			return err_set(err, -EINVAL, ERR_USAGE,
				"a local-only intercept cannot have %s", foreign[i].text);
	}
	return 0;
}

/* The rule of the names: with a namespace and no workload, NAME is the workload and NAME-NS the
 * intercept. One without a workload has the name that it was given. */
static void settle_names(struct intercept_args *args, const char *namespace)
{
	if (!args->workload && !args->local_only) {
		args->workload = xstrdup(args->name);
		if (args->namespace) {
			char *name = xasprintf("%s-%s", args->name, args->namespace);

			free(args->name);
			args->name = name;
		}
	}
	if (!args->namespace)
		args->namespace = xstrdup(namespace);
}

/* It names an object; each part was good by itself. */
static int check_joined(const struct intercept_args *args, struct err *err)
{
	size_t len = strlen(args->name);

	if (len <= NAME_MAX_BYTES)
		return 0;
	return err_set(err, -ENAMETOOLONG, ERR_USAGE,
		"the intercept's name, workload-namespace, would have %zu characters, more than "
		"%d; choose one: intercept NAME --workload WORKLOAD --namespace %.63s",
		len, NAME_MAX_BYTES, args->namespace);
}

int intercept_args_parse(json_object *request, const char *namespace,
	struct intercept_args *ret_args, struct err *err)
{
	struct intercept_args args = {.name = NULL};
	int r = take_local_only(request, &args, err);

	if (r == 0)
		r = take_names(request, &args, err);
	if (r == 0)
		r = take_ports(json_get(request, "ports", json_type_array), &args, err);
	if (r == 0)
		r = take_address(request, &args, err);
	if (r == 0)
		r = take_refusal(request, &args, err);
	if (r == 0)
		r = take_to_pod(json_get(request, "to-pod", json_type_array), &args, err);
	if (r == 0) {
		settle_names(&args, namespace);
		r = check_joined(&args, err);
	}
	if (r < 0) {
		intercept_args_done(&args);
		return r;
	}
	args.environment = json_get_bool(request, "environment");
	*ret_args = args;
	return 0;
}

void intercept_args_done(struct intercept_args *args)
{
	free(args->name);
	free(args->workload);
	free(args->namespace);
	free(args->address);
	free(args->service);
	free(args->container);
	*args = (struct intercept_args){.name = NULL};
}
