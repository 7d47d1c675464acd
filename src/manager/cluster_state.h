/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/cluster_state.h - what a client has to know of the cluster, from the objects seen
 *
 * No I/O: watch events go in, one line of JSON comes out (docs/manager.md). Service ranges are
 * those of the ServiceCIDR objects, else what covers the ClusterIPs; pod ranges those of the nodes,
 * else (or where the manager's own address shows that they are not in use) what covers the pods.
 */
#ifndef MANAGER_CLUSTER_STATE_H
#define MANAGER_CLUSTER_STATE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "cluster/watch.h"
#include "core/attr.h"
#include "net/addr.h"

struct cluster_state;

struct cluster_state_config {
	const char *cluster_domain; /* "cluster.local"; all are copied */
	struct ip_addr dns_server; /* family 0: unknown */
	struct ip_addr api_service; /* ClusterIP of the API server; family 0: unknown */
	struct ip_addr own_pod; /* family 0: unknown, or the pod is on its node's network */
};

struct cluster_state *cluster_state_new(const struct cluster_state_config *config);
void cluster_state_free(struct cluster_state *state); /* NULL-safe */

/* Events of one kind each. */
typedef void (*cluster_state_fn)(
	struct cluster_state *state, enum kube_event event, json_object *object);
void cluster_state_service_cidr(
	struct cluster_state *state, enum kube_event event, json_object *object);
void cluster_state_node(struct cluster_state *state, enum kube_event event, json_object *object);
void cluster_state_namespace(
	struct cluster_state *state, enum kube_event event, json_object *object);
void cluster_state_api_endpoints(
	struct cluster_state *state, enum kube_event event, json_object *object);
void cluster_state_pod(struct cluster_state *state, enum kube_event event, json_object *object);
void cluster_state_service(struct cluster_state *state, enum kube_event event, json_object *object);

/* What agents are made of; copied. */
void cluster_state_set_agent_image(struct cluster_state *state, const char *image);
/* Whether the nodes' podCIDRs say where the pods are; else the pods have to be watched. */
bool cluster_state_pods_known(const struct cluster_state *state);
bool cluster_state_services_known(const struct cluster_state *state);
/* One object and a newline, malloc'd. Lists are sorted: the same state gives the same text. */
NODISCARD char *cluster_state_format(const struct cluster_state *state);

#endif /* MANAGER_CLUSTER_STATE_H */
