/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/intercept.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"
#include "core/err.h"

/* Names go into paths and selectors. */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-."

static const char *const state_names[] = {
	[INTERCEPT_WAITING] = "WAITING",
	[INTERCEPT_ACTIVE] = "ACTIVE",
	[INTERCEPT_ERROR] = "ERROR",
};
_Static_assert(ARRAY_SIZE(state_names) == INTERCEPT_STATE_COUNT, "a name for every state");

const char *intercept_state_name(enum intercept_state state)
{
	return state_names[state];
}

void intercept_kind_text(const struct intercept_spec *spec, char out[static INTERCEPT_KIND_BYTES])
{
	size_t i = 0;

	for (; i < INTERCEPT_KIND_BYTES - 1 && spec->kind[i]; i++)
		out[i] = (char)tolower((unsigned char)spec->kind[i]);
	out[i] = 0;
}

/* Members that are text, and where they are. */
static const struct {
	const char *path;
	size_t offset;
	bool is_name;
} fields[] = {
	{"metadata.uid", offsetof(struct intercept_spec, uid), false},
	{"metadata.namespace", offsetof(struct intercept_spec, namespace), true},
	{"metadata.name", offsetof(struct intercept_spec, object), true},
	{"metadata.creationTimestamp", offsetof(struct intercept_spec, created), false},
	{"spec.owner", offsetof(struct intercept_spec, owner), false},
	{"spec.host", offsetof(struct intercept_spec, host), false},
	{"spec.sessionUID", offsetof(struct intercept_spec, session_uid), false},
	{"spec.manager", offsetof(struct intercept_spec, manager), false},
	{"spec.name", offsetof(struct intercept_spec, name), false},
	{"spec.kind", offsetof(struct intercept_spec, kind), false},
	{"spec.workload", offsetof(struct intercept_spec, workload), true},
	{"spec.service", offsetof(struct intercept_spec, service), false},
	{"spec.container", offsetof(struct intercept_spec, container), false},
};

static char **field(struct intercept_spec *spec, size_t index)
{
	return (char **)(void *)((char *)spec + fields[index].offset);
}

void intercept_spec_free(struct intercept_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		free(*field(spec, i));
	for (size_t i = 0; i < spec->port_count; i++) {
		free(spec->ports[i].service);
		free(spec->ports[i].service_port_name);
		free(spec->ports[i].container_port_name);
		free(spec->ports[i].target_name);
	}
	free(spec);
}

static bool is_name(const char *text)
{
	return *text && *text != '.' && !text[strspn(text, NAME_CHARACTERS)];
}

static uint16_t port_number(json_object *port, const char *key)
{
	int64_t number = json_int(port, key, 0);

	return number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

static int parse_ports(json_object *object, struct intercept_spec *spec, struct err *err)
{
	size_t count = json_count(object, "spec.ports");

	if (count == 0 || count > INTERCEPT_PORTS)
		return err_set(err, -EINVAL, ERR_CONFIG, "it has no ports, or too many");
	for (size_t i = 0; i < count; i++) {
		json_object *item = json_item(object, "spec.ports", i);
		struct intercept_port *port = &spec->ports[i];

		port->local = port_number(item, "local");
		port->service = xstrdup(json_text_or(item, "service", spec->service));
		port->service_port = port_number(item, "servicePort");
		port->container_port = port_number(item, "containerPort");
		port->service_port_name = xstrdup(json_text_or(item, "servicePortName", ""));
		port->container_port_name = xstrdup(json_text_or(item, "containerPortName", ""));
		port->protocol =
			kube_port_has_protocol(item, IPPROTO_UDP) ? IPPROTO_UDP : IPPROTO_TCP;
		port->target_port = port->container_port;
		port->target_name = xstrdup(port->container_port_name);
		spec->port_count++;
		if (!port->container_port)
			return err_set(err, -EINVAL, ERR_CONFIG, "port %zu has no number", i);
	}
	return 0;
}

int intercept_parse(json_object *object, struct intercept_spec **ret_spec, struct err *err)
{
	struct intercept_spec *spec = XNEW(struct intercept_spec);
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		*field(spec, i) = xstrdup(json_text_or(object, fields[i].path, ""));
	spec->refuse_closes = strcmp(json_text_or(object, "spec.onRefuse", ""), "close") == 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fields); i++) {
		if (fields[i].is_name && !is_name(*field(spec, i)))
			r = err_set(err, -EINVAL, ERR_CONFIG, "%s is no name", fields[i].path);
	}
	if (r == 0 && !*spec->uid)
		r = err_set(err, -EINVAL, ERR_CONFIG, "it has no uid");
	if (r == 0)
		r = parse_ports(object, spec, err);
	if (r < 0) {
		intercept_spec_free(spec);
		return r;
	}
	*ret_spec = spec;
	return 0;
}

static bool same_port(const struct intercept_port *a, const struct intercept_port *b)
{
	if (a->protocol != b->protocol)
		return false;
	return a->target_port == b->target_port ||
	       (*a->target_name && strcmp(a->target_name, b->target_name) == 0);
}

/* Services are named by DNS-1035 labels; anything else is not asked for. */
bool intercept_has_service(const struct intercept_port *port)
{
	return port->service_port && *port->service &&
	       !port->service[strspn(port->service, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

/* By its number, else by its name: a Service may give a port another number. */
static json_object *service_port(json_object *service, const struct intercept_port *port)
{
	json_object *named = NULL;

	for (size_t i = 0; i < json_count(service, "spec.ports"); i++) {
		json_object *item = json_item(service, "spec.ports", i);

		if (!kube_port_has_protocol(item, port->protocol))
			continue;
		if (port_number(item, "port") == port->service_port)
			return item;
		if (*port->service_port_name &&
			strcmp(json_text_or(item, "name", ""), port->service_port_name) == 0)
			named = item;
	}
	return named;
}

/* A name is looked up in each pod; one that has no such name knows the port by its first number. */
static bool retarget(struct intercept_port *port, json_object *item)
{
	const char *name = json_text_or(item, "targetPort", "");
	uint16_t number = *name ? port->container_port : port_number(item, "targetPort");

	if (!number)
		number = port_number(item, "port");
	if (!number || (number == port->target_port && strcmp(name, port->target_name) == 0))
		return false;
	port->target_port = number;
	free(port->target_name);
	port->target_name = xstrdup(name);
	return true;
}

bool intercept_retarget(struct intercept_spec *spec, const char *service, json_object *object)
{
	bool changed = false;

	for (size_t i = 0; i < spec->port_count; i++) {
		struct intercept_port *port = &spec->ports[i];
		json_object *item = NULL;

		if (!intercept_has_service(port) || strcmp(port->service, service) != 0)
			continue;
		item = service_port(object, port);
		port->left = !item;
		if (item && retarget(port, item))
			changed = true;
	}
	return changed;
}

bool intercept_shares_port(const struct intercept_spec *a, const struct intercept_spec *b)
{
	for (size_t i = 0; i < a->port_count; i++) {
		for (size_t j = 0; j < b->port_count; j++) {
			if (same_port(&a->ports[i], &b->ports[j]))
				return true;
		}
	}
	return false;
}

bool intercept_precedes(const struct intercept_spec *a, bool a_active,
	const struct intercept_spec *b, bool b_active)
{
	/* RFC 3339 in UTC, all of one length: in order of time. */
	int order = strcmp(a->created, b->created);

	if (order != 0)
		return order < 0;
	if (a_active != b_active)
		return a_active;
	return strcmp(a->uid, b->uid) < 0;
}

/* One's own may be another connection's, of the same machine or of another one. */
static const char *how_to_end(
	const struct intercept_spec *winner, const struct intercept_spec *loser)
{
	if (strcmp(winner->owner, loser->owner) != 0)
		return "ask them to run";
	return strcmp(winner->host, loser->host) == 0 ? "end it by" : "end it there by";
}

int intercept_conflict(
	const struct intercept_spec *winner, const struct intercept_spec *loser, struct err *err)
{
	bool own = strcmp(winner->owner, loser->owner) == 0 &&
		   strcmp(winner->session_uid, loser->session_uid) == 0;

	return err_set(err, -EBUSY, ERR_CONFLICT,
		"Conflicts with %s intercept \"%s\" of %s (%s) since %s: %s telepresence leave %s",
		own ? "your own" : "the", winner->name, winner->owner,
		*winner->host ? winner->host : "unknown host", winner->created,
		how_to_end(winner, loser), winner->name);
}

bool intercept_is_system(const char *namespace, const char *manager_namespace)
{
	static const char *const names[] = {"kube-system", "kube-public", "kube-node-lease"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(namespace, names[i]) == 0)
			return true;
	}
	return strcmp(namespace, manager_namespace) == 0;
}
