/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/match.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/candidates.h"
#include "client/userd/kinds.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"

#define MOUNTS_BYTES 65536

bool match_selects(json_object *selector, json_object *labels)
{
	if (!selector || !json_object_is_type(selector, json_type_object) ||
		json_object_object_length(selector) == 0)
		return false;
	json_object_object_foreach(selector, key, value)
	{
		json_object *label = json_member(labels, key);

		if (!label || !json_object_equal(label, value))
			return false;
	}
	return true;
}

static uint16_t number_of(const char *text)
{
	struct intercept_port_arg port = {.local = 0};

	return intercept_port_parse(text, &port, NULL) == 0 && !port.remote[0] ? port.local : 0;
}

static bool is_wanted(const struct intercept_port *port, const struct intercept_port_arg *arg)
{
	const char *remote = arg->remote;
	bool of_service = port->service_port != 0;
	const char *name = of_service ? port->service_port_name : port->container_port_name;
	uint16_t number = of_service ? port->service_port : port->container_port;

	if (arg->protocol != INTERCEPT_ANY && port->udp != (arg->protocol == INTERCEPT_UDP))
		return false;
	return !*remote || strcmp(name, remote) == 0 || number == number_of(remote);
}

/* One service may lead to it by its name, another one by its number. */
static bool same_port(const struct intercept_port *a, const struct intercept_port *b)
{
	return a->container_port == b->container_port && a->udp == b->udp;
}

/* 1: the one that is meant; ports that share a container port are one. 0: none. -E2BIG: several. */
static int pick(const struct candidates *list, const struct intercept_port_arg *arg,
	struct intercept_port *ret_port)
{
	const struct intercept_port *found = NULL;

	for (size_t i = 0; i < list->count; i++) {
		if (!is_wanted(&list->items[i], arg))
			continue;
		if (found && !same_port(found, &list->items[i]))
			return -E2BIG;
		if (!found)
			found = &list->items[i];
	}
	if (found)
		*ret_port = *found;
	return found ? 1 : 0;
}

static void describe(const struct candidates *list, char hint[static MATCH_HINT_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; i < list->count && len < MATCH_HINT_BYTES - 1; i++) {
		const struct intercept_port *port = &list->items[i];
		const char *name =
			port->service_port ? port->service_port_name : port->container_port_name;
		int n = snprintf(hint + len, MATCH_HINT_BYTES - len, "%s%s%s%u%s%s%s",
			len ? ", " : "Its ports: ", name, *name ? " " : "",
			(unsigned int)(port->service_port ? port->service_port
							  : port->container_port),
			port->udp ? "/UDP" : "", port->service_port ? " of service " : "",
			port->service);

		len += n > 0 ? (size_t)n : 0;
	}
}

struct matching {
	const struct intercept_args *args;
	const char *kind, *workload;
	struct candidates declared, services;
	struct err *err;
	char *hint;
};

static const char *protocol_suffix(const struct intercept_port_arg *arg)
{
	if (arg->protocol == INTERCEPT_ANY)
		return "";
	return arg->protocol == INTERCEPT_UDP ? "/UDP" : "/TCP";
}

/* -E2BIG: there are several; 0: there is none. */
static int refuse_port(const struct matching *match, const struct intercept_port_arg *arg, int r)
{
	const char *kind = workload_kind_text(match->kind), *namespace = match->args->namespace;

	describe(match->services.count == 0 ? &match->declared : &match->services, match->hint);
	if (r < 0)
		return err_set(match->err, -E2BIG, ERR_USAGE,
			"%s %s.%s has multiple interceptable ports. Please specify the one with "
			"--service=<svc> and/or --port=local:svcPort",
			kind, match->workload, namespace);
	return err_set(match->err, -ENOENT, ERR_NOT_FOUND,
		"%s %s.%s has no interceptable port%s%s%s", kind, match->workload, namespace,
		arg->remote[0] ? " matching " : "", arg->remote, protocol_suffix(arg));
}

static int pick_port(
	struct matching *match, const struct intercept_port_arg *arg, struct intercept_port *port)
{
	const struct intercept_args *args = match->args;
	uint16_t number = number_of(arg->remote);
	bool bare = match->services.count == 0;
	int r = pick(&match->services, arg, port);

	/* A container's port by name or number; without a service also the only one it has. */
	if (r == 0 && !args->service && (bare || arg->remote[0]))
		r = pick(&match->declared, arg, port);
	if (r == 0 && !args->service && number && bare && match->declared.count == 0) {
		/* Nothing is declared anywhere: the person knows better. */
		*port = (struct intercept_port){
			.container_port = number, .udp = arg->protocol == INTERCEPT_UDP};
		r = 1;
	}
	if (r == 1) {
		port->local = arg->local;
		return 0;
	}
	return refuse_port(match, arg, r);
}

/* The i-th port against those before it. */
static int check_distinct(const struct intercept_target *target, size_t i, struct err *err)
{
	const struct intercept_port *port = &target->ports[i];

	for (size_t j = 0; j < i; j++) {
		const struct intercept_port *other = &target->ports[j];

		if (same_port(port, other))
			return err_set(err, -EINVAL, ERR_USAGE,
				"two of the ports are the same port %u of the containers",
				port->container_port);
		if (port->local == other->local && port->udp == other->udp)
			return err_set(err, -EINVAL, ERR_USAGE,
				"port %u of this machine is given twice", port->local);
	}
	return 0;
}

static int pick_ports(struct matching *match, struct intercept_target *target)
{
	for (size_t i = 0; i < match->args->port_count; i++) {
		struct intercept_port *port = &target->ports[i];
		int r = pick_port(match, &match->args->ports[i], port);

		if (r < 0)
			return r;
		r = check_distinct(target, i, match->err);
		if (r < 0)
			return r;
		target->port_count++;
	}
	return 0;
}

/* Where its volumes are, with colons between; the caller's. */
static char *join_mounts(json_object *container)
{
	struct buf mounts;
	const char *text;
	char *joined;

	buf_init(&mounts, MOUNTS_BYTES);
	for (size_t i = 0; i < json_count(container, "volumeMounts"); i++) {
		const char *path = json_text(json_item(container, "volumeMounts", i), "mountPath");

		if (path && buf_printf(&mounts, "%s%s", buf_len(&mounts) ? ":" : "", path) < 0)
			break;
	}
	text = buf_cstr(&mounts);
	joined = xstrdup(text ? text : "");
	buf_done(&mounts);
	return joined;
}

/* The container whose environment is meant: as told, else the first port's, else the first. */
static int pick_container(
	struct matching *match, json_object *spec, struct intercept_target *target)
{
	const char *declares = target->ports[0].container;
	const char *wanted = match->args->container ? match->args->container : declares;
	json_object *found = NULL, *container = NULL;

	for (size_t i = 0; !found && (container = candidates_container(spec, i)); i++) {
		if (!*wanted || strcmp(json_text_or(container, "name", ""), wanted) == 0)
			found = container;
	}
	if (!found && match->args->container)
		return err_set(match->err, -ENOENT, ERR_NOT_FOUND,
			"%s %s.%s has no container named %s", workload_kind_text(match->kind),
			match->workload, match->args->namespace, wanted);
	target->container = xstrdup(found ? json_text_or(found, "name", "") : wanted);
	target->mounts = join_mounts(found);
	return 0;
}

static int match_all(struct matching *match, json_object *template, json_object *services,
	struct intercept_target *target)
{
	json_object *spec = json_member(template, "spec");
	int r;

	if (json_object_get_boolean(json_member(spec, "hostNetwork")))
		return err_set(match->err, -EOPNOTSUPP, ERR_UNSUPPORTED,
			"%s %s.%s uses its node's network (hostNetwork); intercepting it would "
			"take the node's own traffic",
			workload_kind_text(match->kind), match->workload, match->args->namespace);
	candidates_declared(spec, &match->declared);
	if (!candidates_services(
		    match->args->service, template, services, &match->declared, &match->services))
		return err_set(match->err, -ENOENT, ERR_NOT_FOUND,
			"no service named %s selects the pods of %s %s.%s", match->args->service,
			workload_kind_text(match->kind), match->workload, match->args->namespace);
	r = pick_ports(match, target);
	if (r == 0)
		r = pick_container(match, spec, target);
	return r;
}

int match_ports(const struct intercept_args *args, const char *kind, const char *workload,
	json_object *template, json_object *services, struct intercept_target *ret_target,
	struct err *err, char hint[static MATCH_HINT_BYTES])
{
	struct matching match = {
		.args = args, .kind = kind, .workload = workload, .err = err, .hint = hint};
	struct intercept_target target = {.workload = NULL};
	int r;

	assert(args->port_count > 0);
	hint[0] = '\0';
	r = match_all(&match, template, services, &target);
	free(match.declared.items);
	free(match.services.items);
	if (r < 0) {
		intercept_target_done(&target);
		return r;
	}
	target.workload = xstrdup(workload);
	target.kind = xstrdup(kind);
	*ret_target = target;
	return 0;
}

void intercept_target_done(struct intercept_target *target)
{
	free(target->workload);
	free(target->kind);
	free(target->container);
	free(target->mounts);
	*target = (struct intercept_target){.workload = NULL};
}
