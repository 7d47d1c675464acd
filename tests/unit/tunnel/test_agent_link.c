/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's links to the manager: who is let in, and what flows. */
#include "tunnel/agent_fixture_link.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <unistd.h>

#include "tunnel/fixture_end.h"

/* More than a stream's credit. */
#define BULK_BYTES (LIMIT_STREAM_WINDOW_BYTES + 1024 * 1024)

static void serve_end(
	struct agent_fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct end *end = fixture->extra;

	assert_string_equal(head->authority, "10.0.0.1:80");
	/* The next stream is of the next end. */
	fixture->extra = end + 1;
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

static void assert_exchanged(const struct end *near, const struct end *far)
{
	assert_int_equal(near->status, 200);
	assert_int_equal(near->code, 0);
	assert_int_equal(near->received, far->to_send);
	assert_int_equal(far->received, near->to_send);
	assert_int_equal(near->sum_received, far->sum_sent);
	assert_int_equal(far->sum_received, near->sum_sent);
}

static void link_ready(struct agent_fixture *fixture, struct link_seen *seen, enum agent_role role)
{
	int agents = fixture->agents;

	agent_fixture_link(fixture, seen, role);
	agent_run_until(fixture, &seen->ready, 1);
	agent_run_until(fixture, &fixture->agents, agents + 1);
}

static void link_done(struct agent_fixture *fixture, struct link_seen *seen)
{
	int gone = fixture->gone;

	agent_link_free(TAKE_PTR(seen->link));
	agent_run_until(fixture, &fixture->gone, gone + 1);
}

/* A link that must not come up; its error. */
static struct err link_fails(struct agent_fixture *fixture, struct agent_credentials *credentials)
{
	struct link_seen seen;

	agent_fixture_link_as(fixture, &seen, AGENT_CLIENT, credentials);
	agent_run_until(fixture, &seen.closed, 1);
	assert_int_equal(seen.ready, 0);
	assert_int_equal(fixture->agents, fixture->gone);
	return seen.err;
}

static void test_token_join(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct end near = {.to_send = 1024 * 1024}, far = {.to_send = 1024 * 1024 + 1};
	struct link_seen seen;

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	agent_fixture_link(fixture, &seen, AGENT_CLIENT);
	assert_null(agent_link_h2(seen.link));
	agent_run_until(fixture, &seen.ready, 1);
	agent_run_until(fixture, &fixture->agents, 1);
	assert_null(agent_peer_h2(fixture->peer));
	assert_true(ip_addr_equal(agent_peer_source(fixture->peer), &fixture->source));
	open_end(agent_link_h2(seen.link), &near);
	agent_run_until(fixture, &near.closed, 1);
	agent_run_until(fixture, &far.closed, 1);
	assert_exchanged(&near, &far);
	link_done(fixture, &seen);
	agent_fixture_free(fixture);
}

static void test_role_server(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct end near = {.to_send = 1000}, far = {.to_send = 2000};
	struct link_seen seen;

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	link_ready(fixture, &seen, AGENT_SERVER);
	assert_null(agent_link_h2(seen.link));
	open_end(agent_peer_h2(fixture->peer), &near);
	agent_run_until(fixture, &near.closed, 1);
	agent_run_until(fixture, &far.closed, 1);
	assert_exchanged(&near, &far);
	link_done(fixture, &seen);
	agent_fixture_free(fixture);
}

/* One reader stands still: its stream's credit is all that waits for it, others flow. */
static void test_stalled_reader(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct end near[2] = {{.to_send = BULK_BYTES}, {.to_send = 100000}};
	struct end far[3] = {{.stalled = true}, {.to_send = 5}};
	uint64_t started_ms;
	struct link_seen seen;

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = far;
	link_ready(fixture, &seen, AGENT_CLIENT);
	open_end(agent_link_h2(seen.link), &near[0]);
	started_ms = uv_now(&fixture->loop);
	while (far[0].received < LIMIT_STREAM_FIRST_BYTES) {
		uv_run(&fixture->loop, UV_RUN_ONCE);
		assert_true(uv_now(&fixture->loop) - started_ms < AGENT_DEADLINE_MS);
	}
	open_end(agent_link_h2(seen.link), &near[1]);
	agent_run_until(fixture, &near[1].closed, 1);
	agent_run_until(fixture, &far[1].closed, 1);
	assert_exchanged(&near[1], &far[1]);
	assert_int_equal(far[0].received, LIMIT_STREAM_FIRST_BYTES);
	far[0].stalled = false;
	h2_stream_consumed(far[0].stream, far[0].unconsumed);
	agent_run_until(fixture, &far[0].closed, 1);
	agent_run_until(fixture, &near[0].closed, 1);
	assert_exchanged(&near[0], &far[0]);
	link_done(fixture, &seen);
	agent_fixture_free(fixture);
}

/* The manager starts again from its Secret: the agent is known by its certificate. */
static void test_certificate_after_restart(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	uint16_t port = agent_server_port(fixture->server);
	struct link_seen seen, second;
	struct err err = ERR_INIT;
	char *pem;

	(void)state;
	link_ready(fixture, &seen, AGENT_CLIENT);
	assert_int_equal(fixture->spends, 1);
	agent_server_free(fixture->server);
	agent_run_until(fixture, &seen.closed, 1);
	assert_int_equal(seen.err.kind, ERR_UNREACHABLE);
	assert_non_null(strstr(seen.err.msg, "shutting down"));

	pem = identity_pem(fixture->identity);
	identity_free(fixture->identity);
	assert_int_equal(identity_load(pem, strlen(pem), &fixture->identity, &err), 0);
	free(pem);
	agent_fixture_serve(fixture, port);
	link_ready(fixture, &seen, AGENT_CLIENT);
	link_ready(fixture, &second, AGENT_SERVER);
	assert_int_equal(fixture->spends, 1);
	link_done(fixture, &seen);
	link_done(fixture, &second);

	fixture->unknown_pod = true;
	err = link_fails(fixture, fixture->credentials);
	assert_int_equal(err.kind, ERR_AUTH);
	assert_non_null(strstr(err.msg, "wants no agent"));
	agent_fixture_free(fixture);
}

static struct agent_credentials *credentials(
	const uint8_t *pin, const uint8_t *token, const char *pod_uid)
{
	struct agent_credentials *made = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(agent_credentials_new(pin, token, pod_uid, &made, &err), 0);
	return made;
}

static void test_bad_tokens(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	uint8_t pin[IDENTITY_PIN_BYTES], wrong[AGENT_TOKEN_BYTES] = {0};
	struct agent_credentials *bad[3];
	struct link_seen seen;

	(void)state;
	identity_pin(fixture->identity, pin);
	bad[0] = credentials(pin, wrong, POD_UID);
	bad[1] = credentials(pin, fixture->token, "another-pod");
	bad[2] = credentials(pin, fixture->token, POD_UID);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(link_fails(fixture, bad[i]).kind, ERR_AUTH);
	/* The token of this pod from another address. */
	fixture->source.bytes[3] = 9;
	assert_int_equal(link_fails(fixture, bad[2]).kind, ERR_AUTH);
	fixture->source.bytes[3] = 1;
	assert_false(fixture->token_spent);
	link_ready(fixture, &seen, AGENT_CLIENT);
	link_done(fixture, &seen);
	/* Spent. */
	assert_int_equal(link_fails(fixture, bad[2]).kind, ERR_AUTH);
	assert_int_equal(fixture->spends, 5);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		agent_credentials_free(bad[i]);
	agent_fixture_free(fixture);
}

/* Another key at the manager's address: it does not get to see the token. */
static void test_wrong_pin(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	uint8_t pin[IDENTITY_PIN_BYTES];
	struct agent_credentials *other;

	(void)state;
	identity_pin(fixture->identity, pin);
	pin[IDENTITY_PIN_BYTES - 1] ^= 1;
	other = credentials(pin, fixture->token, POD_UID);
	assert_int_equal(link_fails(fixture, other).kind, ERR_AUTH);
	assert_int_equal(fixture->spends, 0);
	agent_credentials_free(other);
	agent_fixture_free(fixture);
}

static void test_bad_uids(void **state)
{
	uint8_t pin[IDENTITY_PIN_BYTES] = {0}, token[AGENT_TOKEN_BYTES] = {0};
	struct agent_credentials *none = NULL;
	struct err err = ERR_INIT;
	char uid[66];

	(void)state;
	memset(uid, 'u', sizeof(uid) - 1);
	uid[sizeof(uid) - 1] = '\0';
	assert_int_equal(agent_credentials_new(pin, token, uid, &none, &err), -EINVAL);
	assert_int_equal(agent_credentials_new(pin, token, "", &none, &err), -EINVAL);
	assert_int_equal(agent_credentials_new(pin, token, "a b", &none, &err), -EINVAL);
	assert_int_equal(err.kind, ERR_USAGE);
	assert_null(none);
	agent_credentials_free(none);
}

/* Nobody listens: told once, and another try is worth it. */
static void test_no_manager(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct link_seen seen;

	(void)state;
	agent_fixture_link(fixture, &seen, AGENT_CLIENT);
	/* Its backlog is reset with the listener, or nobody accepts. */
	agent_server_free(fixture->server);
	agent_run_until(fixture, &seen.closed, 1);
	assert_int_equal(seen.err.kind, ERR_UNREACHABLE);
	assert_int_equal(fixture->agents, 0);
	fixture->server = NULL;
	agent_fixture_free(fixture);
}

/* Whoever was late was this process: the manager's answer is there, it only has not been looked at.
 */
static void test_late_look(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct link_seen seen;

	(void)state;
	agent_fixture_link(fixture, &seen, AGENT_CLIENT);
	assert_int_equal(usleep(1600 * 1000), 0);
	agent_run_until(fixture, &seen.ready, 1);
	assert_int_equal(seen.closed, 0);
	link_done(fixture, &seen);
	agent_fixture_free(fixture);
}

static void test_manager_closes(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct end near = {.hold = true}, far = {.hold = true};
	struct link_seen seen;

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	link_ready(fixture, &seen, AGENT_CLIENT);
	agent_peer_set_user(fixture->peer, &far);
	assert_ptr_equal(agent_peer_get_user(fixture->peer), &far);
	open_end(agent_link_h2(seen.link), &near);
	agent_run_until(fixture, &near.heads, 1);
	agent_peer_close(fixture->peer, "no longer needed");
	assert_int_equal(fixture->gone, 1);
	assert_int_equal(far.closed, 1);
	agent_run_until(fixture, &seen.closed, 1);
	assert_int_equal(near.closed, 1);
	assert_non_null(strstr(seen.err.msg, "no longer needed"));
	agent_fixture_free(fixture);
}

/* Freed while it connects, while it shakes hands, and in its own callback: no callback follows. */
/* What is open goes on, nobody comes any more, and the last stream is the end. */
static void leaves(enum agent_role role)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct end near = {.to_send = 100000, .hold = true}, far = {.to_send = 100001};
	struct link_seen seen, late;

	fixture->on_stream = serve_end;
	fixture->extra = &far;
	link_ready(fixture, &seen, role);
	open_end(role == AGENT_CLIENT ? agent_link_h2(seen.link) : agent_peer_h2(fixture->peer),
		&near);
	agent_run_until(fixture, &near.heads, 1);
	agent_server_leave(fixture->server);
	agent_run_until(fixture, &seen.leaving, 1);
	assert_int_equal(agent_peer_streams(fixture->peer), 1);
	agent_fixture_link(fixture, &late, AGENT_CLIENT);
	agent_run_until(fixture, &late.closed, 1);
	assert_int_equal(late.err.kind, ERR_UNREACHABLE);
	near.hold = false;
	h2_stream_resume(near.stream);
	agent_run_until(fixture, &near.closed, 1);
	agent_run_until(fixture, &far.closed, 1);
	assert_exchanged(&near, &far);
	agent_run_until(fixture, &seen.closed, 1);
	agent_run_until(fixture, &fixture->gone, 1);
	agent_fixture_free(fixture);
}

static void test_manager_leaves(void **state)
{
	(void)state;
	leaves(AGENT_CLIENT);
	leaves(AGENT_SERVER);
}

static void test_free_any_time(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct link_seen seen;

	(void)state;
	for (int turns = 0; turns < 4; turns++) {
		agent_fixture_link(fixture, &seen, AGENT_CLIENT);
		for (int i = 0; i < turns; i++)
			uv_run(&fixture->loop, UV_RUN_NOWAIT);
		agent_link_free(TAKE_PTR(seen.link));
		assert_int_equal(seen.ready, 0);
	}
	/* A token that was spent by a link of which nothing was heard is spent. */
	fixture->token_spent = false;
	agent_fixture_link(fixture, &seen, AGENT_CLIENT);
	seen.free_when_ready = true;
	agent_run_until(fixture, &seen.ready, 1);
	agent_run_until(fixture, &fixture->gone, fixture->agents);
	assert_int_equal(seen.closed, 0);
	agent_link_free(NULL);
	agent_fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_join),
		cmocka_unit_test(test_role_server),
		cmocka_unit_test(test_stalled_reader),
		cmocka_unit_test(test_certificate_after_restart),
		cmocka_unit_test(test_bad_tokens),
		cmocka_unit_test(test_wrong_pin),
		cmocka_unit_test(test_bad_uids),
		cmocka_unit_test(test_no_manager),
		cmocka_unit_test(test_late_look),
		cmocka_unit_test(test_manager_closes),
		cmocka_unit_test(test_manager_leaves),
		cmocka_unit_test(test_free_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
