/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/candidates.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/match.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"

/* What is beyond cannot be named. */
#define CANDIDATES_MAX 1024

static void copy_label(char out[static INTERCEPT_LABEL_BYTES], const char *text)
{
	(void)snprintf(out, INTERCEPT_LABEL_BYTES, "%s", text ? text : "");
}

static void add(struct candidates *list, const struct intercept_port *port)
{
	if (list->count == CANDIDATES_MAX)
		return;
	list->items = xrealloc(list->items, (list->count + 1) * sizeof(*list->items));
	list->items[list->count++] = *port;
}

static bool is_port(int64_t number)
{
	return number > 0 && number <= UINT16_MAX;
}

/* SCTP cannot be intercepted. */
static bool is_known(json_object *port)
{
	return strcmp(json_text_or(port, "protocol", "TCP"), "SCTP") != 0;
}

static void add_container(struct candidates *list, json_object *container)
{
	size_t count = json_count(container, "ports");

	for (size_t i = 0; i < count; i++) {
		json_object *item = json_item(container, "ports", i);
		int64_t number = json_int(item, "containerPort", 0);
		struct intercept_port port = {.container_port = (uint16_t)number,
			.udp = kube_port_has_protocol(item, IPPROTO_UDP)};

		if (!is_port(number) || !is_known(item))
			continue;
		copy_label(port.container_port_name, json_text(item, "name"));
		copy_label(port.container, json_text(container, "name"));
		add(list, &port);
	}
}

json_object *candidates_container(json_object *spec, size_t index)
{
	size_t count = json_count(spec, "containers"), left = index - count;
	json_object *container = NULL;

	if (index < count)
		return json_item(spec, "containers", index);
	for (size_t i = 0; (container = json_item(spec, "initContainers", i)); i++) {
		if (strcmp(json_text_or(container, "restartPolicy", ""), "Always") == 0 &&
			left-- == 0)
			break;
	}
	return container;
}

/* Where a service port leads to: a declared port, or a number that nobody declares. False: a name
 * that no container has. */
static bool follow_target(
	json_object *item, const struct candidates *declared, struct intercept_port *port)
{
	json_object *target = json_member(item, "targetPort");
	const char *name = json_text(item, "targetPort");
	int64_t number = json_object_is_type(target, json_type_int) ? json_object_get_int64(target)
								    : port->service_port;

	for (size_t i = 0; i < declared->count; i++) {
		const struct intercept_port *have = &declared->items[i];

		if (have->udp != port->udp)
			continue;
		if (name ? strcmp(have->container_port_name, name) != 0
			 : have->container_port != number)
			continue;
		port->container_port = have->container_port;
		copy_label(port->container, have->container);
		copy_label(port->container_port_name, name);
		return true;
	}
	if (name || !is_port(number))
		return false;
	port->container_port = (uint16_t)number;
	return true;
}

static void add_service(
	struct candidates *list, json_object *service, const struct candidates *declared)
{
	for (size_t i = 0; i < json_count(service, "spec.ports"); i++) {
		json_object *item = json_item(service, "spec.ports", i);
		int64_t number = json_int(item, "port", 0);
		struct intercept_port port = {.service_port = (uint16_t)number,
			.udp = kube_port_has_protocol(item, IPPROTO_UDP)};

		if (!is_port(number) || !is_known(item))
			continue;
		copy_label(port.service, json_text(service, "metadata.name"));
		copy_label(port.service_uid, json_text(service, "metadata.uid"));
		copy_label(port.service_port_name, json_text(item, "name"));
		if (follow_target(item, declared, &port))
			add(list, &port);
	}
}

void candidates_declared(json_object *spec, struct candidates *list)
{
	json_object *container = NULL;

	for (size_t i = 0; (container = candidates_container(spec, i)); i++)
		add_container(list, container);
}

bool candidates_services(const char *service_name, json_object *template, json_object *services,
	const struct candidates *declared, struct candidates *list)
{
	json_object *labels = json_path(template, "metadata.labels");
	bool found = !service_name;

	for (size_t i = 0; i < json_object_array_length(services); i++) {
		json_object *service = json_object_array_get_idx(services, i);

		/* Of an ExternalName Kubernetes does not look at the selector. */
		if (!match_selects(json_path(service, "spec.selector"), labels) ||
			strcmp(json_text_or(service, "spec.type", ""), "ExternalName") == 0)
			continue;
		if (service_name &&
			strcmp(json_text_or(service, "metadata.name", ""), service_name) != 0)
			continue;
		found = true;
		add_service(list, service, declared);
	}
	return found;
}
