/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/placement.h - puts an agent into a running pod: an ephemeral container
 *
 * docs/agent.md, section 1. The placer knows what every agent needs: image and pull policy (those
 * of the manager's own container), the addresses that agents come to (the ClusterIP of the
 * manager's Service, and its pod's), and the pin of the manager's key. It reads them once, and
 * again until it has them; what is to be placed before that waits.
 */
#ifndef MANAGER_PLACEMENT_H
#define MANAGER_PLACEMENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"
#include "tunnel/agent_server.h"
#include "tunnel/identity.h"

struct err;
struct kube_client;
struct placement;
struct placer;
struct pod_agent;

struct placer_config {
	const char *namespace, *pod; /* the manager's own; copied */
	struct ip_addr own; /* the pod's address; family 0: not known */
	uint16_t agent_port; /* of the pod and of its Service */
	const char *pin; /* IDENTITY_PIN_TEXT; copied */
	void (*on_image)(void *user, const char *image); /* once; may be NULL */
	void *user;
};

/* What one agent is given. */
struct placement_spec {
	const char *image, *pull_policy, *manager, *pin; /* from the placer */
	const char *manager_pod; /* likewise; "": none */
	const char *name; /* of the new container */
	const char *container; /* whose environment it has */
	uint8_t token[AGENT_TOKEN_BYTES];
};

struct placer *placer_new(
	uv_loop_t *loop, struct kube_client *client, const struct placer_config *config);
void placer_free(struct placer *placer); /* NULL-safe; deferred */
/* The image of agents that are placed now; "" before it is known. */
const char *placer_image(const struct placer *placer);
/* Whether the manager's own pod was there before this process. */
bool placer_came_back(const struct placer *placer);

/* An agent, or a reader, by its name. on_done: 0 when the API server took it, else err names the
 * cause for a person. Once, never from within. `on_token` is asked for the token at the last
 * moment. */
struct placement *placement_start(struct placer *placer, json_object *pod, const char *container,
	const char *name, void (*on_token)(void *user, uint8_t token[static AGENT_TOKEN_BYTES]),
	void (*on_done)(void *user, int r, const struct err *err), void *user);
void placement_cancel(struct placement *placement); /* NULL-safe */

/* The strategic merge patch of pods/NAME/ephemeralcontainers, malloc'd; to be wiped. */
NODISCARD char *placement_patch(json_object *pod, const struct placement_spec *spec);
/* Why the API server refused it: one line. Returns a negative errno; -EEXIST: the pod has an agent
 * of that name, -EAGAIN: to be asked again. */
int placement_refusal(
	json_object *pod, int status, json_object *body, const struct err *why, struct err *err);
/* Why a placed agent does not start. 0: it still may. */
int placement_cause(json_object *pod, const struct pod_agent *agent, struct err *err);

#endif /* MANAGER_PLACEMENT_H */
