/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a connection's streams come to an end: its owner is told long before, once, and
 * the connection is good to the last of them. */
#include "tunnel/fixture_client.h"
#include "tunnel/fixture_stream.h"
#include "tunnel/session_priv.h"

static int worn;

static void on_worn(void *user)
{
	(void)user;
	worn++;
}

static void follow(struct fixture *fixture)
{
	static const struct tunnel_client_events events = {
		.on_stream = fixture_on_reversed,
		.on_worn = on_worn,
		.on_closed = fixture_on_closed,
	};

	worn = 0;
	tunnel_client_set_events(fixture->client, &events, fixture);
}

/* One stream from its head to its end. */
static void use_stream(struct fixture *fixture, struct h2_session *h2)
{
	struct end near = {.to_send = 1}, far = {.to_send = 1};

	fixture->extra = &far;
	open_stream(h2, &near);
	run_until(fixture, &near.closed, 1);
	run_until(fixture, &far.closed, 1);
	assert_int_equal(near.status, 200);
	assert_int_equal(near.received, 1);
	assert_int_equal(far.received, 1);
}

static void use_up(struct fixture *fixture, struct h2_session *h2)
{
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};
	struct end late = {.to_send = 1};

	use_stream(fixture, h2);
	assert_int_equal(worn, 0);
	assert_int_equal(nghttp2_session_set_next_stream_id(h2->ng, LIMIT_STREAM_ID + 1), 0);
	use_stream(fixture, h2);
	run_until(fixture, &worn, 1);
	use_stream(fixture, h2);
	assert_int_equal(nghttp2_session_set_next_stream_id(h2->ng, INT32_MAX), 0);
	use_stream(fixture, h2);
	assert_int_equal(h2_request(h2, &head, &end_events, &late, &late.stream), -EAGAIN);
	assert_int_equal(worn, 1);
	assert_int_equal(fixture->closed, 0);
}

static void test_the_laptop_opens_the_streams(void **state)
{
	struct fixture *fixture = fixture_new();
	struct h2_session *h2;

	(void)state;
	fixture->on_stream = serve_end;
	h2 = fixture_ready(fixture);
	follow(fixture);
	use_up(fixture, h2);
	fixture_free(fixture);
}

/* The laptop is who opens another one, here too. */
static void test_the_manager_opens_the_streams(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture->on_reversed = serve_end;
	fixture_start_client(fixture, SESSION_UID, fixture->key);
	run_until(fixture, &fixture->peers, 1);
	run_until(fixture, &fixture->ready, 1);
	follow(fixture);
	use_up(fixture, tunnel_peer_h2(fixture->peer));
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_laptop_opens_the_streams),
		cmocka_unit_test(test_the_manager_opens_the_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
