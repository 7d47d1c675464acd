/* SPDX-License-Identifier: Apache-2.0 */
/* Reversed tunnels: the manager asks, the laptop answers. */
#include "tunnel/fixture_client.h"

#include <nghttp2/nghttp2.h>

#define TEXT "bytes of the laptop"

/* The manager's end of one request. */
struct request {
	struct h2_stream *stream;
	int status, ended, closed;
	uint32_t code;
	size_t sent, received;
	char answer[64];
};

static void request_on_head(void *user, const struct h2_head *head)
{
	((struct request *)user)->status = head->status;
}

static void request_on_data(void *user, const uint8_t *data, size_t len)
{
	struct request *request = user;

	assert_true(request->received + len < sizeof(request->answer));
	memcpy(request->answer + request->received, data, len);
	request->received += len;
	h2_stream_consumed(request->stream, len);
}

static void request_on_end(void *user)
{
	((struct request *)user)->ended++;
}

static ssize_t request_on_read(void *user, uint8_t *out, size_t len)
{
	struct request *request = user;

	if (request->sent)
		return H2_READ_EOF;
	request->sent = MIN(len, sizeof(TEXT) - 1);
	memcpy(out, TEXT, request->sent);
	return (ssize_t)request->sent;
}

static void request_on_close(void *user, uint32_t code)
{
	struct request *request = user;

	request->stream = NULL;
	request->code = code;
	request->closed++;
}

static const struct h2_stream_events request_events = {
	.on_head = request_on_head,
	.on_data = request_on_data,
	.on_end = request_on_end,
	.on_read = request_on_read,
	.on_close = request_on_close,
};

/* The laptop's end says back what it hears. */
static struct {
	struct h2_stream *stream;
	char bytes[64];
	size_t len, said;
	bool ended;
	int closed;
} echo;

static void echo_on_data(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	assert_true(echo.len + len <= sizeof(echo.bytes));
	memcpy(echo.bytes + echo.len, data, len);
	echo.len += len;
	h2_stream_consumed(echo.stream, len);
	h2_stream_resume(echo.stream);
}

static void echo_on_end(void *user)
{
	(void)user;
	echo.ended = true;
	h2_stream_resume(echo.stream);
}

static ssize_t echo_on_read(void *user, uint8_t *out, size_t len)
{
	size_t take = MIN(len, echo.len - echo.said);

	(void)user;
	if (take == 0)
		return echo.ended ? H2_READ_EOF : H2_READ_AGAIN;
	memcpy(out, echo.bytes + echo.said, take);
	echo.said += take;
	return (ssize_t)take;
}

static void echo_on_close(void *user, uint32_t code)
{
	(void)user, (void)code;
	echo.closed++;
}

static void serve_echo(
	struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events events = {
		.on_data = echo_on_data,
		.on_end = echo_on_end,
		.on_read = echo_on_read,
		.on_close = echo_on_close,
	};

	(void)fixture;
	assert_string_equal(head->method, "CONNECT");
	if (head->protocol)
		assert_string_equal(head->protocol, "connect-udp");
	else
		assert_string_equal(head->authority, "10.1.2.3:8080");
	assert_string_equal(h2_head_get(head, "telepresence-intercept"), "an-uid");
	memset(&echo, 0, sizeof(echo));
	echo.stream = stream;
	h2_stream_set_events(stream, &events, NULL);
	h2_respond(stream, 200, NULL, 0, true);
}

static struct h2_session *start(struct fixture *fixture)
{
	fixture->on_reversed = serve_echo;
	fixture_start_client(fixture, SESSION_UID, fixture->key);
	run_until(fixture, &fixture->ready, 1);
	run_until(fixture, &fixture->peers, 1);
	/* Only one side of it opens streams. */
	assert_null(tunnel_client_h2(fixture->client));
	assert_non_null(tunnel_peer_h2(fixture->peer));
	return tunnel_peer_h2(fixture->peer);
}

static void ask(struct h2_session *h2, struct request *request, const char *protocol)
{
	static const struct h2_header header = {"telepresence-intercept", "an-uid"};
	const struct h2_head head = {
		.method = "CONNECT",
		.protocol = protocol,
		.authority = protocol ? NULL : "10.1.2.3:8080",
		.path = protocol ? "/.well-known/masque/udp/10.1.2.3/53/" : NULL,
		.headers = &header,
		.header_count = 1,
	};

	*request = (struct request){.status = 0};
	assert_int_equal(h2_request(h2, &head, &request_events, request, &request->stream), 0);
}

static void test_answers(void **state)
{
	static const char *const protocols[] = {NULL, "connect-udp"};
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = start(fixture);
	struct request request;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		ask(h2, &request, protocols[i]);
		run_until(fixture, &request.closed, 1);
		assert_int_equal(request.status, 200);
		assert_int_equal(request.code, NGHTTP2_NO_ERROR);
		assert_int_equal(request.ended, 1);
		assert_string_equal(request.answer, TEXT);
	}
	assert_int_equal(fixture->streams, 2);
	fixture_free(fixture);
}

static void refuse(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	(void)fixture, (void)head;
	h2_respond(stream, 502, NULL, 0, false);
}

/* More at once than HTTP/2 lets a client assume before it has seen the settings. */
static void test_many(void **state)
{
	static struct request requests[500];
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = start(fixture);

	(void)state;
	fixture->on_reversed = refuse;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		ask(h2, &requests[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		run_until(fixture, &requests[i].closed, 1);
	assert_int_equal(fixture->streams, ARRAY_SIZE(requests));
	fixture_free(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		assert_int_equal(requests[i].closed, 1);
		assert_int_equal(requests[i].status, 502);
	}
}

/* An ordinary peer has no session to open streams on. */
static void test_ordinary(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture_ready(fixture);
	run_until(fixture, &fixture->peers, 1);
	assert_null(tunnel_peer_h2(fixture->peer));
	fixture_free(fixture);
}

/* The laptop stands still: what is heard of it stays in the past until it runs again. */
static void test_heard(void **state)
{
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = start(fixture);
	uint64_t before = tunnel_peer_heard_ms(fixture->peer);
	struct request request;

	(void)state;
	assert_true(before > 0 && before <= uv_now(&fixture->loop));
	while (uv_now(&fixture->loop) == before)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	ask(h2, &request, NULL);
	run_until(fixture, &request.closed, 1);
	assert_true(tunnel_peer_heard_ms(fixture->peer) > before);
	assert_true(tunnel_peer_heard_ms(fixture->peer) <= uv_now(&fixture->loop));
	fixture_free(fixture);
}

static void test_ends(void **state)
{
	struct fixture *fixture = fixture_new();
	struct h2_session *h2 = start(fixture);
	struct request request;

	(void)state;
	ask(h2, &request, NULL);
	tunnel_client_free(TAKE_PTR(fixture->client));
	run_until(fixture, &fixture->peers_gone, 1);
	assert_int_equal(request.closed, 1);
	assert_int_not_equal(request.code, 0);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_ordinary),
		cmocka_unit_test(test_heard),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
