/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a kubelet that has said nothing of an agent, by a scripted API server. */
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
#include "manager/intercept_seat.h"

#define DEADLINE_MS 20000
#define OLD         "2020-01-01T00:00:00Z"
#define YOUNG       "2999-01-01T00:00:00Z"
#define NODE(status, since) \
	"{\"items\":[{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"" status \
	"\",\"lastTransitionTime\":\"" since "\"}]}}]}"

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	const char *born, *node; /* of the manager's own pod; the answer of its node */
	bool expired;
};

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);
	auto_free char *body = NULL;

	if (strstr(head, "/nodes?"))
		body = xstrdup(rig->node);
	else if (strstr(head, "/pods/"))
		body = xasprintf("{\"metadata\":{\"creationTimestamp\":\"%s\"},"
				 "\"spec\":{\"containers\":[{\"image\":\"r/tp:1\"}]}}",
			rig->born);
	else
		body = xstrdup("{\"spec\":{\"clusterIP\":\"10.96.0.7\"}}");
	return fake_json(200, body);
}

static void on_expired(uv_timer_t *timer)
{
	((struct rig *)timer->data)->expired = true;
}

struct row {
	const char *born, *node;
	bool away; /* the API server, a moment ago */
	const char *says; /* the beginning of the excuse, or of the problem */
	bool is_excuse;
};

static void ask(struct rig *rig, struct intercepts *set, const struct row *row)
{
	json_object *pod = json_tokener_parse(
		"{\"metadata\":{\"name\":\"web-1\"},\"spec\":{\"nodeName\":\"n1\"}}");
	struct seat seat = {.set = set, .pod = pod, .state = SEAT_EXPECTED};
	const char *said = NULL;

	/* Its own pod has been read. */
	while (!rig->expired && !*placer_image(set->placer))
		uv_run(&rig->loop, UV_RUN_ONCE);
	set->began_ms = uv_now(&rig->loop);
	set->away_ms = row->away ? set->began_ms : 0;
	seat.expected_ms = set->began_ms;
	seat_ask_kubelet(&seat);
	while (!rig->expired && !seat.excuse && seat.problem.code == 0)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_false(rig->expired);
	assert_true(row->is_excuse == (seat.excuse != NULL));
	said = row->is_excuse ? seat.excuse : seat.problem.msg;
	if (strncmp(said, row->says, strlen(row->says)) != 0)
		fail_msg("%s", said);
	/* While there is an excuse it is waited for. */
	assert_true(row->is_excuse == (seat.deadline_ms > uv_now(&rig->loop)));
	json_object_put(pod);
}

static void run(const struct row *row)
{
	struct rig rig = {.born = row->born, .node = row->node, .api = {.answer = answer}};
	struct kube_config config = {.context = (char[]){"ctx"}};
	const struct placer_config own = {
		.namespace = "ns", .pod = "traffic-manager-x", .agent_port = 8082, .pin = "PIN="};
	struct intercepts set = {.loop = &rig.loop};
	uv_timer_t timer;

	assert_int_equal(uv_loop_init(&rig.loop), 0);
	fake_start(&rig.api, &rig.loop);
	config.server = rig.api.url;
	assert_int_equal(kube_client_new(&rig.loop, &config, &set.client, NULL), 0);
	set.placer = placer_new(&rig.loop, set.client, &own);
	uv_timer_init(&rig.loop, &timer);
	timer.data = &rig;
	uv_timer_start(&timer, on_expired, DEADLINE_MS, 0);
	ask(&rig, &set, row);
	uv_close((uv_handle_t *)&timer, NULL);
	placer_free(set.placer);
	kube_client_free(set.client);
	fake_stop(&rig.api);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
}

static void test_excuses(void **state)
{
	static const struct row rows[] = {
		{OLD, NODE("True", OLD), false, "the traffic-manager has just come back: ", true},
		{OLD, NODE("True", OLD), true, "the API server was away, ", true},
		{YOUNG, NODE("True", OLD), true, "the API server was away, ", true},
		{YOUNG, NODE("False", OLD), false, "the node is not ready", true},
		{YOUNG, NODE("True", OLD), false,
			"node n1 does not start the agent of pod web-1: its kubelet has said "
			"nothing of it in ",
			false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		run(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_excuses)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
