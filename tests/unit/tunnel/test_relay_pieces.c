/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a stream as they reach a relay's socket: a small one behind a large one is no packet of
 * its own while more comes, and waits for nothing that does not. */
#include "tunnel/fixture_client.h"

#include <sys/syscall.h>

#include "tunnel/relay.h"

#define LARGE ((size_t)20000)
#define SMALL ((size_t)10)

/* What the far end sends, one DATA frame each. */
struct script {
	struct fixture *fixture;
	size_t pieces[8], count, at, sent;
	bool stay; /* no end follows */
	int app, fd;
	struct relay *relay;
	int done;
};

static int watched = -1;
static size_t sends; /* to watched */

/* In place of libc's, whose caller cannot tell. */
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (fd == watched)
		sends++;
	return syscall(SYS_sendmsg, fd, msg, flags);
}

static void on_done(void *user, const struct relay_stats *stats UNUSED)
{
	((struct script *)user)->done++;
}

static ssize_t on_script_read(void *user, uint8_t *out, size_t len)
{
	struct script *script = user;
	size_t n;

	if (script->at == script->count)
		return script->stay ? H2_READ_AGAIN : H2_READ_EOF;
	n = script->pieces[script->at++];
	assert_true(n <= len);
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(script->sent++ * 13 >> 2);
	return (ssize_t)n;
}

static void serve(
	struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head UNUSED)
{
	static const struct h2_stream_events events = {.on_read = on_script_read};

	h2_stream_set_events(stream, &events, fixture->extra);
	h2_respond(stream, 200, NULL, 0, true);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct script *script = user;

	assert_int_equal(head->status, 200);
	assert_int_equal(relay_start(script->relay, script->fd, on_done, script), 0);
}

static ssize_t on_no_read(void *user UNUSED, uint8_t *out UNUSED, size_t len UNUSED)
{
	return H2_READ_AGAIN;
}

static void tcp_pair(struct script *script)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	script->app = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(script->app, (struct sockaddr *)&address, len), 0);
	script->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(script->fd >= 0);
	watched = script->fd;
	sends = 0;
	assert_int_equal(fcntl(script->app, F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static void open_script(struct script *script)
{
	static const struct h2_stream_events events = {.on_head = on_head, .on_read = on_no_read};
	const struct h2_head head = {.method = "CONNECT", .authority = "target:1"};
	struct h2_stream *stream = NULL;

	script->fixture = fixture_new();
	script->fixture->on_stream = serve;
	script->fixture->extra = script;
	fixture_ready(script->fixture);
	tcp_pair(script);
	script->relay = relay_new(&script->fixture->loop);
	assert_int_equal(h2_request(tunnel_client_h2(script->fixture->client), &head, &events,
				 script, &stream),
		0);
	relay_set_stream(script->relay, stream);
}

/* Reads all that is to come, in order. */
static void read_all(struct script *script)
{
	size_t want = 0, got = 0;
	uint8_t data[4096];

	for (size_t i = 0; i < script->count; i++)
		want += script->pieces[i];
	while (got < want) {
		ssize_t n = recv(script->app, data, sizeof(data), 0);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			uv_run(&script->fixture->loop, UV_RUN_ONCE);
			continue;
		}
		assert_true(n > 0);
		for (size_t i = 0; i < (size_t)n; i++, got++)
			assert_int_equal(data[i], (uint8_t)(got * 13 >> 2));
	}
	assert_int_equal(got, want);
}

static void close_script(struct script *script)
{
	if (script->stay)
		relay_abort(script->relay);
	else
		assert_int_equal(shutdown(script->app, SHUT_WR), 0);
	run_until(script->fixture, &script->done, 1);
	close(script->app);
	fixture_free(script->fixture);
}

static void test_small_ones_go_along(void **state UNUSED)
{
	struct script script = {
		.pieces = {LARGE, SMALL, LARGE, SMALL, SMALL, LARGE}, .count = 6, .stay = true};

	open_script(&script);
	read_all(&script);
	assert_in_range(sends, 1, 3);
	close_script(&script);
}

static void test_the_last_one_comes(void **state UNUSED)
{
	struct script open = {.pieces = {LARGE, SMALL}, .count = 2, .stay = true};
	struct script ended = {.pieces = {LARGE, SMALL}, .count = 2};
	uint8_t byte;

	open_script(&open);
	read_all(&open);
	close_script(&open);
	open_script(&ended);
	read_all(&ended);
	while (recv(ended.app, &byte, 1, 0) != 0)
		uv_run(&ended.fixture->loop, UV_RUN_ONCE);
	close_script(&ended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_ones_go_along),
		cmocka_unit_test(test_the_last_one_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
