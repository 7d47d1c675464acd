/* SPDX-License-Identifier: Apache-2.0 */
/* What is applied, and what a Deployment's status says about why it does not come up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/install_impl.h"
#include "cluster/json.h"
#include "cluster/manifests.h"
#include "cluster/objects.h"
#include "core/alloc.h"

static json_object *load(const char *namespace, const char *image)
{
	const struct kube_install_config config = {.manager_namespace = namespace, .image = image};
	json_object *array = NULL;
	struct err err = ERR_INIT;

	if (manifests_load(&config, &array, &err) < 0)
		fail_msg("%s", err.msg);
	return array;
}

static json_object *find(json_object *array, const char *kind)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		json_object *object = json_object_array_get_idx(array, i);

		if (strcmp(json_text_or(object, "kind", ""), kind) == 0)
			return object;
	}
	fail_msg("no %s", kind);
	return NULL;
}

static void test_manifests_are_whole(void **state UNUSED)
{
	json_object *array = load("ambassador", NULL);

	assert_string_equal(json_text(json_object_array_get_idx(array, 0), "kind"), "Namespace");
	assert_string_equal(manifests_image(array), "node.local/telepresence:" TP_VERSION);
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		auto_free char *path = kube_object_path(json_object_array_get_idx(array, i));

		assert_non_null(path);
	}
	(void)find(array, "CustomResourceDefinition");
	(void)find(array, "ValidatingAdmissionPolicy");
	(void)find(array, "ValidatingAdmissionPolicyBinding");
	(void)find(array, "Service");
	json_object_put(array);
}

static void test_namespace_and_image_are_replaced(void **state UNUSED)
{
	json_object *array = load("tools", "registry.example/tp:2");
	const char *text = json_object_to_json_string(array);

	assert_null(strstr(text, "\"ambassador\""));
	assert_string_equal(manifests_image(array), "registry.example/tp:2");
	assert_string_equal(json_text(find(array, "Namespace"), "metadata.name"), "tools");
	assert_string_equal(json_text(find(array, "Deployment"), "metadata.namespace"), "tools");
	/* Two managers in one cluster: each its own binding. */
	assert_string_equal(json_text(find(array, "ClusterRoleBinding"), "metadata.name"),
		"traffic-manager-tools");
	json_object_put(array);
}

static void test_yaml_scalars(void **state UNUSED)
{
	static const char yaml[] =
		"---\na: {b: [1, -2, '3', true, ~, 0.1.0, -, \"\"]}\n---\n---\nc: d\n";
	json_object *array = NULL;

	assert_int_equal(yaml_to_json(yaml, sizeof(yaml) - 1, &array, NULL), 0);
	assert_string_equal(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN),
		"[{\"a\":{\"b\":[1,-2,\"3\",true,null,\"0.1.0\",\"-\",\"\"]}},{\"c\":\"d\"}]");
	json_object_put(array);
}

static void test_yaml_without_end_is_refused(void **state UNUSED)
{
	static const char loop[] = "a: &x [*x]\n";
	static const char broken[] = "a: [\n";
	json_object *array = NULL;
	struct err err = ERR_INIT;

	assert_true(yaml_to_json(loop, sizeof(loop) - 1, &array, &err) < 0);
	assert_true(yaml_to_json(broken, sizeof(broken) - 1, &array, &err) < 0);
	assert_non_null(strstr(err.msg, "line 2"));
	assert_null(array);
}

#define POD(image, status) \
	"{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"image\":\"" image \
	"\"}]},\"status\":{" status "}}"
#define WAITING(reason) \
	"\"containerStatuses\":[{\"state\":{\"waiting\":{\"reason\":\"" reason \
	"\",\"message\":\"because\"}}}]"

static void test_pod_causes(void **state UNUSED)
{
	static const struct {
		const char *pod;
		int r;
		const char *message;
	} cases[] = {
		{POD("i", ""), 0, ""},
		{POD("i", WAITING("ContainerCreating")), 0, ""},
		{POD("i", WAITING("ErrImagePull")), -ENOENT, "cannot be pulled (i): because"},
		{POD("i", WAITING("ErrImageNeverPull")), -ENOENT, "--image"},
		{POD("old", WAITING("ErrImagePull")), 0, ""},
		{POD("i", WAITING("CreateContainerConfigError")), -ENOENT, "configured"},
		{POD("i", WAITING("CrashLoopBackOff")), -ECHILD, "kubectl logs"},
		{POD("i", "\"phase\":\"Failed\",\"reason\":\"SysctlForbidden\""), -EPERM,
			"SysctlForbidden"},
		{POD("i", "\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
			  "\"message\":\"no cpu\"}]"),
			-EAGAIN, "no cpu"},
		{"{}", 0, ""},
		{"[]", 0, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *pod = json_parse(cases[i].pod, strlen(cases[i].pod));
		struct err err = ERR_INIT;
		int r = install_pod_cause(pod, "i", &err);

		assert_non_null(pod);
		if (r != cases[i].r || !strstr(err.msg, cases[i].message))
			fail_msg("case %zu: %d %s", i, r, err.msg);
		json_object_put(pod);
	}
}

static void test_deployment_states(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool ready;
		int cause;
	} cases[] = {
		{"{\"metadata\":{\"generation\":2},\"spec\":{\"replicas\":1},\"status\":{"
		 "\"observedGeneration\":2,\"updatedReplicas\":1,\"availableReplicas\":1,"
		 "\"replicas\":1}}",
			true, 0},
		/* The old pod still serves. */
		{"{\"metadata\":{\"generation\":2},\"spec\":{\"replicas\":1},\"status\":{"
		 "\"observedGeneration\":2,\"updatedReplicas\":1,\"availableReplicas\":1,"
		 "\"replicas\":2}}",
			false, 0},
		/* Nobody has looked at the new generation yet. */
		{"{\"metadata\":{\"generation\":3},\"spec\":{\"replicas\":1},\"status\":{"
		 "\"observedGeneration\":2,\"updatedReplicas\":1,\"availableReplicas\":1,"
		 "\"replicas\":1,\"conditions\":[{\"type\":\"ReplicaFailure\","
		 "\"status\":\"True\"}]}}",
			false, 0},
		{"{\"metadata\":{\"generation\":1},\"status\":{\"observedGeneration\":1,"
		 "\"conditions\":[{\"type\":\"ReplicaFailure\",\"status\":\"True\","
		 "\"message\":\"exceeded quota\"}]}}",
			false, -EPERM},
		{"{}", false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *object = json_parse(cases[i].text, strlen(cases[i].text));

		assert_non_null(object);
		if (install_deployment_ready(object) != cases[i].ready ||
			install_deployment_cause(object, NULL) != cases[i].cause)
			fail_msg("case %zu", i);
		json_object_put(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifests_are_whole),
		cmocka_unit_test(test_namespace_and_image_are_replaced),
		cmocka_unit_test(test_yaml_scalars),
		cmocka_unit_test(test_yaml_without_end_is_refused),
		cmocka_unit_test(test_pod_causes),
		cmocka_unit_test(test_deployment_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
