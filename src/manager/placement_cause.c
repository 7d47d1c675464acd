/* SPDX-License-Identifier: Apache-2.0 */
/* Why an agent cannot be placed, or does not start, in one line that a person can act on. */
#include <errno.h>
#include <string.h>

#include "cluster/container_cause.h"
#include "cluster/json.h"
#include "core/err.h"
#include "manager/placement.h"
#include "manager/pods.h"

/* How much of Kubernetes' own message is repeated. */
#define MESSAGE_MAX 300

/* What the admission says after "violates PodSecurity": `"restricted:latest": why`. */
static int pod_security(json_object *pod, const char *text, struct err *err)
{
	const char *level = strchr(text, '"');
	const char *why = level ? strchr(level + 1, '"') : NULL;

	if (!why)
		return err_set(err, -EPERM, ERR_PERMISSION, "PodSecurity forbids the agent: %.*s",
			MESSAGE_MAX, text);
	level++;
	return err_set(err, -EPERM, ERR_PERMISSION,
		"PodSecurity level \"%.*s\" of namespace %s forbids the agent, which needs "
		"NET_ADMIN: %.*s",
		(int)strcspn(level, ":\""), level, json_text_or(pod, "metadata.namespace", ""),
		MESSAGE_MAX, why + strspn(why, "\": "));
}

static int forbidden(json_object *pod, const char *message, struct err *err)
{
	const char *security = strstr(message, "violates PodSecurity");

	if (security)
		return pod_security(pod, security, err);
	if (strstr(message, "exceeded quota"))
		return err_set(err, -EPERM, ERR_PERMISSION,
			"a quota of namespace %s forbids the agent: %.*s",
			json_text_or(pod, "metadata.namespace", ""), MESSAGE_MAX, message);
	if (strstr(message, "cannot patch"))
		return err_set(err, -EACCES, ERR_PERMISSION,
			"the traffic-manager may not patch pods/ephemeralcontainers in namespace "
			"%s: its ClusterRole traffic-manager lacks that right",
			json_text_or(pod, "metadata.namespace", ""));
	return err_set(err, -EPERM, ERR_PERMISSION,
		"the cluster's admission forbids the agent in pod %s: %.*s", pod_name(pod),
		MESSAGE_MAX, message);
}

int placement_refusal(
	json_object *pod, int status, json_object *body, const struct err *why, struct err *err)
{
	const char *message = json_text_or(body, "message", why->msg);
	const char *kind = json_text_or(body, "details.kind", "");

	switch (status) {
	case 403:
		return forbidden(pod, message, err);
	case 404:
		/* The pod's own absence is told of as a pod that is not found. */
		if (strcmp(kind, "pods") == 0)
			return err_set(
				err, -ENOENT, ERR_NOT_FOUND, "pod %s is gone", pod_name(pod));
		return err_set(err, -EOPNOTSUPP, ERR_UNSUPPORTED,
			"this cluster has no ephemeral containers: they came with Kubernetes 1.25, "
			"or "
			"the feature is off");
	case 409:
		return err_set(
			err, -EAGAIN, ERR_CONFLICT, "pod %s was changed meanwhile", pod_name(pod));
	case 422:
		/* What a policy denies has this status unless the policy says otherwise. */
		if (strstr(message, "denied request"))
			return forbidden(pod, message, err);
		/* By a request that got no answer, or by another manager a moment ago. */
		if (strstr(message, "existing ephemeral containers"))
			return err_set(err, -EEXIST, ERR_CONFLICT,
				"pod %s has an agent of that name by now", pod_name(pod));
		return err_set(err, -EINVAL, ERR_UNSUPPORTED,
			"the cluster does not accept the agent in pod %s: %.*s", pod_name(pod),
			MESSAGE_MAX, message);
	default:
		return err_set(err, why->code < 0 ? why->code : -EIO, why->kind,
			"cannot place an agent in pod %s: %.*s", pod_name(pod), MESSAGE_MAX,
			message);
	}
}

int placement_cause(json_object *pod, const struct pod_agent *agent, struct err *err)
{
	const char *meaning = container_cause(agent->reason);

	if ((agent->state != POD_AGENT_WAITING && agent->state != POD_AGENT_TERMINATED) || !meaning)
		return 0;
	return err_set(err, -ENOENT, ERR_NOT_FOUND,
		"the agent in pod %s does not start, %s (%s): %.*s", pod_name(pod), meaning,
		agent->image, MESSAGE_MAX, *agent->message ? agent->message : agent->reason);
}
