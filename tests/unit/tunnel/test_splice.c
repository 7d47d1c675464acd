/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller's stream joined to one that a laptop serves: two tunnels of one server, the caller's an
 * ordinary one, the laptop's reversed.
 */
#include "tunnel/splice.h"

#include <nghttp2/nghttp2.h>

#include "tunnel/fixture_client.h"
#include "tunnel/fixture_end.h"

#define BULK_BYTES (1024 * 1024)
#define ANSWER_MS  10000
/* All that may wait between the two: a window on either side, and the nearer one may grow once. */
#define WAITING_BYTES (3 * LIMIT_STREAM_FIRST_BYTES)
/* And at least this does: credit is given back in pieces of at most half a window. */
#define STALLED_BYTES (2 * LIMIT_STREAM_FIRST_BYTES - LIMIT_STREAM_FIRST_BYTES / 2)

struct rig {
	struct fixture *fixture;
	struct tunnel_client *caller; /* the laptop's is the fixture's */
	struct tunnel_peer *laptop;
	int ready, closed;
	struct splice *splice;
	uint32_t answer_ms;
	int served, answers, done;
	enum reason reason;
	struct end near, far; /* the caller's, the laptop's */
	int answer; /* the laptop's status, 0: it says nothing */
	const char *answer_reason;
};

static void rig_on_ready(void *user)
{
	((struct rig *)user)->ready = 1;
}

static void rig_on_closed(void *user, const struct err *err)
{
	(void)err;
	((struct rig *)user)->closed = 1;
}

static void on_answer(void *user, enum reason reason)
{
	struct rig *rig = user;

	rig->answers++;
	rig->reason = reason;
	assert_int_equal(rig->done, 0);
}

static void on_done(void *user)
{
	struct rig *rig = user;

	rig->done++;
	rig->splice = NULL;
}

/* The manager: every request goes on to the laptop. */
static void serve(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct splice_events events = {.on_answer = on_answer, .on_done = on_done};
	struct rig *rig = fixture->extra;

	assert_int_equal(splice_start(stream, tunnel_peer_h2(rig->laptop), head, rig->answer_ms,
				 &events, rig, &rig->splice),
		0);
}

/* The laptop. */
static void answer(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct rig *rig = fixture->extra;
	const struct h2_header headers[] = {{"capsule-protocol", "?1"}};
	const struct h2_header reason = {REASON_HEADER, rig->answer_reason};

	assert_string_equal(head->method, "CONNECT");
	assert_string_equal(head->authority, "10.0.0.1:80");
	assert_string_equal(h2_head_get(head, "telepresence-source"), "10.0.0.2:40000");
	rig->served++;
	rig->far.stream = stream;
	h2_stream_set_events(stream, &end_events, &rig->far);
	if (rig->answer == 200)
		h2_respond(stream, 200, headers, 1, true);
	else if (rig->answer)
		h2_respond(stream, rig->answer, &reason, 1, false);
}

static struct rig *rig_new(void)
{
	static const struct tunnel_client_events events = {
		.on_ready = rig_on_ready, .on_closed = rig_on_closed};
	struct rig *rig = XNEW(struct rig);
	struct fixture *fixture = fixture_new();
	const struct tunnel_client_config config = {
		.session_uid = SESSION_UID, .key = fixture->key};

	rig->fixture = fixture;
	rig->answer_ms = ANSWER_MS;
	rig->answer = 200;
	fixture->extra = rig;
	fixture->on_stream = serve;
	fixture->on_reversed = answer;
	fixture_start_client(fixture, SESSION_UID, fixture->key);
	run_until(fixture, &fixture->peers, 1);
	rig->laptop = fixture->peer;
	rig->caller =
		tunnel_client_new(&fixture->loop, fixture_carrier(fixture), &config, &events, rig);
	run_until(fixture, &rig->ready, 1);
	run_until(fixture, &fixture->peers, 2);
	return rig;
}

static void rig_free(struct rig *rig)
{
	tunnel_client_free(rig->caller);
	fixture_free(rig->fixture);
	/* Whatever was spliced is over when both tunnels are, once each. */
	assert_null(rig->splice);
	assert_true(rig->done <= 1 && rig->answers <= 1);
	free(rig);
}

static void call(struct rig *rig, size_t to_send)
{
	const struct h2_header header = {"telepresence-source", "10.0.0.2:40000"};
	const struct h2_head head = {.method = "CONNECT",
		.authority = "10.0.0.1:80",
		.headers = &header,
		.header_count = 1};

	rig->near.to_send = to_send;
	assert_int_equal(h2_request(tunnel_client_h2(rig->caller), &head, &end_events, &rig->near,
				 &rig->near.stream),
		0);
}

static void turns(struct rig *rig, int count)
{
	for (int i = 0; i < count; i++)
		uv_run(&rig->fixture->loop, UV_RUN_NOWAIT);
}

static void test_bytes(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig->far.to_send = BULK_BYTES + 1;
	call(rig, BULK_BYTES);
	run_until(rig->fixture, &rig->done, 1);
	run_until(rig->fixture, &rig->near.closed, 1);
	run_until(rig->fixture, &rig->far.closed, 1);
	assert_int_equal(rig->answers, 1);
	assert_int_equal(rig->reason, REASON_NONE);
	assert_int_equal(rig->near.status, 200);
	assert_int_equal(rig->near.received, BULK_BYTES + 1);
	assert_int_equal(rig->far.received, BULK_BYTES);
	assert_int_equal(rig->near.sum_received, rig->far.sum_sent);
	assert_int_equal(rig->far.sum_received, rig->near.sum_sent);
	assert_int_equal(rig->near.code, NGHTTP2_NO_ERROR);
	assert_int_equal(rig->far.code, NGHTTP2_NO_ERROR);
	rig_free(rig);
}

/* One direction ends, the other goes on. */
static void test_half_close(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig->far.to_send = SIZE_MAX;
	rig->far.hold = true;
	call(rig, 1000);
	run_until(rig->fixture, &rig->far.ended, 1);
	assert_int_equal(rig->far.received, 1000);
	assert_int_equal(rig->near.ended, 0);
	assert_int_equal(rig->done, 0);
	rig->far.to_send = 5000;
	rig->far.hold = false;
	h2_stream_resume(rig->far.stream);
	run_until(rig->fixture, &rig->done, 1);
	run_until(rig->fixture, &rig->near.closed, 1);
	assert_int_equal(rig->near.ended, 1);
	assert_int_equal(rig->near.received, 5000);
	assert_int_equal(rig->near.code, NGHTTP2_NO_ERROR);
	rig_free(rig);
}

static void check_reset(bool by_caller)
{
	struct rig *rig = rig_new();
	struct end *one = by_caller ? &rig->near : &rig->far;
	struct end *other = by_caller ? &rig->far : &rig->near;

	rig->far.to_send = SIZE_MAX;
	call(rig, SIZE_MAX);
	run_until(rig->fixture, &rig->near.heads, 1);
	h2_stream_reset(one->stream, NGHTTP2_CONNECT_ERROR);
	run_until(rig->fixture, &other->closed, 1);
	assert_int_equal(other->code, NGHTTP2_CONNECT_ERROR);
	run_until(rig->fixture, &rig->done, 1);
	assert_int_equal(rig->answers, 1);
	rig_free(rig);
}

static void test_resets(void **state)
{
	(void)state;
	check_reset(true);
	check_reset(false);
}

/* The end that does not read holds back the one that writes, in either direction. */
static void check_stalled(bool caller_stalls)
{
	struct rig *rig = rig_new();
	struct end *reader = caller_stalls ? &rig->near : &rig->far;
	struct end *writer = caller_stalls ? &rig->far : &rig->near;
	uint64_t end_ms = uv_now(&rig->fixture->loop) + DEADLINE_MS;

	reader->stalled = true;
	rig->far.to_send = caller_stalls ? SIZE_MAX : 0;
	call(rig, caller_stalls ? 0 : SIZE_MAX);
	run_until(rig->fixture, &rig->near.heads, 1);
	while (reader->received < LIMIT_STREAM_FIRST_BYTES || writer->sent < STALLED_BYTES) {
		uv_run(&rig->fixture->loop, UV_RUN_ONCE);
		assert_true(uv_now(&rig->fixture->loop) < end_ms);
	}
	turns(rig, 200);
	assert_int_equal(reader->received, LIMIT_STREAM_FIRST_BYTES);
	assert_true(writer->sent <= WAITING_BYTES);
	writer->to_send = WAITING_BYTES + BULK_BYTES;
	reader->stalled = false;
	h2_stream_consumed(reader->stream, reader->unconsumed);
	run_until(rig->fixture, &rig->done, 1);
	run_until(rig->fixture, &reader->closed, 1);
	assert_int_equal(reader->received, WAITING_BYTES + BULK_BYTES);
	assert_int_equal(reader->sum_received, writer->sum_sent);
	rig_free(rig);
}

static void test_stalled(void **state)
{
	(void)state;
	check_stalled(true);
	check_stalled(false);
}

static void test_refusals(void **state)
{
	static const struct {
		int status;
		const char *name;
		enum reason reason;
	} rows[] = {
		{502, "refused", REASON_REFUSED},
		{403, "forbidden", REASON_FORBIDDEN},
		{503, "no-client", REASON_NO_CLIENT},
		{500, "none", REASON_INTERNAL},
		{500, "what nobody has heard of", REASON_INTERNAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *rig = rig_new();

		rig->answer = rows[i].status;
		rig->answer_reason = rows[i].name;
		call(rig, SIZE_MAX);
		run_until(rig->fixture, &rig->near.closed, 1);
		assert_int_equal(rig->near.status, rows[i].status);
		assert_int_equal(rig->near.code, NGHTTP2_NO_ERROR);
		assert_int_equal(rig->answers, 1);
		assert_int_equal(rig->done, 1);
		assert_int_equal(rig->reason, rows[i].reason);
		rig_free(rig);
	}
}

static void test_no_answer(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig->answer = 0;
	rig->answer_ms = 500; /* time for the laptop to be asked, on a busy machine too */
	call(rig, SIZE_MAX);
	run_until(rig->fixture, &rig->near.closed, 1);
	assert_int_equal(rig->reason, REASON_TIMED_OUT);
	assert_int_equal(rig->near.status, 504);
	assert_int_equal(rig->done, 1);
	/* The laptop hears that nobody waits any more. */
	run_until(rig->fixture, &rig->far.closed, 1);
	assert_int_equal(rig->far.code, NGHTTP2_CANCEL);
	rig_free(rig);
}

static void test_caller_gone(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig->answer = 0;
	call(rig, SIZE_MAX);
	run_until(rig->fixture, &rig->served, 1);
	h2_stream_reset(rig->near.stream, NGHTTP2_CANCEL);
	run_until(rig->fixture, &rig->done, 1);
	assert_int_equal(rig->answers, 0);
	run_until(rig->fixture, &rig->far.closed, 1);
	assert_int_equal(rig->far.code, NGHTTP2_CANCEL);
	rig_free(rig);
}

static void check_laptop_gone(bool answered)
{
	struct rig *rig = rig_new();

	rig->answer = answered ? 200 : 0;
	rig->far.to_send = SIZE_MAX;
	call(rig, SIZE_MAX);
	run_until(rig->fixture, answered ? &rig->near.heads : &rig->served, 1);
	tunnel_peer_close(rig->laptop, "gone");
	assert_int_equal(rig->done, 1);
	assert_int_equal(rig->reason, answered ? REASON_NONE : REASON_NO_CLIENT);
	run_until(rig->fixture, &rig->near.closed, 1);
	assert_int_equal(rig->near.status, answered ? 200 : 503);
	assert_int_equal(rig->near.code != NGHTTP2_NO_ERROR, answered);
	rig_free(rig);
}

static void test_laptop_gone(void **state)
{
	(void)state;
	check_laptop_gone(false);
	check_laptop_gone(true);
}

/* The caller's whole tunnel goes. */
static void test_caller_tunnel_gone(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig->far.to_send = SIZE_MAX;
	call(rig, SIZE_MAX);
	run_until(rig->fixture, &rig->near.heads, 1);
	tunnel_client_free(TAKE_PTR(rig->caller));
	run_until(rig->fixture, &rig->done, 1);
	run_until(rig->fixture, &rig->far.closed, 1);
	assert_int_not_equal(rig->far.code, NGHTTP2_NO_ERROR);
	rig_free(rig);
}

static void test_abort(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig->far.to_send = SIZE_MAX;
	call(rig, SIZE_MAX);
	run_until(rig->fixture, &rig->near.heads, 1);
	splice_abort(rig->splice);
	assert_int_equal(rig->done, 1);
	run_until(rig->fixture, &rig->near.closed, 1);
	run_until(rig->fixture, &rig->far.closed, 1);
	assert_int_equal(rig->near.code, NGHTTP2_CONNECT_ERROR);
	assert_int_equal(rig->far.code, NGHTTP2_CONNECT_ERROR);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_caller_gone),
		cmocka_unit_test(test_laptop_gone),
		cmocka_unit_test(test_caller_tunnel_gone),
		cmocka_unit_test(test_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
