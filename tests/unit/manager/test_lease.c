/* SPDX-License-Identifier: Apache-2.0 */
/* Who may take a Lease, and what is written then. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "manager/lease.h"

#define LEASE(version, spec) \
	"{\"metadata\":{\"name\":\"traffic-manager\",\"namespace\":\"ambassador\"," \
	"\"labels\":{\"app\":\"x\"},\"resourceVersion\":\"" version "\"}" spec "}"
#define HELD(by) \
	",\"spec\":{\"holderIdentity\":\"" by \
	"\",\"acquireTime\":\"2026-01-01T00:00:00.000000Z\"," \
	"\"leaseTransitions\":4}"

static bool available(struct lease_view *view, const char *text, uint64_t now_ms)
{
	json_object *lease = json_parse(text, strlen(text));
	bool is = lease_available(view, lease, "me", now_ms);

	assert_non_null(lease);
	json_object_put(lease);
	return is;
}

static void test_who_may_take_it(void **state UNUSED)
{
	struct lease_view view = {.since_ms = 0};

	assert_true(available(&view, LEASE("1", ""), 1000)); /* as installed */
	assert_true(available(&view, LEASE("2", HELD("")), 1000)); /* released */
	assert_true(available(&view, LEASE("3", HELD("me")), 1000)); /* this container, restarted */
	assert_false(available(&view, LEASE("4", HELD("you")), 1000));
	assert_false(available(&view, LEASE("4", HELD("you")), 1000 + LEASE_MS - 1));
	/* A renewal is a new version, whatever the clocks say. */
	assert_false(available(&view, LEASE("5", HELD("you")), 1000 + LEASE_MS));
	assert_true(available(&view, LEASE("5", HELD("you")), 1000 + 2 * LEASE_MS));
}

static json_object *claim(const char *text, const char *identity)
{
	const struct timespec now = {.tv_sec = 1767225661, .tv_nsec = 5000};
	json_object *lease = json_parse(text, strlen(text)), *claimed = NULL;
	auto_free char *body = lease_claim(lease, identity, &now);

	claimed = json_parse(body, strlen(body));
	assert_non_null(claimed);
	json_object_put(lease);
	return claimed;
}

static void test_what_is_written(void **state UNUSED)
{
	static const char now[] = "2026-01-01T00:01:01.000005Z";
	static const struct {
		const char *lease, *identity, *acquired;
		int transitions;
	} cases[] = {
		{LEASE("1", ""), "me", now, 1},
		{LEASE("1", HELD("me")), "me", "2026-01-01T00:00:00.000000Z", 4},
		{LEASE("1", HELD("you")), "me", now, 5},
		{LEASE("1", HELD("me")), "", now, 5},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *object = claim(cases[i].lease, cases[i].identity);

		assert_string_equal(json_text(object, "metadata.resourceVersion"), "1");
		assert_string_equal(json_text(object, "metadata.labels.app"), "x");
		assert_string_equal(json_text(object, "spec.holderIdentity"), cases[i].identity);
		assert_string_equal(json_text(object, "spec.renewTime"), now);
		assert_string_equal(json_text(object, "spec.acquireTime"), cases[i].acquired);
		assert_int_equal(
			json_int(object, "spec.leaseTransitions", -1), cases[i].transitions);
		assert_int_equal(
			json_int(object, "spec.leaseDurationSeconds", -1), LEASE_MS / 1000);
		json_object_put(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_may_take_it),
		cmocka_unit_test(test_what_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
