/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a whole tunnel: client, server and their HTTP/2 connection in one loop. */
#include "tunnel/fixture.h"

#include <nghttp2/nghttp2.h>
#include <openssl/sha.h>

#define BULK_BYTES (1024 * 1024)

/* One end of a stream in a test: sends `to_send` pattern bytes, then EOF; sums what it gets. */
struct end {
	struct h2_stream *stream;
	size_t to_send, sent, received, unconsumed;
	uint8_t sum_sent, sum_received;
	bool stalled; /* gives no credit */
	int status, heads, ended, closed;
	uint32_t code;
};

static void end_on_head(void *user, const struct h2_head *head)
{
	struct end *end = user;

	end->status = head->status;
	end->heads++;
}

static void end_on_data(void *user, const uint8_t *data, size_t len)
{
	struct end *end = user;

	for (size_t i = 0; i < len; i++)
		end->sum_received = (uint8_t)(end->sum_received * 31 + data[i]);
	end->received += len;
	if (end->stalled)
		end->unconsumed += len;
	else
		h2_stream_consumed(end->stream, len);
}

static void end_on_end(void *user)
{
	((struct end *)user)->ended++;
}

static ssize_t end_on_read(void *user, uint8_t *out, size_t len)
{
	struct end *end = user;
	size_t take = MIN(len, end->to_send - end->sent);

	if (end->sent == end->to_send)
		return H2_READ_EOF;
	for (size_t i = 0; i < take; i++) {
		out[i] = (uint8_t)((end->sent + i) * 7 >> 3);
		end->sum_sent = (uint8_t)(end->sum_sent * 31 + out[i]);
	}
	end->sent += take;
	return (ssize_t)take;
}

static void end_on_close(void *user, uint32_t code)
{
	struct end *end = user;

	end->stream = NULL;
	end->code = code;
	end->closed++;
}

static const struct h2_stream_events end_events = {
	.on_head = end_on_head,
	.on_data = end_on_data,
	.on_end = end_on_end,
	.on_read = end_on_read,
	.on_close = end_on_close,
};

static struct end *open_stream(struct h2_session *h2, struct end *end)
{
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};

	assert_int_equal(h2_request(h2, &head, &end_events, end, &end->stream), 0);
	return end;
}

/* Server: answers with the end in fixture->extra. */
static void serve_end(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct end *end = fixture->extra;

	assert_string_equal(head->method, "CONNECT");
	assert_string_equal(head->authority, "10.0.0.1:80");
	end->stream = stream;
	h2_stream_set_events(stream, &end_events, end);
	h2_respond(stream, 200, NULL, 0, true);
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
