/* SPDX-License-Identifier: Apache-2.0 */
/* The link to a manager that comes and goes. */
#include "tunnel/agent_fixture_link.h"

#include "agent/manager_link.h"
#include "tunnel/agent_peer.h"
#include "tunnel/session.h"

#define QUIET_MS 200

struct seen {
	int ready, lost, refused;
	struct h2_session *h2;
};

static void on_ready(void *user, struct h2_session *h2)
{
	struct seen *seen = user;

	seen->ready++;
	seen->h2 = h2;
}

static void on_lost(void *user)
{
	struct seen *seen = user;

	seen->lost++;
	seen->h2 = NULL;
}

static void on_refused(void *user, const struct err *err)
{
	(void)err;
	((struct seen *)user)->refused++;
}

static const struct ip_addr loopback = {.family = AF_INET, .bytes = {127, 0, 0, 1}};

static struct manager_link *link_by(struct agent_fixture *fixture,
	const struct ip_endpoint *service, const struct ip_endpoint *pod, struct seen *seen)
{
	static const struct manager_link_events events = {
		.on_ready = on_ready, .on_lost = on_lost, .on_refused = on_refused};

	return manager_link_new(&fixture->loop, service, pod, fixture->credentials, &events, seen);
}

static struct manager_link *link_to(struct agent_fixture *fixture, struct seen *seen)
{
	const struct ip_endpoint manager = {
		.addr = loopback, .port = agent_server_port(fixture->server)};
	const struct ip_endpoint none = {.addr = {.family = 0}};

	return link_by(fixture, &manager, &none, seen);
}

static void on_quiet(uv_timer_t *timer)
{
	*(int *)timer->data = 1;
}

/* Nothing happens for longer than a pause between two tries. */
static void quiet(struct agent_fixture *fixture)
{
	uv_timer_t timer;
	int over = 0;

	uv_timer_init(&fixture->loop, &timer);
	timer.data = &over;
	uv_timer_start(&timer, on_quiet, QUIET_MS, 0);
	agent_run_until(fixture, &over, 1);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void test_a_late_loss_does_not_end_the_next_link(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct err err = ERR_INIT;
	struct seen seen = {0};
	struct manager_link *link = link_to(fixture, &seen);

	(void)state;
	/* The first try is under way when the loss is told of. */
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	err_set(&err, -ECONNRESET, ERR_UNREACHABLE, "of before");
	manager_link_lose(link, &err);
	agent_run_until(fixture, &seen.ready, 1);
	quiet(fixture);
	assert_int_equal(seen.ready, 1);
	assert_int_equal(seen.lost, 0);
	assert_int_equal(fixture->agents, 1);
	manager_link_free(link);
	agent_fixture_free(fixture);
}

/* The former link stays beside the next one for as long as the manager keeps it. */
static void test_a_manager_that_leaves(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct seen seen = {0};
	struct manager_link *link = link_to(fixture, &seen);
	struct agent_peer *former;

	(void)state;
	agent_run_until(fixture, &seen.ready, 1);
	agent_run_until(fixture, &fixture->agents, 1);
	former = fixture->peer;
	h2_session_goaway(former->h2);
	agent_run_until(fixture, &seen.lost, 1);
	assert_null(seen.h2);
	agent_run_until(fixture, &seen.ready, 2);
	assert_non_null(seen.h2);
	assert_int_equal(seen.lost, 1);
	assert_int_equal(seen.refused, 0);
	manager_link_free(link);
	agent_fixture_free(fixture);
}

/* Either address will do: where nobody is, the other one's turn comes at once. */
static void test_two_ways(void **state)
{
	(void)state;
	for (int alive = 0; alive < 2; alive++) {
		struct agent_fixture *fixture = agent_fixture_new();
		const struct ip_endpoint manager = {
			.addr = loopback, .port = agent_server_port(fixture->server)};
		const struct ip_endpoint nobody = {.addr = loopback, .port = 1};
		struct seen seen = {0};
		struct manager_link *link = link_by(fixture, alive == 0 ? &manager : &nobody,
			alive == 1 ? &manager : &nobody, &seen);

		for (int ready = 1; ready < 4; ready++) {
			agent_run_until(fixture, &seen.ready, ready);
			assert_int_equal(manager_link_where(link)->port, manager.port);
			agent_run_until(fixture, &fixture->agents, ready);
			agent_peer_close(fixture->peer, "of the test");
			agent_run_until(fixture, &seen.lost, seen.lost + 1);
		}
		assert_int_equal(seen.refused, 0);
		manager_link_free(link);
		agent_fixture_free(fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_late_loss_does_not_end_the_next_link),
		cmocka_unit_test(test_a_manager_that_leaves),
		cmocka_unit_test(test_two_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
