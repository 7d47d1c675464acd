/* SPDX-License-Identifier: Apache-2.0 */
/* How much a peer may send ahead, and that it is never left waiting for nothing. */
#include <nghttp2/nghttp2.h>

#include "tunnel/fixture_client.h"
#include "tunnel/fixture_stream.h"

#define BULK_BYTES (1024 * 1024)
/* Enough for the least window, with room until it is given up again. */
#define CROWD      600
#define EACH_BYTES (50 * 1000)
/* Less than half of the first window, more than the least one. */
#define PART_BYTES (100 * 1000)

static void turns(struct fixture *fixture, int count)
{
	for (int turn = 0; turn < count; turn++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void receive(struct fixture *fixture, const struct end *end, size_t least)
{
	while (end->received < least)
		uv_run(&fixture->loop, UV_RUN_ONCE);
}

/* No credit: exactly one window arrives. Credit: all of it does. */
static void test_window(void **state)
{
	struct fixture *fixture = fixture_new();
	struct end near = {.to_send = 2 * LIMIT_STREAM_WINDOW_BYTES};
	struct end far = {.stalled = true}, other_near = {.to_send = BULK_BYTES}, other_far = {0};

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	open_stream(fixture_ready(fixture), &near);
	run_until(fixture, &near.heads, 1);
	fixture->extra = &other_far;
	open_stream(tunnel_client_h2(fixture->client), &other_near);
	run_until(fixture, &other_far.closed, 1);
	assert_int_equal(other_far.received, BULK_BYTES);
	receive(fixture, &far, LIMIT_STREAM_FIRST_BYTES);
	turns(fixture, 100);
	assert_int_equal(far.received, LIMIT_STREAM_FIRST_BYTES);
	far.stalled = false;
	h2_stream_consumed(far.stream, far.unconsumed);
	run_until(fixture, &far.closed, 1);
	assert_int_equal(far.received, 2 * LIMIT_STREAM_WINDOW_BYTES);
	assert_int_equal(far.sum_received, near.sum_sent);
	fixture_free(fixture);
}

/*
 * Many streams: each begins with less. What was used up of the larger window before, too little for
 * an update then, must not keep the peer from going on.
 */
static void test_smaller_windows(void **state)
{
	static struct end near[CROWD], far[CROWD + 1];
	struct crowd crowd = {.far = far};
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = fixture_ready(fixture);
	struct end first = {.to_send = PART_BYTES, .keep = true};

	(void)state;
	fixture->on_stream = serve_crowd;
	fixture->extra = &crowd;
	open_stream(h2, &first);
	receive(fixture, &far[0], PART_BYTES);
	for (int i = 0; i < CROWD; i++) {
		near[i] = (struct end){.to_send = EACH_BYTES};
		far[i + 1] = (struct end){.stalled = true, .keep = true};
		open_stream(h2, &near[i]);
		run_until(fixture, &near[i].heads, 1);
	}
	receive(fixture, &far[CROWD], 1);
	turns(fixture, 400);
	/* The last ones, when all knew it. */
	assert_in_range(far[CROWD].received, 1, LIMIT_STREAM_FIRST_BYTES / 16);
	first.to_send = 2 * PART_BYTES;
	first.keep = false;
	h2_stream_resume(first.stream);
	receive(fixture, &far[0], 2 * PART_BYTES);
	assert_int_equal(far[0].sum_received, first.sum_sent);
	for (int i = 0; i < CROWD; i++) {
		far[i + 1].stalled = far[i + 1].keep = false;
		h2_stream_resume(far[i + 1].stream);
		h2_stream_consumed(far[i + 1].stream, far[i + 1].unconsumed);
	}
	/* The far ends: a near one is closed once it has handed over its last bytes. */
	for (int i = 0; i < CROWD; i++)
		run_until(fixture, &far[i + 1].closed, 1);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(far[i + 1].received, EACH_BYTES);
		assert_int_equal(far[i + 1].sum_received, near[i].sum_sent);
	}
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_smaller_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
