/* SPDX-License-Identifier: Apache-2.0 */
/* What a placer learns of its own pod, and tells the agents that it places, by a scripted API
 * server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include <cmocka.h>

#include "cluster/client.h"
#include "cluster/fake_api.h"
#include "cluster/json.h"
#include "core/err.h"
#include "manager/placement.h"

#define POD_PATH    "/api/v1/namespaces/ns/pods/traffic-manager-x"
#define APP_PATH    "/api/v1/namespaces/shop/pods/web-1/ephemeralcontainers"
#define DEADLINE_MS 20000

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	int age_s, restarts; /* of the manager's own pod */
	bool placed, expired;
};

static char *own_pod(const struct rig *rig)
{
	time_t born = time(NULL) - rig->age_s;
	char text[32];
	struct tm tm;

	(void)gmtime_r(&born, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return xasprintf("{\"metadata\":{\"creationTimestamp\":\"%s\"},"
			 "\"spec\":{\"containers\":[{\"image\":\"r/tp:1\"}]},"
			 "\"status\":{\"containerStatuses\":[{\"restartCount\":%d}]}}",
		text, rig->restarts);
}

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);
	auto_free char *body = NULL;

	if (strncmp(head, "GET " POD_PATH " ", strlen("GET " POD_PATH " ")) == 0)
		body = own_pod(rig);
	else if (strncmp(head, "PATCH " APP_PATH " ", strlen("PATCH " APP_PATH " ")) == 0)
		body = xstrdup("{}");
	else
		body = xstrdup("{\"spec\":{\"clusterIP\":\"10.96.0.7\"}}");
	if (strncmp(head, "PATCH", 5) == 0) {
		assert_non_null(strstr(head, "\"image\":\"r/tp:1\""));
		assert_non_null(strstr(head, "\"--manager=10.96.0.7:8082\""));
		assert_non_null(strstr(head, "\"--manager-pod=10.1.0.9:8082\""));
	}
	return fake_json(200, body);
}

static void on_token(void *user, uint8_t token[static AGENT_TOKEN_BYTES])
{
	(void)user;
	memset(token, 7, AGENT_TOKEN_BYTES);
}

static void on_placed(void *user, int r, const struct err *err)
{
	(void)err;
	assert_int_equal(r, 0);
	((struct rig *)user)->placed = true;
}

static void on_expired(uv_timer_t *timer)
{
	((struct rig *)timer->data)->expired = true;
}

/* Whether the placer says that the manager came back. */
static bool place(int age_s, int restarts)
{
	struct rig rig = {.age_s = age_s, .restarts = restarts, .api = {.answer = answer}};
	struct kube_config config = {.context = (char[]){"ctx"}};
	const struct placer_config own = {.namespace = "ns",
		.pod = "traffic-manager-x",
		.own = {.family = AF_INET, .bytes = {10, 1, 0, 9}},
		.agent_port = 8082,
		.pin = "PIN="};
	json_object *pod = json_tokener_parse(
		"{\"metadata\":{\"name\":\"web-1\",\"namespace\":\"shop\",\"uid\":\"u\"},"
		"\"spec\":{\"containers\":[{\"name\":\"web\"}]}}");
	struct placer *placer;
	uv_timer_t timer;
	bool came_back;

	assert_int_equal(uv_loop_init(&rig.loop), 0);
	fake_start(&rig.api, &rig.loop);
	config.server = rig.api.url;
	assert_int_equal(kube_client_new(&rig.loop, &config, &rig.client, NULL), 0);
	placer = placer_new(&rig.loop, rig.client, &own);
	(void)placement_start(
		placer, pod, "web", "telepresence-agent-1", on_token, on_placed, &rig);
	uv_timer_init(&rig.loop, &timer);
	timer.data = &rig;
	uv_timer_start(&timer, on_expired, DEADLINE_MS, 0);
	while (!rig.expired && !rig.placed)
		uv_run(&rig.loop, UV_RUN_ONCE);
	assert_false(rig.expired);
	came_back = placer_came_back(placer);
	uv_close((uv_handle_t *)&timer, NULL);
	placer_free(placer);
	kube_client_free(rig.client);
	fake_stop(&rig.api);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
	json_object_put(pod);
	return came_back;
}

static void test_own_pod(void **state)
{
	(void)state;
	assert_false(place(2, 0));
	assert_true(place(2, 1));
	/* The kubelet has yet to count what was killed. */
	assert_true(place(600, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_own_pod)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
