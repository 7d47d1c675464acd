/* SPDX-License-Identifier: Apache-2.0 */
/* How long a replica leads whose API server falls silent, and one that was stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/client.h"
#include "cluster/fake_api.h"
#include "cluster/fake_clock.h"
#include "manager/lease.h"

#define FREE "{\"metadata\":{\"name\":\"traffic-manager\",\"resourceVersion\":\"1\"}}"
#define OURS \
	"{\"metadata\":{\"name\":\"traffic-manager\",\"resourceVersion\":\"2\"}," \
	"\"spec\":{\"holderIdentity\":\"me\"}}"
#define CONFLICT "{\"kind\":\"Status\",\"code\":409,\"reason\":\"Conflict\",\"message\":\"x\"}"
/* A request answered at once takes far less, on any machine. */
#define SLACK_MS 2000
#define TRIES    5

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct lease *lease;
	bool silent, taken, broken;
	uint64_t granted_ms; /* the last claim was, not later than this */
	int begun, ended; /* so often it led */
	int requests_at_end; /* had come when it ended last */
};

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);

	if (rig->silent)
		return NULL;
	if (strncmp(head, "GET ", 4) == 0)
		return fake_json(200, FREE);
	if (rig->broken)
		return fake_json(500, "{\"kind\":\"Status\",\"code\":500,\"message\":\"x\"}");
	if (rig->taken)
		return fake_json(409, CONFLICT);
	rig->granted_ms = uv_now(&rig->loop);
	return fake_json(200, OURS);
}

static void on_change(void *user, bool is_leader)
{
	struct rig *rig = user;

	rig->begun += is_leader;
	rig->ended += !is_leader;
	rig->requests_at_end = rig->api.requests;
}

static void start(struct rig *rig)
{
	struct kube_config config = {.context = (char[]){"ctx"}};

	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->api.answer = answer;
	fake_start(&rig->api, &rig->loop);
	config.server = rig->api.url;
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
	rig->lease = lease_new(&rig->loop, rig->client, "ambassador", "me", on_change, rig);
	while (rig->begun == 0)
		fake_clock_turn(&rig->loop);
}

static void stop(struct rig *rig)
{
	lease_free(rig->lease);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
}

/* From the last claim that was granted to the end of leading, when the API server falls silent. */
static uint64_t lead_in_silence(struct rig *rig)
{
	int before = rig->ended;

	rig->silent = true;
	while (rig->ended == before)
		fake_clock_turn(&rig->loop);
	return uv_now(&rig->loop) - rig->granted_ms;
}

/* Another one may take it LEASE_MS after the last renewal: no later than then, not as late as the
 * next look. A machine that is busy only adds to what is measured. */
static void test_no_answer_is_no_renewal(void **state UNUSED)
{
	struct rig rig = {.silent = false};
	uint64_t least_ms = UINT64_MAX, led_ms = 0, back_ms = 0;

	start(&rig);
	for (int i = 0; i < TRIES && least_ms >= LEASE_MS + LEASE_POLL_MS / 2; i++) {
		led_ms = lead_in_silence(&rig);
		least_ms = MIN(least_ms, led_ms);
		assert_true(led_ms >= LEASE_MS / 2);
		assert_false(lease_is_leader(rig.lease));
		/* The request that hangs does not delay what follows either. */
		rig.silent = false;
		back_ms = uv_now(&rig.loop);
		while (rig.begun == rig.ended)
			fake_clock_turn(&rig.loop);
		assert_true(uv_now(&rig.loop) - back_ms < LEASE_POLL_MS + SLACK_MS);
	}
	assert_true(least_ms < LEASE_MS + LEASE_POLL_MS / 2);
	stop(&rig);
}

/* Nothing is asked any more in the belief to lead. */
static void test_stopped_meanwhile(void **state UNUSED)
{
	struct rig rig = {.silent = false};
	int before = 0;

	start(&rig);
	/* Between two renewals, not while one is under way. */
	while (rig.api.requests < 3 || uv_now(&rig.loop) - rig.granted_ms < LEASE_RENEW_MS / 2)
		fake_clock_turn(&rig.loop);
	before = rig.api.requests;
	rig.taken = true;
	fake_clock_skipped_ms += 60000;
	while (rig.ended == 0 && rig.api.requests < before + 4)
		fake_clock_turn(&rig.loop);
	assert_int_equal(rig.ended, 1);
	assert_int_equal(rig.requests_at_end, before);
	stop(&rig);
}

static void renew(struct rig *rig, int requests)
{
	requests += rig->api.requests;
	while (rig->api.requests < requests)
		fake_clock_turn(&rig->loop);
}

/* The connection of a request that failed may be dead without a word: the next has one of its own.
 */
static void test_another_connection_after_a_failure(void **state UNUSED)
{
	struct rig rig = {.silent = false};
	int before;

	start(&rig);
	renew(&rig, 3);
	before = rig.api.accepted;
	renew(&rig, 2);
	assert_int_equal(rig.api.accepted, before);
	rig.broken = true;
	renew(&rig, 1);
	assert_int_equal(rig.api.accepted, before);
	rig.broken = false;
	renew(&rig, 1);
	assert_int_equal(rig.api.accepted, before + 1);
	stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_answer_is_no_renewal),
		cmocka_unit_test(test_stopped_meanwhile),
		cmocka_unit_test(test_another_connection_after_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
