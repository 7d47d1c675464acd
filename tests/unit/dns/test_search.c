/* SPDX-License-Identifier: Apache-2.0 */
/* A single label in one namespace after the other, with a cluster that answers from here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "dns/message.h"
#include "dns/resolver.h"
#include "dns/search.h"

static const char *const further[] = {"Shop", "dev"};

struct world {
	uv_loop_t loop;
	struct dns_lookups *lookups;
	struct dns_names *names;
	struct dns_search search;
	const char *known; /* what of a question is known; the rest is NXDOMAIN */
	const char *broken; /* what the cluster cannot be asked for */
	struct dns_query *held; /* asked, not answered yet */
	char asked[512]; /* first labels' namespaces: "default shop " */
	unsigned int done, failed;
	enum dns_rcode rcode;
};

/* The namespace of "web.NAMESPACE.svc.cluster.local" in wire format. */
static const char *namespace_of(const uint8_t *msg, char out[static 64])
{
	const uint8_t *label = msg + DNS_HEADER_BYTES;

	label += *label + 1;
	memcpy(out, label + 1, *label);
	out[*label] = '\0';
	return out;
}

static int on_send(void *user, struct dns_query *query, const uint8_t *msg, size_t len)
{
	struct world *world = user;
	uint8_t reply[512];
	char text[64];
	size_t used = strlen(world->asked);
	const char *namespace = namespace_of(msg, text);

	(void)snprintf(world->asked + used, sizeof(world->asked) - used, "%s ", namespace);
	if (world->broken && strcmp(namespace, world->broken) == 0)
		return -ENOTCONN;
	if (world->known && strcmp(world->known, "held") == 0) {
		world->held = query;
		return 0;
	}
	memcpy(reply, msg, len);
	reply[2] |= 0x80;
	reply[3] =
		world->known && strcmp(namespace, world->known) == 0 ? DNS_NOERROR : DNS_NXDOMAIN;
	dns_query_answer(query, reply, len);
	return 0;
}

static void on_done(
	void *user, const uint8_t *msg, size_t len, const struct dns_answer_facts *facts)
{
	struct world *world = user;

	(void)len;
	world->done++;
	world->failed += msg == NULL;
	world->rcode = facts ? facts->rcode : DNS_SERVFAIL;
}

static int set_up(void **state)
{
	struct world *world = XNEW(struct world);

	(void)uv_loop_init(&world->loop);
	world->lookups = dns_lookups_new(&world->loop, LIMIT_DNS_TIMEOUT_MS, on_send, world);
	world->names = dns_names_new("cluster.local", "default");
	dns_names_set_further(world->names, further, ARRAY_SIZE(further));
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	dns_lookups_free(world->lookups);
	dns_names_free(world->names);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	free(world);
	return 0;
}

static int search(struct world *world, const char *name)
{
	struct dns_judgement judgement;

	(void)dns_names_judge(world->names, name, &judgement);
	world->search.type = DNS_TYPE_A;
	return dns_search_start(
		&world->search, world->lookups, world->names, &judgement, on_done, world);
}

static void the_first_that_knows_it_answers(void **state)
{
	struct world *world = *state;

	world->known = "shop";
	assert_true(search(world, "web") >= 0);
	assert_string_equal(world->asked, "default shop ");
	assert_int_equal(world->done, 1);
	assert_int_equal(world->rcode, DNS_NOERROR);
}

static void unknown_everywhere_is_unknown(void **state)
{
	struct world *world = *state;

	assert_true(search(world, "web") >= 0);
	assert_string_equal(world->asked, "default shop dev ");
	assert_int_equal(world->rcode, DNS_NXDOMAIN);
	/* Once more, from what is remembered. */
	dns_names_set_further(world->names, further, 1);
	assert_true(search(world, "web") >= 0);
	assert_int_equal(world->done, 2);
	assert_int_equal(world->failed, 0);
}

static void what_cannot_be_asked_ends_the_search(void **state)
{
	struct world *world = *state;

	world->broken = "shop";
	world->known = "dev";
	assert_true(search(world, "web") >= 0);
	assert_string_equal(world->asked, "default shop ");
	assert_int_equal(world->failed, 1);
	world->broken = "default";
	assert_true(search(world, "api") < 0);
	assert_int_equal(world->done, 1);
}

static void longer_names_are_asked_once(void **state)
{
	struct world *world = *state;

	assert_true(search(world, "web.default.svc") >= 0);
	assert_string_equal(world->asked, "default ");
	assert_int_equal(world->rcode, DNS_NXDOMAIN);
}

/* "pod.service": in the own namespace, then as a name with a namespace, then in the further ones.
 */
static void a_pod_of_a_headless_service(void **state)
{
	static const char *const headless[] = {"db", "dev"}, *const known[] = {"default", "dev"};
	struct world *world = *state;

	dns_names_set_cluster(world->names, "cluster.local", known, ARRAY_SIZE(known));
	dns_names_set_headless(world->names, headless, ARRAY_SIZE(headless));
	/* The second label, which is the Service's here. */
	assert_true(search(world, "db-0.db") >= 0);
	assert_string_equal(world->asked, "db db db ");
	assert_int_equal(world->rcode, DNS_NXDOMAIN);
	world->asked[0] = '\0';
	assert_true(search(world, "web.dev") >= 0);
	assert_int_equal(world->rcode, DNS_NXDOMAIN);
	assert_string_equal(world->asked, "dev dev dev dev ");
}

static void nothing_comes_after_a_cancel(void **state)
{
	struct world *world = *state;

	world->known = "held";
	assert_true(search(world, "web") >= 0);
	dns_search_cancel(&world->search);
	dns_query_answer(world->held, NULL, 0);
	assert_int_equal(world->done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_that_knows_it_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unknown_everywhere_is_unknown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_cannot_be_asked_ends_the_search, set_up, tear_down),
		cmocka_unit_test_setup_teardown(longer_names_are_asked_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pod_of_a_headless_service, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_comes_after_a_cancel, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
