/* SPDX-License-Identifier: Apache-2.0 */
/* The patch that places an agent, and why one is refused or does not start. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "core/err.h"
#include "manager/placement.h"
#include "manager/pods.h"

static json_object *parse(const char *text)
{
	json_object *object = json_parse(text, strlen(text));

	if (!object)
		fail_msg("no JSON: %s", text);
	return object;
}

static const char pod_text[] =
	"{\"metadata\":{\"name\":\"web-1\",\"namespace\":\"shop\",\"uid\":\"uid-1\"},"
	"\"spec\":{\"containers\":[{\"name\":\"log\"},{\"name\":\"web\",\"env\":["
	"{\"name\":\"A\",\"value\":\"1\"},"
	"{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}},"
	"{\"name\":\"R\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}}],"
	"\"envFrom\":[{\"configMapRef\":{\"name\":\"c\"}}],"
	"\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]}]},"
	"\"status\":{\"hostIPs\":[{\"ip\":\"172.30.0.1\"},{\"ip\":\"fd00::1\"}]}}";

static void test_patch(void **state UNUSED)
{
	static const char expected[] =
		"{\"spec\":{\"ephemeralContainers\":[{\"name\":\"telepresence-agent-3\","
		"\"image\":\"r/tp:1\",\"imagePullPolicy\":\"IfNotPresent\","
		"\"command\":[\"/traffic-agent\"],"
		"\"args\":[\"--manager=10.0.0.9:8082\",\"--manager-pod=10.1.0.9:8082\","
		"\"--pin=PIN=\","
		"\"--token=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\",\"--pod-uid=uid-1\","
		"\"--container=web\",\"--node-address=172.30.0.1,fd00::1\","
		"\"--name=telepresence-agent-3\"],"
		"\"env\":[{\"name\":\"A\",\"value\":\"1\"},"
		"{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}},"
		"{\"name\":\"R\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\","
		"\"containerName\":\"web\"}}}],"
		"\"envFrom\":[{\"configMapRef\":{\"name\":\"c\"}}],"
		"\"securityContext\":{\"runAsUser\":0,\"runAsGroup\":7439,\"runAsNonRoot\":false,"
		"\"privileged\":false,\"allowPrivilegeEscalation\":false,"
		"\"readOnlyRootFilesystem\":true,"
		"\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_ADMIN\"]},"
		"\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}}]}}";
	struct placement_spec spec = {.image = "r/tp:1",
		.pull_policy = "IfNotPresent",
		.manager = "10.0.0.9:8082",
		.manager_pod = "10.1.0.9:8082",
		.pin = "PIN=",
		.name = "telepresence-agent-3",
		.container = "web"};
	json_object *pod = parse(pod_text);
	auto_free char *patch = NULL;

	memset(spec.token, 7, sizeof(spec.token));
	patch = placement_patch(pod, &spec);
	assert_string_equal(patch, expected);
	/* The pod's own object is not changed by it. */
	assert_null(strstr(json_object_to_json_string(pod), "containerName"));
	json_object_put(pod);
}

static void test_refusals(void **state UNUSED)
{
	static const struct {
		int status;
		const char *body;
		int r;
		const char *message;
	} cases[] = {
		{403,
			"{\"message\":\"pods \\\"web-1\\\" is forbidden: violates PodSecurity "
			"\\\"restricted:latest\\\": unrestricted capabilities (container "
			"\\\"telepresence-agent-1\\\" must not include \\\"NET_ADMIN\\\")\"}",
			-EPERM,
			"PodSecurity level \"restricted\" of namespace shop forbids the agent, "
			"which needs "
			"NET_ADMIN: unrestricted capabilities"},
		{403, "{\"message\":\"violates PodSecurity\"}", -EPERM, "PodSecurity forbids"},
		{403,
			"{\"message\":\"pods \\\"web-1\\\" is forbidden: User "
			"\\\"system:serviceaccount:ambassador:traffic-manager\\\" cannot patch "
			"resource "
			"\\\"pods/ephemeralcontainers\\\"\"}",
			-EACCES, "may not patch pods/ephemeralcontainers in namespace shop"},
		{403, "{\"message\":\"pods is forbidden: exceeded quota: q\"}", -EPERM,
			"a quota of namespace shop"},
		{403, "{\"message\":\"denied by our-webhook\"}", -EPERM, "denied by our-webhook"},
		{404, "{\"message\":\"x\",\"details\":{\"kind\":\"pods\"}}", -ENOENT,
			"pod web-1 is gone"},
		{404, "{\"message\":\"the server could not find the requested resource\"}",
			-EOPNOTSUPP, "no ephemeral containers"},
		{409, "{}", -EAGAIN, "changed meanwhile"},
		{422, "{\"message\":\"name too long\"}", -EINVAL, "name too long"},
		{422,
			"{\"message\":\"spec.ephemeralContainers: Forbidden: existing ephemeral "
			"containers \\\"telepresence-agent-2\\\" may not be changed\"}",
			-EEXIST, "of that name by now"},
		{422,
			"{\"message\":\"pods is forbidden: ValidatingAdmissionPolicy 'p' with "
			"binding 'p' denied request: not here\"}",
			-EPERM, "admission forbids the agent in pod web-1"},
		{500, "{\"message\":\"etcd\"}", -EIO, "pod web-1: etcd"},
		{0, "null", -EIO, "connection refused"},
	};
	const struct err why = {.code = -EIO, .kind = ERR_UNREACHABLE, .msg = "connection refused"};
	json_object *pod = parse(pod_text);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *body = json_parse(cases[i].body, strlen(cases[i].body));
		struct err err = ERR_INIT;
		int r = placement_refusal(pod, cases[i].status, body, &why, &err);

		if (r != cases[i].r || !strstr(err.msg, cases[i].message) || strchr(err.msg, '\n'))
			fail_msg("case %zu: %d %s", i, r, err.msg);
		json_object_put(body);
	}
	json_object_put(pod);
}

static void test_causes(void **state UNUSED)
{
	static const struct {
		enum pod_agent_state state;
		const char *reason;
		bool fatal;
		const char *message;
	} cases[] = {
		{POD_AGENT_UNSEEN, "", false, ""},
		{POD_AGENT_RUNNING, "ErrImagePull", false, ""},
		{POD_AGENT_WAITING, "ContainerCreating", false, ""},
		{POD_AGENT_WAITING, "ErrImagePull", true, "cannot be pulled (i): because"},
		{POD_AGENT_WAITING, "ImagePullBackOff", true, "cannot be pulled"},
		{POD_AGENT_WAITING, "ErrImageNeverPull", true, "not on the node"},
		{POD_AGENT_WAITING, "InvalidImageName", true, "not valid"},
		{POD_AGENT_WAITING, "CreateContainerConfigError", true, "cannot be configured"},
		{POD_AGENT_TERMINATED, "RunContainerError", true, "cannot be started"},
		{POD_AGENT_TERMINATED, "StartError", true, "cannot be started"},
		{POD_AGENT_TERMINATED, "OOMKilled", false, ""},
	};
	json_object *pod = parse(pod_text);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct pod_agent agent = {.number = 1,
			.state = cases[i].state,
			.name = "telepresence-agent-1",
			.image = "i",
			.reason = cases[i].reason,
			.message = "because"};
		struct err err = ERR_INIT;

		if ((placement_cause(pod, &agent, &err) < 0) != cases[i].fatal ||
			!strstr(err.msg, cases[i].message))
			fail_msg("case %zu: %s", i, err.msg);
		if (cases[i].fatal && !strstr(err.msg, "pod web-1"))
			fail_msg("case %zu names no pod: %s", i, err.msg);
	}
	json_object_put(pod);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patch),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_causes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
