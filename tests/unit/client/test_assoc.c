/* SPDX-License-Identifier: Apache-2.0 */
/* Associations that are too many, idle, or on a tunnel that has been replaced. */
#include "tunnel/fixture_client.h"

#include <stdio.h>

#include "client/userd/assoc.h"
#include "client/userd/uplink.h"
#include "cluster/fake_clock.h"

static const struct ip_endpoint app = {
	.addr = {.family = AF_INET, .bytes = {198, 18, 0, 1}}, .port = 40000};

/* What the manager saw of the streams, in fixture->extra. */
struct seen {
	int opened, closed;
	unsigned int last_closed; /* its target's port */
	struct h2_stream *held; /* not answered yet */
	struct ended {
		struct seen *seen;
		unsigned int port;
	} ended[ASSOC_MAX + 8];
};

static void on_data(void *user UNUSED, const uint8_t *data UNUSED, size_t len UNUSED)
{
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct ended *ended = user;

	ended->seen->closed++;
	ended->seen->last_closed = ended->port;
}

static void serve(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events events = {.on_data = on_data, .on_close = on_close};
	struct seen *seen = fixture->extra;
	struct ended *ended = &seen->ended[seen->opened++];

	ended->seen = seen;
	assert_string_equal(head->protocol, "connect-udp");
	assert_int_equal(
		sscanf(head->path, "/.well-known/masque/udp/10.0.0.1/%u/", &ended->port), 1);
	h2_stream_set_events(stream, &events, ended);
	h2_respond(stream, 200, NULL, 0, true);
}

/* What the other end sees from now on; end() frees it. */
static struct seen *serve_all(struct fixture *fixture)
{
	struct seen *seen = XNEW(struct seen);

	fixture->extra = seen;
	fixture->on_stream = serve;
	return seen;
}

static void send_to(struct assoc_table *table, unsigned int port)
{
	const struct ip_endpoint target = {
		.addr = {.family = AF_INET, .bytes = {10, 0, 0, 1}}, .port = (uint16_t)port};

	assoc_udp(table, &app, &target, (const uint8_t *)"x", 1);
}

static void end(struct fixture *fixture, struct assoc_table *table)
{
	struct seen *seen = fixture->extra;

	assoc_table_free(table);
	fixture_free(fixture);
	free(seen);
}

/* As many associations as there may be, to ports from 1 on. */
static struct seen *fill(struct fixture *fixture, struct assoc_table *table)
{
	struct seen *seen = serve_all(fixture);

	for (unsigned int port = 1; port <= ASSOC_MAX; port++)
		send_to(table, port);
	run_until(fixture, &seen->opened, ASSOC_MAX);
	return seen;
}

static void the_one_that_is_idle_for_longest_gives_way(void **state UNUSED)
{
	struct fixture *fixture = fixture_new();
	struct uplink uplink = {.h2 = fixture_ready(fixture)};
	struct assoc_table *table = assoc_table_new(&fixture->loop, &uplink);
	struct seen *seen = fill(fixture, table);

	send_to(table, 1);
	send_to(table, ASSOC_MAX + 1);
	run_until(fixture, &seen->opened, ASSOC_MAX + 1);
	run_until(fixture, &seen->closed, 1);
	assert_int_equal(seen->last_closed, 2);
	assert_int_equal(assoc_table_counters(table)->active, ASSOC_MAX);
	assert_int_equal(assoc_table_counters(table)->dropped, 0);
	end(fixture, table);
}

static void hold(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events events = {.on_data = on_data, .on_close = on_close};
	struct seen *seen = fixture->extra;
	struct ended *ended = &seen->ended[seen->opened++];

	(void)head;
	ended->seen = seen;
	seen->held = stream;
	h2_stream_set_events(stream, &events, ended);
}

/* A new one that is not there yet, or never will be, costs no other. */
static void none_gives_way_before_the_new_one_is_there(void **state UNUSED)
{
	struct fixture *fixture = fixture_new();
	struct uplink uplink = {.h2 = fixture_ready(fixture)};
	struct assoc_table *table = assoc_table_new(&fixture->loop, &uplink);
	struct seen *seen = fill(fixture, table);

	fixture->on_stream = hold;
	send_to(table, ASSOC_MAX + 1);
	run_until(fixture, &seen->opened, ASSOC_MAX + 1);
	for (int turn = 0; turn < 20; turn++)
		(void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_int_equal(seen->closed, 0);
	assert_int_equal(assoc_table_counters(table)->active, ASSOC_MAX + 1);
	h2_respond(seen->held, 200, NULL, 0, true);
	run_until(fixture, &seen->closed, 1);
	assert_int_equal(seen->last_closed, 1);
	assert_int_equal(assoc_table_counters(table)->active, ASSOC_MAX);
	end(fixture, table);
}

/* Turns of the loop in which the clock goes on by so much, a second each. */
static void pass(struct fixture *fixture, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds; i++) {
		fake_clock_skipped_ms += 1000;
		for (int turn = 0; turn < 20; turn++)
			(void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
}

static void idle_ones_end(void **state UNUSED)
{
	struct fixture *fixture = fixture_new();
	struct uplink uplink = {.h2 = fixture_ready(fixture)};
	struct assoc_table *table = assoc_table_new(&fixture->loop, &uplink);
	struct seen *seen = serve_all(fixture);

	send_to(table, 1);
	pass(fixture, ASSOC_IDLE_MS / 1000 / 2);
	send_to(table, 2);
	pass(fixture, ASSOC_IDLE_MS / 1000 / 2 - 5);
	assert_int_equal(assoc_table_counters(table)->active, 2);
	/* The look for them comes in every quarter of that time. */
	pass(fixture, ASSOC_IDLE_MS / 1000 / 4 + 10);
	run_until(fixture, &seen->closed, 1);
	assert_int_equal(seen->last_closed, 1);
	assert_int_equal(assoc_table_counters(table)->active, 1);
	end(fixture, table);
}

static void without_an_answer_it_goes_to_the_new_tunnel(void **state UNUSED)
{
	struct fixture *fixture = fixture_new();
	struct uplink uplink = {.h2 = fixture_ready(fixture)};
	struct assoc_table *table = assoc_table_new(&fixture->loop, &uplink);
	struct tunnel_client *former = fixture->client;
	struct seen *seen = serve_all(fixture);

	send_to(table, 1);
	fixture->ready = 0;
	uplink.h2 = fixture_ready(fixture);
	/* Its answer may be on the way. */
	send_to(table, 1);
	pass(fixture, 1);
	assert_int_equal(seen->opened, 1);
	pass(fixture, LIMIT_CARRIER_SILENCE_MS / 1000);
	send_to(table, 1);
	run_until(fixture, &seen->opened, 2);
	run_until(fixture, &seen->closed, 1);
	/* There it stays. */
	pass(fixture, 2 * LIMIT_CARRIER_SILENCE_MS / 1000);
	send_to(table, 1);
	pass(fixture, 1);
	assert_int_equal(seen->opened, 2);
	assert_int_equal(assoc_table_counters(table)->active, 1);
	tunnel_client_free(former);
	end(fixture, table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_one_that_is_idle_for_longest_gives_way),
		cmocka_unit_test(none_gives_way_before_the_new_one_is_there),
		cmocka_unit_test(idle_ones_end),
		cmocka_unit_test(without_an_answer_it_goes_to_the_new_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
