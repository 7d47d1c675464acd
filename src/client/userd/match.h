/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/match.h - which of a workload's ports an intercept takes
 *
 * Pure: the objects come from resolve.h. A service belongs to the workload when its selector is a
 * subset of the pod template's labels. A remote port is a service's (name or number), else a
 * container's; without one the workload must have exactly one.
 */
#ifndef CLIENT_USERD_MATCH_H
#define CLIENT_USERD_MATCH_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/userd/intercept_args.h"
#include "core/attr.h"

struct err;

#define MATCH_HINT_BYTES 512

struct intercept_port {
	uint16_t local;
	uint16_t service_port; /* 0: no service */
	uint16_t container_port;
	bool udp;
	char service[INTERCEPT_LABEL_BYTES], service_uid[INTERCEPT_LABEL_BYTES];
	char service_port_name[INTERCEPT_LABEL_BYTES];
	char container_port_name[INTERCEPT_LABEL_BYTES]; /* of a named targetPort */
	char container[INTERCEPT_LABEL_BYTES]; /* that declares it; "": none does */
};

struct intercept_target {
	char *workload, *kind;
	char *container; /* whose environment is meant */
	char *mounts; /* its mount paths, with colons between */
	struct intercept_port ports[INTERCEPT_PORTS_MAX];
	size_t port_count;
};

/*
 * template: spec.template of the workload, or the Pod itself. services: array of Service objects of
 * the namespace. On failure nothing is to be freed; hint may say which ports there are.
 */
NODISCARD int match_ports(const struct intercept_args *args, const char *kind, const char *workload,
	json_object *template, json_object *services, struct intercept_target *ret_target,
	struct err *err, char hint[static MATCH_HINT_BYTES]);
void intercept_target_done(struct intercept_target *target);

/* Every label of the selector (an object of strings, not empty) is among the labels. */
bool match_selects(json_object *selector, json_object *labels);

#endif /* CLIENT_USERD_MATCH_H */
