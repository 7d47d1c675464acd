/* SPDX-License-Identifier: Apache-2.0 */
/* Why a Deployment does not come up, read from its status and its pods'. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cluster/container_cause.h"
#include "cluster/install_impl.h"
#include "cluster/json.h"
#include "cluster/meta.h"

/* How much of Kubernetes' own message is repeated. */
#define MESSAGE_MAX 300

bool install_deployment_ready(json_object *deployment)
{
	int64_t wanted = json_int(deployment, "spec.replicas", 1);

	return json_int(deployment, "status.observedGeneration", 0) >=
		       json_int(deployment, "metadata.generation", 1) &&
	       json_int(deployment, "status.updatedReplicas", 0) >= wanted &&
	       json_int(deployment, "status.availableReplicas", 0) >= wanted &&
	       json_int(deployment, "status.replicas", 0) ==
		       json_int(deployment, "status.updatedReplicas", 0);
}

int install_deployment_cause(json_object *deployment, struct err *err)
{
	json_object *failure = kube_condition(deployment, "ReplicaFailure");

	/* An old generation's conditions say nothing about the new one. */
	if (json_int(deployment, "status.observedGeneration", 0) <
		json_int(deployment, "metadata.generation", 1))
		return 0;
	if (strcmp(json_text_or(failure, "status", ""), "True") != 0)
		return 0;
	return err_set(err, -EPERM, ERR_PERMISSION,
		"the cluster does not let the traffic-manager's pod be created: %.*s", MESSAGE_MAX,
		json_text_or(failure, "message", json_text_or(failure, "reason", "")));
}

static int status_cause(json_object *pod, json_object *status, const char *image, struct err *err)
{
	const char *reason = json_text_or(status, "state.waiting.reason", "");
	const char *message = json_text_or(status, "state.waiting.message", "");
	const char *meaning = container_cause(reason);
	int64_t code = json_int(status, "lastState.terminated.exitCode", -1);

	if (!meaning)
		return 0;
	if (strcmp(reason, "CrashLoopBackOff") == 0)
		return err_set(err, -ECHILD, ERR_INTERNAL,
			"pod %s: %s (exit status %" PRId64 "): kubectl logs shows why",
			json_text_or(pod, "metadata.name", ""), meaning, code);
	return err_set(err, -ENOENT, ERR_NOT_FOUND, "pod %s: %s (%s): %.*s%s%s",
		json_text_or(pod, "metadata.name", ""), meaning, image, MESSAGE_MAX, message,
		strstr(reason, "Image") ? "; name another with --image" : "", "");
}

int install_pod_cause(json_object *pod, const char *image, struct err *err)
{
	json_object *scheduled = kube_condition(pod, "PodScheduled");
	json_object *container = json_item(pod, "spec.containers", 0);

	/* A pod of another version is on its way out: its troubles are over. */
	if (strcmp(json_text_or(container, "image", ""), image) != 0 ||
		json_path(pod, "metadata.deletionTimestamp"))
		return 0;
	if (strcmp(json_text_or(pod, "status.phase", ""), "Failed") == 0)
		return err_set(err, -EPERM, ERR_PERMISSION, "pod %s is refused by its node: %.*s",
			json_text_or(pod, "metadata.name", ""), MESSAGE_MAX,
			json_text_or(
				pod, "status.message", json_text_or(pod, "status.reason", "")));
	if (strcmp(json_text_or(scheduled, "status", ""), "False") == 0)
		return err_set(err, -EAGAIN, ERR_UNREACHABLE, "pod %s finds no node: %.*s",
			json_text_or(pod, "metadata.name", ""), MESSAGE_MAX,
			json_text_or(scheduled, "message", ""));
	return status_cause(pod, json_item(pod, "status.containerStatuses", 0), image, err);
}
