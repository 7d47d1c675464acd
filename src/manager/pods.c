/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/pods.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/err.h"

/* An ephemeral container's number stays far below: a pod's object has at most 1.5 MiB. */
#define AGENT_NUMBER_MAX 999999

const char *pod_uid(json_object *pod)
{
	return json_text_or(pod, "metadata.uid", "");
}

const char *pod_name(json_object *pod)
{
	return json_text_or(pod, "metadata.name", "");
}

bool pod_running(json_object *pod)
{
	return strcmp(json_text_or(pod, "status.phase", ""), "Running") == 0 &&
	       json_text(pod, "status.podIP") && !json_path(pod, "metadata.deletionTimestamp");
}

bool pod_alive(json_object *pod)
{
	const char *phase = json_text_or(pod, "status.phase", "");

	return (strcmp(phase, "Running") == 0 || strcmp(phase, "Pending") == 0) &&
	       json_text(pod, "spec.nodeName") && !json_path(pod, "metadata.deletionTimestamp");
}

bool pod_ready(json_object *pod)
{
	return pod_running(pod) && strcmp(kube_condition_status(pod, "Ready"), "True") == 0;
}

int pod_refusal(json_object *pod, struct err *err)
{
	json_object *annotations = json_path(pod, "metadata.annotations");

	if (json_object_get_boolean(json_path(pod, "spec.hostNetwork")))
		return err_set(err, -EPERM, ERR_UNSUPPORTED,
			"pod %s is on its node's network: a redirect there would take the node's "
			"own connections",
			pod_name(pod));
	if (json_member(annotations, "kubernetes.io/config.mirror"))
		return err_set(err, -EPERM, ERR_UNSUPPORTED,
			"pod %s is a static pod of its node: it cannot be given an agent",
			pod_name(pod));
	return 0;
}

/* A port's number within its container, 0 if the name is not there. */
static uint16_t named_port(json_object *container, const char *name, int protocol)
{
	for (size_t i = 0; i < json_count(container, "ports"); i++) {
		json_object *port = json_item(container, "ports", i);
		int64_t number = json_int(port, "containerPort", 0);

		if (strcmp(json_text_or(port, "name", ""), name) == 0 &&
			kube_port_has_protocol(port, protocol) && number > 0 &&
			number <= UINT16_MAX)
			return (uint16_t)number;
	}
	return 0;
}

/* Containers in the order in which names are looked up; init containers that stay ("sidecars") have
 * ports and probes too. */
static json_object *container_at(json_object *pod, size_t index)
{
	size_t count = json_count(pod, "spec.containers");

	if (index < count)
		return json_item(pod, "spec.containers", index);
	return json_item(pod, "spec.initContainers", index - count);
}

uint16_t pod_port(json_object *pod, const char *name, uint16_t number, int protocol)
{
	json_object *container = NULL;

	for (size_t i = 0; name && *name && (container = container_at(pod, i)); i++) {
		uint16_t found = named_port(container, name, protocol);

		if (found)
			return found;
	}
	return number;
}

static bool has_port(json_object *container, uint16_t number, int protocol)
{
	for (size_t i = 0; i < json_count(container, "ports"); i++) {
		json_object *port = json_item(container, "ports", i);

		if (json_int(port, "containerPort", 0) == number &&
			kube_port_has_protocol(port, protocol))
			return true;
	}
	return false;
}

json_object *pod_container(json_object *pod, const char *name, uint16_t port, int protocol)
{
	json_object *container = NULL;

	for (size_t i = 0; name && *name && (container = container_at(pod, i)); i++) {
		if (strcmp(json_text_or(container, "name", ""), name) == 0)
			return container;
	}
	for (size_t i = 0; (container = container_at(pod, i)); i++) {
		if (has_port(container, port, protocol))
			return container;
	}
	return container_at(pod, 0);
}

static bool probe_has_port(json_object *container, json_object *handler, uint16_t port)
{
	json_object *value = json_member(handler, "port");

	if (json_object_is_type(value, json_type_string))
		return named_port(container, json_object_get_string(value), IPPROTO_TCP) == port;
	return json_int(handler, "port", 0) == port;
}

enum probe_kind { PROBE_NONE, PROBE_TCP, PROBE_GRPC, PROBE_HTTP, PROBE_KIND_COUNT };

static const struct {
	const char *handler, *name;
} probe_kinds[] = {
	[PROBE_NONE] = {NULL, "none"},
	[PROBE_TCP] = {"tcpSocket", "tcp"},
	[PROBE_GRPC] = {"grpc", "grpc"},
	[PROBE_HTTP] = {"httpGet", "http"},
};
_Static_assert(ARRAY_SIZE(probe_kinds) == PROBE_KIND_COUNT, "a row for every kind");

/* The agent knows the kubelet's request by its user agent: not under TLS, nor where the pod's spec
 * sets another one. */
static bool is_readable(json_object *http)
{
	if (strcasecmp(json_text_or(http, "scheme", "HTTP"), "HTTPS") == 0)
		return false;
	for (size_t i = 0; i < json_count(http, "httpHeaders"); i++) {
		const char *name = json_text(json_item(http, "httpHeaders", i), "name");

		if (name && strcasecmp(name, "User-Agent") == 0)
			return false;
	}
	return true;
}

/* Of several kinds the first in this order: the agent lets tcp and grpc pass by rule, and so the
 * requests of http too. */
static enum probe_kind container_probe(json_object *container, uint16_t port)
{
	static const char *const members[] = {"livenessProbe", "readinessProbe", "startupProbe",
		"lifecycle.postStart", "lifecycle.preStop"};

	for (enum probe_kind kind = PROBE_TCP; kind < PROBE_KIND_COUNT; kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
			json_object *handler = json_member(
				json_path(container, members[i]), probe_kinds[kind].handler);

			if (handler && probe_has_port(container, handler, port))
				return kind == PROBE_HTTP && !is_readable(handler) ? PROBE_TCP
										   : kind;
		}
	}
	return PROBE_NONE;
}

const char *pod_probe(json_object *pod, uint16_t port, int protocol)
{
	enum probe_kind best = PROBE_NONE;
	json_object *container = NULL;

	for (size_t i = 0; protocol == IPPROTO_TCP && (container = container_at(pod, i)); i++) {
		enum probe_kind kind = container_probe(container, port);

		if (kind != PROBE_NONE && (best == PROBE_NONE || kind < best))
			best = kind;
	}
	return probe_kinds[best].name;
}

size_t pod_addresses(json_object *pod, struct ip_addr *out, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < json_count(pod, "status.podIPs") && count < max; i++) {
		const char *text = json_text(json_item(pod, "status.podIPs", i), "ip");

		if (text && ip_addr_parse(text, &out[count]) == 0)
			count++;
	}
	return count;
}

json_object *pod_node_addresses(json_object *pod)
{
	json_object *array = json_object_new_array();
	struct ip_addr addr;

	for (size_t i = 0; i < json_count(pod, "status.hostIPs"); i++) {
		const char *text = json_text(json_item(pod, "status.hostIPs", i), "ip");

		if (text && ip_addr_parse(text, &addr) == 0)
			(void)json_object_array_add(array, json_object_new_string(text));
	}
	if (json_object_array_length(array) == 0 && json_text(pod, "status.hostIP"))
		(void)json_object_array_add(
			array, json_object_new_string(json_text(pod, "status.hostIP")));
	return array;
}

/* N of "PREFIX-N"; 0: another name. */
static unsigned int agent_number(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);
	unsigned long number = 0;
	char *end = NULL;

	if (strncmp(name, prefix, len) != 0 || name[len] < '1' || name[len] > '9')
		return 0;
	number = strtoul(name + len, &end, 10);
	return *end || number > AGENT_NUMBER_MAX ? 0 : (unsigned int)number;
}

static json_object *agent_status(json_object *pod, const char *name)
{
	for (size_t i = 0; i < json_count(pod, "status.ephemeralContainerStatuses"); i++) {
		json_object *status = json_item(pod, "status.ephemeralContainerStatuses", i);

		if (strcmp(json_text_or(status, "name", ""), name) == 0)
			return status;
	}
	return NULL;
}

/* An ephemeral container is not started twice: one that could not be started has ended, whatever
 * its status calls it. */
static bool has_ended(json_object *state)
{
	return json_member(state, "terminated") ||
	       strcmp(json_text_or(state, "waiting.reason", ""), "RunContainerError") == 0;
}

static void read_state(json_object *status, struct pod_agent *agent)
{
	json_object *state = json_member(status, "state");
	json_object *waiting = json_member(state, "waiting");
	json_object *terminated = json_member(state, "terminated");
	json_object *detail = terminated ? terminated : waiting;

	agent->state = has_ended(state)                ? POD_AGENT_TERMINATED
		       : json_member(state, "running") ? POD_AGENT_RUNNING
		       : waiting                       ? POD_AGENT_WAITING
						       : POD_AGENT_UNSEEN;
	agent->reason = json_text_or(detail, "reason", "");
	agent->message = json_text_or(detail, "message", "");
	agent->exit_code = (int)json_int(terminated, "exitCode", 0);
}

static bool is_ours(const char *name)
{
	return agent_number(name, POD_AGENT_PREFIX) > 0 ||
	       agent_number(name, POD_READER_PREFIX) > 0;
}

void pod_agent(json_object *pod, const char *prefix, struct pod_agent *ret_agent)
{
	*ret_agent = (struct pod_agent){.name = "", .image = "", .reason = "", .message = ""};
	for (size_t i = 0; i < json_count(pod, "spec.ephemeralContainers"); i++) {
		json_object *container = json_item(pod, "spec.ephemeralContainers", i);
		const char *name = json_text_or(container, "name", "");
		unsigned int number = agent_number(name, prefix);
		json_object *status = agent_status(pod, name);

		if (is_ours(name) && !has_ended(json_member(status, "state")))
			ret_agent->alive++;
		if (number <= ret_agent->number)
			continue;
		ret_agent->number = number;
		ret_agent->name = name;
		ret_agent->image = json_text_or(container, "image", "");
		read_state(status, ret_agent);
	}
}
