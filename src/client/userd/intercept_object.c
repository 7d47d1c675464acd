/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/intercept_object.h"

#include <stdio.h>
#include <string.h>

#include "client/userd/proto.h"
#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"

static void put_int(json_object *object, const char *key, int64_t value)
{
	json_object_object_add(object, key, json_object_new_int64(value));
}

/* Strings that may be empty are left out. */
static void put_text(json_object *object, const char *key, const char *text)
{
	json_put_string(object, key, text && *text ? text : NULL);
}

static json_object *port_spec(const struct intercept_port *port, const char *address)
{
	json_object *spec = json_object_new_object();

	put_int(spec, "local", port->local);
	json_put_string(spec, "address", address);
	put_text(spec, "service", port->service);
	if (port->service_port)
		put_int(spec, "servicePort", port->service_port);
	put_text(spec, "servicePortName", port->service_port_name);
	put_int(spec, "containerPort", port->container_port);
	put_text(spec, "containerPortName", port->container_port_name);
	json_put_string(spec, "protocol", port->udp ? "UDP" : "TCP");
	return spec;
}

json_object *intercept_object_new(const struct intercept_args *args,
	const struct intercept_target *target, const struct intercept_owner *owner,
	const char *name)
{
	json_object *object = json_object_new_object(), *meta = json_object_new_object();
	json_object *spec = json_object_new_object(), *ports = json_object_new_array();

	json_put_string(object, "apiVersion", INTERCEPT_API);
	json_put_string(object, "kind", "Intercept");
	json_put_string(meta, "name", name);
	json_put_string(meta, "namespace", args->namespace);
	json_object_object_add(object, "metadata", meta);
	json_put_string(spec, "owner", owner->owner);
	json_put_string(spec, "session", owner->session);
	json_put_string(spec, "sessionUID", owner->session_uid);
	put_text(spec, "host", owner->host);
	json_put_string(spec, "name", args->name);
	json_put_string(spec, "workload", target->workload);
	json_put_string(spec, "kind", target->kind);
	put_text(spec, "service", target->ports[0].service);
	put_text(spec, "container", target->container);
	json_put_string(spec, "mechanism", "tcp");
	json_put_string(spec, "onRefuse", args->close_on_refuse ? "close" : "app");
	for (size_t i = 0; i < target->port_count; i++)
		json_object_array_add(ports, port_spec(&target->ports[i], args->address));
	json_object_object_add(spec, "ports", ports);
	json_object_object_add(object, "spec", spec);
	return object;
}

char *intercept_object_path(const char *namespace, const char *name)
{
	return kube_path(INTERCEPT_API, INTERCEPT_PLURAL, namespace, name);
}

/* "http", "8080": the service's port, or without a service the container's, by name if it has one.
 */
static void put_port_id(json_object *out, json_object *port)
{
	int64_t service_port = json_int(port, "servicePort", 0);
	const char *name = json_text(port, service_port ? "servicePortName" : "containerPortName");
	char number[24];

	(void)snprintf(number, sizeof(number), "%lld",
		(long long)(service_port ? service_port : json_int(port, "containerPort", 0)));
	json_put_string(out, "port_id", name && *name ? name : number);
}

static json_object *describe_port(json_object *port)
{
	json_object *out = json_object_new_object();

	put_int(out, "local", json_int(port, "local", 0));
	json_put_string(out, "address", json_text_or(port, "address", "127.0.0.1"));
	put_text(out, "service", json_text(port, "service"));
	if (json_int(port, "servicePort", 0))
		put_int(out, "service_port", json_int(port, "servicePort", 0));
	put_port_id(out, port);
	put_int(out, "container_port", json_int(port, "containerPort", 0));
	json_put_string(out, "protocol", json_text_or(port, "protocol", "TCP"));
	return out;
}

static const char *filter_text(json_object *object)
{
	bool tcp = false, udp = false;

	for (size_t i = 0; i < json_count(object, "spec.ports"); i++) {
		const char *protocol =
			json_text_or(json_item(object, "spec.ports", i), "protocol", "TCP");

		if (strcmp(protocol, "UDP") == 0)
			udp = true;
		else
			tcp = true;
	}
	if (tcp && udp)
		return "all TCP connections and UDP datagrams";
	return udp ? "all UDP datagrams" : "all TCP connections";
}

static void describe_ports(json_object *object, json_object *out)
{
	json_object *ports = json_object_new_array();
	json_object *first = json_item(object, "spec.ports", 0);

	for (size_t i = 0; i < json_count(object, "spec.ports"); i++)
		json_object_array_add(ports, describe_port(json_item(object, "spec.ports", i)));
	json_put_string(out, "target_host", json_text_or(first, "address", "127.0.0.1"));
	put_int(out, "target_port", json_int(first, "local", 0));
	put_port_id(out, first);
	put_int(out, "container_port", json_int(first, "containerPort", 0));
	json_object_object_add(out, "ports", ports);
}

static void describe_pods(json_object *object, json_object *out)
{
	json_object *pods = json_object_new_array();
	const char *ip = NULL;
	int64_t port = json_int(json_item(object, "spec.ports", 0), "containerPort", 0);

	for (size_t i = 0; i < json_count(object, "status.pods"); i++) {
		json_object *pod = json_item(object, "status.pods", i);
		json_object *entry = json_object_new_object();
		const char *state = json_text_or(pod, "state", "WAITING");

		json_put_string(entry, "name", json_text_or(pod, "name", ""));
		json_put_string(entry, "ip", json_text(pod, "ip"));
		if (json_int(pod, "port", 0))
			put_int(entry, "port", json_int(pod, "port", 0));
		json_put_string(entry, "state", state);
		put_text(entry, "message", json_text(pod, "message"));
		json_object_array_add(pods, entry);
		if (!ip && strcmp(state, "ACTIVE") == 0) {
			ip = json_text(pod, "ip");
			port = json_int(pod, "port", port);
		}
	}
	json_put_string(out, "pod_ip", ip);
	/* A named port's number is each pod's own. */
	if (ip)
		put_int(out, "pod_port", port);
	json_object_object_add(out, "pods", pods);
}

json_object *intercept_object_describe(json_object *object)
{
	json_object *out = json_object_new_object(), *fallbacks;
	const char *name = json_text_or(object, "spec.name", "");
	auto_free char *id = xasprintf("%s:%s", json_text_or(object, "spec.sessionUID", ""), name);
	auto_free char *client = xasprintf("%s@%s", json_text_or(object, "spec.owner", ""),
		json_text_or(object, "spec.host", ""));

	json_put_string(out, "id", id);
	json_put_string(out, "name", name);
	json_put_string(out, "namespace", json_text(object, "metadata.namespace"));
	json_put_string(out, "workload", json_text(object, "spec.workload"));
	json_put_string(out, "workload_kind", json_text(object, "spec.kind"));
	json_put_string(out, "disposition", json_text_or(object, "status.state", "WAITING"));
	put_text(out, "message", json_text(object, "status.message"));
	json_put_string(out, "client", client);
	json_put_string(out, "mechanism", json_text_or(object, "spec.mechanism", "tcp"));
	json_put_string(out, "filter_desc", filter_text(object));
	json_object_object_add(out, "global", json_object_new_boolean(true));
	put_text(out, "service", json_text(object, "spec.service"));
	put_text(out, "container", json_text(object, "spec.container"));
	describe_ports(object, out);
	describe_pods(object, out);
	put_int(out, "connections", json_int(object, "status.connections", 0));
	fallbacks = json_path(object, "status.fallbacks");
	json_object_object_add(out, "fallbacks",
		fallbacks ? json_object_get(fallbacks) : json_object_new_object());
	json_put_string(out, "since", json_text(object, "status.since"));
	return out;
}

void intercept_object_progress(json_object *object, char *out, size_t len)
{
	size_t count = json_count(object, "status.pods"), active = 0;
	const char *message = json_text_or(object, "status.message", "");
	static const char waiting[] = "Waiting for agents";

	for (size_t i = 0; i < count; i++) {
		if (strcmp(json_text_or(json_item(object, "status.pods", i), "state", ""),
			    "ACTIVE") == 0)
			active++;
	}
	/* The manager's own count, and perhaps what it waits for; an agent alone is no ready pod.
	 */
	if (count && strncmp(message, waiting, sizeof(waiting) - 1) != 0 &&
		strcmp(json_text_or(object, "status.reason", ""), "NoPods") != 0)
		(void)snprintf(out, len, "Waiting for agents: %zu of %zu pods", active, count);
	else
		(void)snprintf(out, len, "%s", *message ? message : "Waiting for agents");
}

void intercept_add_environment(
	json_object *environment, json_object *description, const struct intercept_target *target)
{
	/* Nothing is mounted on the laptop: the root of the mounts is empty. */
	json_put_string(environment, "TELEPRESENCE_ROOT", "");
	json_put_string(environment, "TELEPRESENCE_MOUNTS", target->mounts);
	json_put_string(environment, "TELEPRESENCE_CONTAINER", target->container);
	json_put_string(
		environment, "TELEPRESENCE_INTERCEPT_ID", json_get_string(description, "id"));
}
