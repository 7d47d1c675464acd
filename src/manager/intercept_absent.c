/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certain is only what the workload itself says: that it wants no pods, or that the pod has ended.
 * What is wrong with a pod may pass (an image that is there later, a node that is added): it is
 * named, and waited for.
 */
#include "manager/intercept_absent.h"

#include <errno.h>
#include <string.h>

#include "cluster/container_cause.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "manager/intercept_seat.h"
#include "manager/intercept_target.h"
#include "manager/pods.h"

/* How much of Kubernetes' own message is repeated. */
#define MESSAGE_MAX 200

/* What a workload's object says of how many pods it is to have; 1 where it says nothing. */
static int64_t wanted(const struct intercept *intercept, json_object *object)
{
	if (strcmp(intercept->spec->kind, "DaemonSet") != 0)
		return json_int(object, "spec.replicas", 1);
	/* The controller has not looked at this one yet. */
	if (json_int(object, "status.observedGeneration", 0) <
		json_int(object, "metadata.generation", 0))
		return 1;
	return json_int(object, "status.desiredNumberScheduled", 1);
}

static void say_unwanted(const struct intercept *intercept, const char *kind, struct err *why)
{
	const struct intercept_spec *spec = intercept->spec;

	if (strcmp(spec->kind, "DaemonSet") == 0)
		err_set(why, -ENOENT, ERR_NOT_FOUND,
			"%s %s has a pod on no node: kubectl -n %s describe %s %s shows which "
			"nodes "
			"it selects",
			kind, spec->workload, spec->namespace, kind, spec->workload);
	else
		err_set(why, -ENOENT, ERR_NOT_FOUND,
			"%s %s is scaled to 0: kubectl -n %s scale %s %s --replicas=1 gives it a "
			"pod",
			kind, spec->workload, spec->namespace, kind, spec->workload);
}

static bool has_ended(json_object *pod)
{
	const char *phase = json_text_or(pod, "status.phase", "");

	return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* Whether a container's status says why it does not run. */
static bool say_container(json_object *pod, json_object *status, struct err *why)
{
	json_object *waiting = json_path(status, "state.waiting");
	const char *reason = json_text_or(waiting, "reason", "");
	const char *meaning = container_cause(reason);

	if (meaning)
		err_set(why, -ENOENT, ERR_NOT_FOUND,
			"container %s of pod %s does not run, %s (%s): %.*s",
			json_text_or(status, "name", ""), pod_name(pod), meaning, reason,
			MESSAGE_MAX, json_text_or(waiting, "message", "no more is known"));
	return meaning != NULL;
}

static void say_pod(json_object *pod, struct err *why)
{
	static const char *const statuses[] = {
		"status.initContainerStatuses", "status.containerStatuses"};
	json_object *scheduled = kube_condition(pod, "PodScheduled");
	json_object *ready = kube_condition(pod, "Ready");

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		for (size_t j = 0; j < json_count(pod, statuses[i]); j++) {
			if (say_container(pod, json_item(pod, statuses[i], j), why))
				return;
		}
	}
	if (json_path(pod, "metadata.deletionTimestamp"))
		err_set(why, -ENOENT, ERR_NOT_FOUND, "pod %s is ending", pod_name(pod));
	else if (strcmp(json_text_or(scheduled, "status", ""), "False") == 0)
		err_set(why, -ENOENT, ERR_NOT_FOUND, "pod %s has no node: %.*s", pod_name(pod),
			MESSAGE_MAX, json_text_or(scheduled, "message", ""));
	else
		err_set(why, -ENOENT, ERR_NOT_FOUND, "pod %s is not ready: %.*s", pod_name(pod),
			MESSAGE_MAX, json_text_or(ready, "message", "it has just begun"));
}

/* The one that says most: not one that is ending, if there is another. */
static json_object *telling_pod(const struct intercept *intercept)
{
	const struct seat *seat = NULL;
	json_object *found = NULL;

	for (seat = intercept->set->seats; seat; seat = seat->hh.next) {
		if (!workload_has(intercept->target->workload, seat->uid))
			continue;
		if (!json_path(seat->pod, "metadata.deletionTimestamp"))
			return seat->pod;
		found = seat->pod;
	}
	return found;
}

bool intercept_absent(const struct intercept *intercept, struct err *why)
{
	json_object *object = workload_object(intercept->target->workload);
	json_object *pod = telling_pod(intercept);
	json_object *failure = kube_condition(object, "ReplicaFailure");
	bool bare = strcmp(intercept->spec->kind, "Pod") == 0;
	char kind[INTERCEPT_KIND_BYTES];

	intercept_kind_text(intercept->spec, kind);
	if (!bare && wanted(intercept, object) == 0) {
		say_unwanted(intercept, kind, why);
		return true;
	}
	if (bare && pod && has_ended(pod)) {
		err_set(why, -ENOENT, ERR_NOT_FOUND,
			"pod %s has ended (%s): it has to be made anew", pod_name(pod),
			json_text_or(pod, "status.phase", ""));
		return true;
	}
	if (pod)
		say_pod(pod, why);
	else if (strcmp(json_text_or(failure, "status", ""), "True") == 0)
		err_set(why, -ENOENT, ERR_NOT_FOUND, "%s %s gets no pod: %.*s", kind,
			intercept->spec->workload, MESSAGE_MAX,
			json_text_or(failure, "message", ""));
	else
		err_set(why, -ENOENT, ERR_NOT_FOUND, "%s %s has no pod yet", kind,
			intercept->spec->workload);
	return false;
}
