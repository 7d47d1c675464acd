/* SPDX-License-Identifier: Apache-2.0 */
/* Links to a manager that ends: how many there may be, and what still comes on one. */
#include "tunnel/agent_fixture_link.h"

#include "agent/leaving.h"
#include "tunnel/fixture_end.h"

static void ready(struct agent_fixture *fixture, struct link_seen *seen, enum agent_role role)
{
	int agents = fixture->agents;

	agent_fixture_link(fixture, seen, role);
	agent_run_until(fixture, &seen->ready, 1);
	agent_run_until(fixture, &fixture->agents, agents + 1);
}

static void serve_end(
	struct agent_fixture *fixture, struct h2_stream *stream, const struct h2_head *head UNUSED)
{
	struct end *end = fixture->extra;

	end->stream = stream;
	h2_stream_set_events(stream, &end_events, end);
	h2_respond(stream, 200, NULL, 0, true);
}

static void open_end(struct agent_fixture *fixture, struct end *end)
{
	const struct h2_head head = {.method = "CONNECT", .authority = "127.0.0.1:80"};
	struct h2_session *h2 = agent_peer_h2(fixture->peer);

	assert_int_equal(h2_request(h2, &head, &end_events, end, &end->stream), 0);
}

/* What flows goes on; a stream that the manager has yet opened is told that it is too late. */
static void test_refuses_streams(void **state UNUSED)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct leaving *leaving = leaving_new();
	struct end near = {.hold = true}, far = {.hold = true}, late = {.to_send = 0};
	struct link_seen seen;

	fixture->on_stream = serve_end;
	fixture->extra = &far;
	ready(fixture, &seen, AGENT_SERVER);
	open_end(fixture, &near);
	agent_run_until(fixture, &near.status, 200);
	agent_server_leave(fixture->server);
	agent_run_until(fixture, &seen.leaving, 1);
	leaving_add(leaving, TAKE_PTR(seen.link));
	open_end(fixture, &late);
	agent_run_until(fixture, &late.closed, 1);
	assert_int_equal(late.status, 503);
	assert_int_equal(near.closed + far.closed, 0);
	leaving_free(leaving);
	agent_run_until(fixture, &fixture->gone, 1);
	assert_int_equal(near.closed, 1);
	assert_int_equal(far.closed, 1);
	agent_fixture_free(fixture);
}

/* The oldest goes for the fifth; the others go when the manager closes them, or all at once. */
static void test_few_are_kept(void **state UNUSED)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct leaving *leaving = leaving_new();
	struct link_seen seen[5];
	struct agent_peer *third = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		ready(fixture, &seen[i], AGENT_CLIENT);
		third = i == 2 ? fixture->peer : third;
		assert_int_equal(fixture->gone, 0);
		leaving_add(leaving, TAKE_PTR(seen[i].link));
	}
	agent_run_until(fixture, &fixture->gone, 1);
	agent_peer_close(third, "bye");
	agent_run_until(fixture, &fixture->gone, 2);
	leaving_clear(leaving);
	agent_run_until(fixture, &fixture->gone, 5);
	leaving_free(leaving);
	agent_fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses_streams),
		cmocka_unit_test(test_few_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
