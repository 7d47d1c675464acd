/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a whole tunnel: client, server and their HTTP/2 connection in one loop. */
#include "tunnel/fixture_client.h"
#include "tunnel/fixture_stream.h"

#include <nghttp2/nghttp2.h>
#include <openssl/sha.h>

#define BULK_BYTES (1024 * 1024)
#define BULKS      64

static void test_both_ways(void **state)
{
	struct fixture *fixture = fixture_new();
	struct end near = {.to_send = BULK_BYTES}, far = {.to_send = BULK_BYTES + 1};

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	open_stream(fixture_ready(fixture), &near);
	run_until(fixture, &near.closed, 1);
	run_until(fixture, &far.closed, 1);
	assert_int_equal(near.status, 200);
	assert_int_equal(near.code, 0);
	assert_int_equal(near.received, BULK_BYTES + 1);
	assert_int_equal(far.received, BULK_BYTES);
	assert_int_equal(near.sum_received, far.sum_sent);
	assert_int_equal(far.sum_received, near.sum_sent);
	assert_int_equal(near.ended, 1);
	fixture_free(fixture);
}

/* A POST as DNS has it: small body, small answer, headers both ways. */
struct exchange {
	struct end end;
	char request[64], answer[64];
	size_t request_len, answer_len;
	char type[32];
	int served;
};

static void exchange_on_data(void *user, const uint8_t *data, size_t len)
{
	struct exchange *exchange = user;

	assert_true(exchange->answer_len + len <= sizeof(exchange->answer));
	memcpy(exchange->answer + exchange->answer_len, data, len);
	exchange->answer_len += len;
	h2_stream_consumed(exchange->end.stream, len);
}

static void exchange_on_head(void *user, const struct h2_head *head)
{
	struct exchange *exchange = user;

	exchange->end.status = head->status;
	assert_string_equal(h2_head_get(head, "content-type"), "text/plain");
	assert_null(h2_head_get(head, "absent"));
}

static ssize_t read_question(void *user, uint8_t *out, size_t len)
{
	struct end *end = user;
	static const char text[] = "question";

	assert_true(len >= sizeof(text));
	if (end->sent)
		return H2_READ_EOF;
	end->sent = 1;
	memcpy(out, text, sizeof(text) - 1);
	return sizeof(text) - 1;
}

static ssize_t read_answer(void *user, uint8_t *out, size_t len)
{
	struct exchange *exchange = user;

	assert_true(len >= exchange->request_len);
	if (exchange->served++)
		return H2_READ_EOF;
	memcpy(out, exchange->request, exchange->request_len);
	return (ssize_t)exchange->request_len;
}

static void far_on_data(void *user, const uint8_t *data, size_t len)
{
	struct exchange *exchange = user;

	assert_true(exchange->request_len + len <= sizeof(exchange->request));
	memcpy(exchange->request + exchange->request_len, data, len);
	exchange->request_len += len;
	h2_stream_consumed(exchange->end.stream, len);
}

static void far_on_end(void *user)
{
	static const struct h2_header type = {"content-type", "text/plain"};
	struct exchange *exchange = user;

	h2_respond(exchange->end.stream, 200, &type, 1, true);
}

static void serve_exchange(
	struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events events = {
		.on_data = far_on_data,
		.on_end = far_on_end,
		.on_read = read_answer,
		.on_close = end_on_close,
	};
	struct exchange *exchange = fixture->extra;

	assert_string_equal(head->method, "POST");
	assert_string_equal(head->path, "/dns-query");
	assert_string_equal(h2_head_get(head, "content-type"), "application/dns-message");
	exchange->end.stream = stream;
	h2_stream_set_events(stream, &events, exchange);
}

static void test_request(void **state)
{
	static const struct h2_header type = {"content-type", "application/dns-message"};
	static const struct h2_stream_events events = {
		.on_head = exchange_on_head,
		.on_data = exchange_on_data,
		.on_read = read_question,
		.on_close = end_on_close,
	};
	const struct h2_head head = {
		.method = "POST", .path = "/dns-query", .headers = &type, .header_count = 1};
	struct fixture *fixture = fixture_new();
	struct exchange near = {.served = 0}, far = {.served = 0};

	(void)state;
	fixture->on_stream = serve_exchange;
	fixture->extra = &far;
	assert_int_equal(
		h2_request(fixture_ready(fixture), &head, &events, &near, &near.end.stream), 0);
	run_until(fixture, &near.end.closed, 1);
	assert_int_equal(near.end.status, 200);
	assert_int_equal(near.end.code, 0);
	assert_int_equal(near.answer_len, 8);
	assert_memory_equal(near.answer, "question", 8);
	fixture_free(fixture);
}

/* A CONNECT that fails: the answer ends the stream although the request is still open. */
static void refuse(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_header reason = {"telepresence-reason", "refused"};

	(void)fixture, (void)head;
	h2_respond(stream, 502, &reason, 1, false);
}

static void test_refused_connect(void **state)
{
	struct fixture *fixture = fixture_new();
	struct end near = {.to_send = SIZE_MAX};

	(void)state;
	fixture->on_stream = refuse;
	open_stream(fixture_ready(fixture), &near);
	run_until(fixture, &near.closed, 1);
	assert_int_equal(near.status, 502);
	assert_int_equal(near.heads, 1);
	assert_int_equal(near.ended, 1);
	assert_int_equal(near.code, NGHTTP2_NO_ERROR);
	fixture_free(fixture);
}

static void test_resets(void **state)
{
	struct fixture *fixture = fixture_new();
	struct end near = {.to_send = SIZE_MAX}, far = {.to_send = SIZE_MAX};

	(void)state;
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	open_stream(fixture_ready(fixture), &near);
	run_until(fixture, &near.heads, 1);
	h2_stream_reset(near.stream, NGHTTP2_CANCEL);
	run_until(fixture, &far.closed, 1);
	assert_int_equal(far.code, NGHTTP2_CANCEL);
	assert_int_equal(near.closed, 1);
	near = (struct end){.to_send = SIZE_MAX};
	far = (struct end){.to_send = SIZE_MAX};
	open_stream(tunnel_client_h2(fixture->client), &near);
	run_until(fixture, &near.heads, 1);
	h2_stream_reset(far.stream, NGHTTP2_CONNECT_ERROR);
	run_until(fixture, &near.closed, 1);
	assert_int_equal(near.code, NGHTTP2_CONNECT_ERROR);
	/* A request that is taken back before it was sent. */
	near = (struct end){.to_send = 1};
	open_stream(tunnel_client_h2(fixture->client), &near);
	h2_stream_reset(near.stream, NGHTTP2_CANCEL);
	run_until(fixture, &near.closed, 1);
	fixture_free(fixture);
}

/* A small request under bulk waits for what is on its way, not for each of the others. */
static void test_sparse_first(void **state)
{
	static struct end near[BULKS], far[BULKS + 1];
	struct crowd crowd = {.far = far};
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = fixture_ready(fixture);
	struct end request = {.to_send = 1};
	size_t before = 0, after = 0;

	(void)state;
	fixture->on_stream = serve_crowd;
	fixture->extra = &crowd;
	for (int i = 0; i < BULKS; i++) {
		near[i] = (struct end){.to_send = SIZE_MAX};
		open_stream(h2, &near[i]);
		run_until(fixture, &near[i].heads, 1);
	}
	for (int turn = 0; turn < 200; turn++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	for (int i = 0; i < BULKS; i++)
		before += near[i].sent;
	open_stream(h2, &request);
	while (request.sent == 0)
		uv_run(&fixture->loop, UV_RUN_ONCE);
	for (int i = 0; i < BULKS; i++)
		after += near[i].sent;
	assert_true(after - before <= 2 * 64 * 1024);
	for (int i = 0; i < BULKS; i++)
		h2_stream_reset(near[i].stream, NGHTTP2_CANCEL);
	fixture_free(fixture);
}

/* A head beyond the bound resets its stream and nothing else. */
static void test_large_head(void **state)
{
	static char value[20 * 1024];
	const struct h2_header big = {"x", value};
	const struct h2_head head = {
		.method = "GET", .path = "/", .headers = &big, .header_count = 1};
	struct fixture *fixture = fixture_new();
	struct end near = {.to_send = 0}, next = {.to_send = 1}, far = {.to_send = 1};

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	fixture->on_stream = serve_end;
	fixture->extra = &far;
	assert_int_equal(
		h2_request(fixture_ready(fixture), &head, &end_events, &near, &near.stream), 0);
	run_until(fixture, &near.closed, 1);
	assert_int_not_equal(near.code, 0);
	assert_int_equal(fixture->streams, 0);
	open_stream(tunnel_client_h2(fixture->client), &next);
	run_until(fixture, &next.closed, 1);
	assert_int_equal(next.status, 200);
	fixture_free(fixture);
}

/* Streams that are open when the tunnel goes are closed; their callback may free it. */
static void free_on_close(void *user, uint32_t code)
{
	struct fixture *fixture = user;

	assert_int_not_equal(code, 0);
	tunnel_client_free(fixture->client);
	fixture->client = NULL;
	fixture->streams = -1;
}

static void test_free_in_callback(void **state)
{
	static const struct h2_stream_events events = {.on_close = free_on_close};
	const struct h2_head head = {.method = "GET", .path = "/"};
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = fixture_ready(fixture);
	struct h2_stream *stream;

	(void)state;
	run_until(fixture, &fixture->peers, 1);
	assert_int_equal(h2_request(h2, &head, &events, fixture, &stream), 0);
	tunnel_peer_close(fixture->peer, "over");
	while (fixture->client)
		uv_run(&fixture->loop, UV_RUN_ONCE);
	assert_int_equal(fixture->streams, -1);
	assert_int_equal(fixture->closed, 0);
	fixture_free(fixture);
}

static void test_limits(void **state)
{
	const struct h2_head head = {.method = "GET", .path = "/"};
	static const struct h2_stream_events events = {0};
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = fixture_ready(fixture);
	struct h2_stream *stream;

	(void)state;
	for (int i = 0; i < LIMIT_STREAMS; i++)
		assert_int_equal(h2_request(h2, &head, &events, NULL, &stream), 0);
	assert_int_equal(h2_request(h2, &head, &events, NULL, &stream), -EAGAIN);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_refused_connect),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_sparse_first),
		cmocka_unit_test(test_large_head),
		cmocka_unit_test(test_free_in_callback),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
