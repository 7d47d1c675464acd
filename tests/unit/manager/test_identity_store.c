/* SPDX-License-Identifier: Apache-2.0 */
/* The Secret of a scripted API server: empty, with a key, taken by another replica, unreadable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "cluster/client.h"
#include "cluster/fake_api.h"
#include "cluster/json.h"
#include "cluster/secret.h"
#include "core/err.h"
#include "manager/identity_store.h"
#include "tunnel/identity.h"

#define PATH        "/api/v1/namespaces/ns/secrets/traffic-manager-identity"
#define DEADLINE_MS 20000

/* What is to come, and what to say to it. */
struct step {
	const char *method;
	int status;
	enum { EMPTY, OURS, GARBAGE, WRITTEN } secret;
};

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct identity_store *store;
	struct identity *ours, *loaded;
	const struct step *steps;
	size_t step, count;
	bool expired;
};

static char *secret_json(const struct rig *rig, const struct step *step)
{
	char *pem = identity_pem(rig->ours), *encoded = NULL, *text;

	if (step->secret == OURS)
		encoded = base64_encode(pem, strlen(pem));
	else if (step->secret == GARBAGE)
		encoded = base64_encode("hello", 5);
	text = xasprintf("{\"metadata\":{\"resourceVersion\":\"77\"},\"data\":{%s%s%s}}",
		encoded ? "\"key\":\"" : "", encoded ? encoded : "", encoded ? "\"" : "");
	free(pem);
	free(encoded);
	return text;
}

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);
	const struct step *step = &rig->steps[rig->step++];
	auto_free char *line = NULL, *body = NULL;

	assert_true(rig->step <= rig->count);
	line = xasprintf("%s " PATH " ", step->method);
	if (strncmp(head, line, strlen(line)) != 0)
		fail_msg("step %zu: not \"%s\" in %s", rig->step, line, head);
	if (strcmp(step->method, "PATCH") == 0) {
		assert_non_null(strstr(head, "application/merge-patch+json"));
		assert_non_null(strstr(head, "\"resourceVersion\":\"77\""));
		assert_non_null(strstr(head, "\"data\":{\"key\":\"LS0tLS1CRUdJTiBQUklW"));
	}
	body = secret_json(rig, step);
	return fake_json(step->status, body);
}

static void on_done(void *user, struct identity *identity)
{
	struct rig *rig = user;

	assert_null(rig->loaded);
	assert_non_null(identity);
	rig->loaded = identity;
}

static void on_expired(uv_timer_t *timer)
{
	((struct rig *)timer->data)->expired = true;
}

static void start(struct rig *rig, const struct step *steps, size_t count)
{
	struct kube_config config = {.server = rig->api.url, .context = (char[]){"ctx"}};

	assert_int_equal(uv_loop_init(&rig->loop), 0);
	assert_int_equal(identity_new(&rig->ours, NULL), 0);
	rig->steps = steps;
	rig->count = count;
	rig->api.answer = answer;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
	rig->store = identity_store_load(&rig->loop, rig->client, "ns", on_done, rig);
	assert_null(rig->loaded);
}

static void run_until_step(struct rig *rig, size_t step, bool loaded)
{
	uv_timer_t timer;

	uv_timer_init(&rig->loop, &timer);
	timer.data = rig;
	uv_timer_start(&timer, on_expired, DEADLINE_MS, 0);
	while (!rig->expired && (rig->step < step || (loaded && !rig->loaded)))
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_false(rig->expired);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static void stop(struct rig *rig)
{
	identity_store_free(rig->store);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	identity_free(rig->ours);
	identity_free(rig->loaded);
}

static bool is_ours(const struct rig *rig)
{
	uint8_t ours[IDENTITY_PIN_BYTES], loaded[IDENTITY_PIN_BYTES];

	identity_pin(rig->ours, ours);
	identity_pin(rig->loaded, loaded);
	return memcmp(ours, loaded, sizeof(ours)) == 0;
}

static void run(const struct step *steps, size_t count, bool ours)
{
	struct rig rig = {.step = 0};

	start(&rig, steps, count);
	run_until_step(&rig, count, true);
	assert_int_equal(rig.step, count);
	assert_int_equal(is_ours(&rig), ours);
	stop(&rig);
}

static void reads_the_key(void **state)
{
	static const struct step steps[] = {{"GET", 200, OURS}};

	(void)state;
	run(steps, ARRAY_SIZE(steps), true);
}

static void makes_and_writes_one(void **state)
{
	static const struct step steps[] = {{"GET", 200, EMPTY}, {"PATCH", 200, WRITTEN}};

	(void)state;
	run(steps, ARRAY_SIZE(steps), false);
}

/* 409: whoever was first has the key of both. */
static void another_was_first(void **state)
{
	static const struct step steps[] = {
		{"GET", 200, EMPTY}, {"PATCH", 409, WRITTEN}, {"GET", 200, OURS}};

	(void)state;
	run(steps, ARRAY_SIZE(steps), true);
}

/* A key that cannot be read is left as it is: no PATCH comes. */
static void comes_in_the_end(void **state)
{
	static const struct step steps[] = {
		{"GET", 404, EMPTY}, {"GET", 200, GARBAGE}, {"GET", 200, OURS}};

	(void)state;
	run(steps, ARRAY_SIZE(steps), true);
}

static void stops_at_any_time(void **state)
{
	static const struct step steps[] = {{"GET", 200, EMPTY}, {"PATCH", 200, WRITTEN}};
	struct rig rig = {.step = 0}, other = {.step = 0};

	(void)state;
	start(&rig, steps, ARRAY_SIZE(steps));
	stop(&rig);
	assert_null(rig.loaded);
	start(&other, steps, ARRAY_SIZE(steps));
	run_until_step(&other, 2, false);
	stop(&other);
	assert_null(other.loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_key),
		cmocka_unit_test(makes_and_writes_one),
		cmocka_unit_test(another_was_first),
		cmocka_unit_test(comes_in_the_end),
		cmocka_unit_test(stops_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
