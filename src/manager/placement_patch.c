/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's container, as docs/agent.md, section 1 has it. */
#include <netinet/in.h>
#include <openssl/evp.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "manager/placement.h"
#include "manager/pods.h"

/* What every agent's container has; the rest differs. */
static const char security_context[] =
	"{\"runAsUser\":0,\"runAsGroup\":7439,\"runAsNonRoot\":false,\"privileged\":false,"
	"\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true,"
	"\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_ADMIN\"]},"
	"\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}";

static void add_arg(json_object *args, const char *flag, const char *value)
{
	auto_free char *text = xasprintf("--%s=%s", flag, value);

	(void)json_object_array_add(args, json_object_new_string(text));
}

static void add_node_addresses(json_object *args, json_object *pod)
{
	json_object *addresses = pod_node_addresses(pod);
	auto_free char *list = xstrdup("");

	for (size_t i = 0; i < json_object_array_length(addresses); i++) {
		char *longer = xasprintf("%s%s%s", list, i ? "," : "",
			json_object_get_string(json_object_array_get_idx(addresses, i)));

		free(list);
		list = longer;
	}
	if (*list)
		add_arg(args, "node-address", list);
	json_object_put(addresses);
}

static json_object *new_args(
	json_object *pod, const struct placement_spec *spec, const char *container)
{
	json_object *args = json_object_new_array();
	char token[AGENT_TOKEN_BYTES * 2];

	(void)EVP_EncodeBlock((unsigned char *)token, spec->token, AGENT_TOKEN_BYTES);
	add_arg(args, "manager", spec->manager);
	if (*spec->manager_pod)
		add_arg(args, "manager-pod", spec->manager_pod);
	add_arg(args, "pin", spec->pin);
	add_arg(args, "token", token);
	add_arg(args, "pod-uid", pod_uid(pod));
	add_arg(args, "container", container);
	add_node_addresses(args, pod);
	add_arg(args, "name", spec->name);
	explicit_bzero(token, sizeof(token));
	return args;
}

/* A copy that is ours to change. */
static json_object *copy_of(json_object *value)
{
	json_object *copy = NULL;

	return value && json_object_deep_copy(value, &copy, NULL) == 0 ? copy : NULL;
}

/* Resources are those of the app's container, of which the agent's own has none. */
static json_object *env_of(json_object *container)
{
	json_object *env = copy_of(json_member(container, "env"));

	for (size_t i = 0; i < (env ? json_object_array_length(env) : 0); i++) {
		json_object *reference =
			json_path(json_object_array_get_idx(env, i), "valueFrom.resourceFieldRef");

		if (reference && !json_text(reference, "containerName"))
			json_add_text(
				reference, "containerName", json_text_or(container, "name", ""));
	}
	return env;
}

char *placement_patch(json_object *pod, const struct placement_spec *spec)
{
	json_object *app = pod_container(pod, spec->container, 0, IPPROTO_TCP);
	json_object *agent = json_object_new_object(), *list = json_object_new_array();
	json_object *patch = json_object_new_object(), *pod_spec = json_object_new_object();
	json_object *command = json_object_new_array();
	json_object *env = env_of(app), *env_from = copy_of(json_member(app, "envFrom"));
	char *text = NULL;

	json_add_text(agent, "name", spec->name);
	json_add_text(agent, "image", spec->image);
	if (*spec->pull_policy)
		json_add_text(agent, "imagePullPolicy", spec->pull_policy);
	(void)json_object_array_add(command, json_object_new_string("/traffic-agent"));
	json_object_object_add(agent, "command", command);
	json_object_object_add(agent, "args", new_args(pod, spec, json_text_or(app, "name", "")));
	if (env)
		json_object_object_add(agent, "env", env);
	if (env_from)
		json_object_object_add(agent, "envFrom", env_from);
	json_object_object_add(agent, "securityContext",
		json_parse(security_context, sizeof(security_context) - 1));
	(void)json_object_array_add(list, agent);
	json_object_object_add(pod_spec, "ephemeralContainers", list);
	json_object_object_add(patch, "spec", pod_spec);
	text = xstrdup(json_object_to_json_string_ext(
		patch, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(patch);
	return text;
}
