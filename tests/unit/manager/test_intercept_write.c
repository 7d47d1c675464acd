/* SPDX-License-Identifier: Apache-2.0 */
/* The status patch of an intercept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"

static json_object *parse(const char *text)
{
	json_object *object = json_parse(text, strlen(text));

	assert_non_null(object);
	return object;
}

static json_object *patch_of(const struct intercept *intercept)
{
	auto_free char *text = intercept_patch(intercept);

	return parse(text);
}

static char first_uid[] = "u0", second_uid[] = "u1", intercept_uid[] = "u-i";

/* One pod that is active, one whose agent cannot be placed. */
struct world {
	struct intercept intercept;
	struct intercept_spec spec;
	struct seat seats[2];
	struct member members[2];
};

static void build(struct world *world)
{
	*world = (struct world){.intercept = {.state = INTERCEPT_ACTIVE,
					.reason = "Active",
					.message = "1 of 2 pods",
					.since = "2026-01-01T00:00:00Z",
					.connections = 5}};
	world->spec.uid = intercept_uid;
	world->intercept.spec = &world->spec;
	world->intercept.fallbacks = parse("{\"refused\":1}");
	world->seats[0] = (struct seat){.uid = first_uid,
		.state = SEAT_CONNECTED,
		.agent = "telepresence-agent-2",
		.pod = parse("{\"metadata\":{\"name\":\"web-0\"},\"spec\":{\"nodeName\":\"n1\"},"
			     "\"status\":{\"podIP\":\"10.1.0.4\"}}")};
	world->seats[1] = (struct seat){.uid = second_uid,
		.state = SEAT_BACKOFF,
		.problem = {.code = -1, .msg = "a quota"},
		.pod = parse("{\"metadata\":{\"name\":\"web-1\"}}")};
	for (size_t i = 0; i < ARRAY_SIZE(world->members); i++) {
		world->members[i].intercept = &world->intercept;
		world->members[i].seat = &world->seats[i];
		DL_APPEND(world->intercept.members, &world->members[i]);
	}
	world->members[0].state = MEMBER_ACTIVE;
	world->members[0].count =
		parse("{\"connections\":7,\"fallbacks\":{\"refused\":2,\"timed-out\":1}}");
}

static void tear_down(struct world *world)
{
	json_object_put(world->intercept.fallbacks);
	json_object_put(world->seats[0].pod);
	json_object_put(world->seats[1].pod);
	json_object_put(world->members[0].count);
}

static void test_patch(void **state UNUSED)
{
	static const char expected[] =
		"{\"metadata\":{\"uid\":\"u-i\"},\"status\":{\"state\":\"ACTIVE\",\"reason\":"
		"\"Active\",\"message\":\"1 of 2 "
		"pods\","
		"\"since\":\"2026-01-01T00:00:00Z\",\"conditions\":[{\"type\":\"Ready\","
		"\"status\":\"True\",\"reason\":\"Active\",\"message\":\"1 of 2 pods\","
		"\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}],\"pods\":["
		"{\"name\":\"web-0\",\"uid\":\"u0\",\"ip\":\"10.1.0.4\",\"node\":\"n1\","
		"\"agent\":\"telepresence-agent-2\",\"state\":\"ACTIVE\",\"message\":\"\"},"
		"{\"name\":\"web-1\",\"uid\":\"u1\",\"ip\":\"\",\"node\":\"\",\"agent\":\"\","
		"\"state\":\"ERROR\",\"message\":\"a quota\"}],"
		"\"connections\":12,\"fallbacks\":{\"refused\":3,\"timed-out\":1}}}";
	struct world world;
	auto_free char *text = NULL;

	build(&world);
	text = intercept_patch(&world.intercept);
	assert_string_equal(text, expected);
	tear_down(&world);
}

static void test_what_pods_show(void **state UNUSED)
{
	static const struct {
		enum seat_state seat;
		enum member_state member;
		const char *shown;
	} cases[] = {
		{SEAT_IDLE, MEMBER_WAITING, "WAITING"},
		{SEAT_EXPECTED, MEMBER_WAITING, "WAITING"},
		{SEAT_CONNECTED, MEMBER_WAITING, "WAITING"},
		{SEAT_CONNECTED, MEMBER_PROBING, "WAITING"},
		{SEAT_CONNECTED, MEMBER_FAILED, "ERROR"},
		{SEAT_CONNECTED, MEMBER_ACTIVE, "ACTIVE"},
		/* Its agent is lost: what was proven is proven again. */
		{SEAT_EXPECTED, MEMBER_ACTIVE, "WAITING"},
	};
	struct world world;

	build(&world);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *patch = NULL;

		world.seats[0].state = cases[i].seat;
		world.members[0].state = cases[i].member;
		patch = patch_of(&world.intercept);
		assert_string_equal(
			json_text(json_item(patch, "status.pods", 0), "state"), cases[i].shown);
		json_object_put(patch);
	}
	tear_down(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patch),
		cmocka_unit_test(test_what_pods_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
