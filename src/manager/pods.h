/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/pods.h - reading pods: readiness, ports, probes, addresses, the agents that they have had
 *
 * No I/O. Strings that are returned are borrowed from the object.
 */
#ifndef MANAGER_PODS_H
#define MANAGER_PODS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;

/* Containers of ours: agents, and what only has another container's environment. A number follows.
 */
#define POD_AGENT_PREFIX  "telepresence-agent-"
#define POD_READER_PREFIX "telepresence-environment-"

enum pod_agent_state {
	POD_AGENT_NONE,
	POD_AGENT_UNSEEN, /* in the spec; its kubelet has said nothing yet */
	POD_AGENT_WAITING,
	POD_AGENT_RUNNING,
	POD_AGENT_TERMINATED,
	POD_AGENT_STATE_COUNT
};

/* The newest agent (or reader) of a pod. Strings are "" where there is nothing to say. */
struct pod_agent {
	unsigned int number; /* 0: none yet */
	enum pod_agent_state state;
	const char *name, *image, *reason, *message;
	int exit_code;
	unsigned int alive; /* all of ours that run or will, as far as is known */
};

const char *pod_uid(json_object *pod);
const char *pod_name(json_object *pod);
bool pod_ready(json_object *pod); /* takes connections, and is not about to end */
bool pod_running(json_object *pod); /* has addresses and started containers, and is not ending */
bool pod_alive(json_object *pod); /* has a node, and neither ends nor has ended */
/* -EPERM: a pod in which connections must not be redirected. */
NODISCARD int pod_refusal(json_object *pod, struct err *err);
/* The number that this pod gives to a port: by name if it has one of that name, else the number. */
uint16_t pod_port(json_object *pod, const char *name, uint16_t number, int protocol);
/* The container that has the port, else the first; NULL: it has none at all. */
json_object *pod_container(json_object *pod, const char *name, uint16_t port, int protocol);
/* How the kubelet asks a port, by probes and hooks: "none", "tcp", "http" or "grpc". */
const char *pod_probe(json_object *pod, uint16_t port, int protocol);
size_t pod_addresses(json_object *pod, struct ip_addr *out, size_t max);
/* The addresses of its node, from which the kubelet probes: an array of its own. */
json_object *pod_node_addresses(json_object *pod);
void pod_agent(json_object *pod, const char *prefix, struct pod_agent *ret_agent);

#endif /* MANAGER_PODS_H */
