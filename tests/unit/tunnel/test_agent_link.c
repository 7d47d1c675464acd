/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's links to the manager: who is let in, and what flows. */
#include "tunnel/agent_fixture.h"
#include "tunnel/fixture_end.h"

static void serve_end(
	struct agent_fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct end *end = fixture->extra;

	assert_string_equal(head->authority, "10.0.0.1:80");
	end->stream = stream;
	h2_stream_set_events(stream, &end_events, end);
	h2_respond(stream, 200, NULL, 0, true);
}

static void open_end(struct h2_session *h2, struct end *end)
{
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};

	assert_non_null(h2);
	assert_int_equal(h2_request(h2, &head, &end_events, end, &end->stream), 0);
}

static void test_token_join(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct end near = {.to_send = 1000}, far = {.to_send = 2000};
	struct link_seen seen;

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	agent_fixture_link(fixture, &seen, AGENT_CLIENT);
	assert_null(agent_link_h2(seen.link));
	agent_run_until(fixture, &seen.ready, 1);
	agent_run_until(fixture, &fixture->agents, 1);
	assert_null(agent_peer_h2(fixture->peer));
	open_end(agent_link_h2(seen.link), &near);
	agent_run_until(fixture, &near.closed, 1);
	agent_run_until(fixture, &far.closed, 1);
	assert_int_equal(near.status, 200);
	assert_int_equal(near.received, 2000);
	assert_int_equal(far.received, 1000);
	agent_link_free(seen.link);
	agent_run_until(fixture, &fixture->gone, 1);
	agent_fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
