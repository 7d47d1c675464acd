/* SPDX-License-Identifier: Apache-2.0 */
/* A program, its relay, the tunnel, the other relay and the program's peer: TCP sockets at both
 * ends, so that half-close and RST are what the kernel makes of them. */
#include "tunnel/fixture_client.h"

#include <nghttp2/nghttp2.h>
#include <netinet/tcp.h>

#include "tunnel/relay.h"

#define BULK_BYTES   (1024 * 1024)
#define SOCKET_BYTES (64 * 1024)
#define MANY         200

/* One connection through the tunnel. */
struct path {
	struct fixture *fixture;
	int app, target; /* the programs' ends, non-blocking */
	int near_fd, far_fd; /* the relays' ends, until they take them */
	struct relay *near, *far;
	bool hold_far; /* relay_start() of the far relay is the test's */
	struct h2_stream *far_stream; /* while held */
	int heads, near_done, far_done, cancelled;
	struct relay_stats near_stats;
	uint64_t sent, received;
	uint8_t sent_sum, received_sum;
};

/* Two connected TCP sockets with small buffers. */
static void tcp_pair(int fds[static 2])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = SOCKET_BYTES;

	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&address, len), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fds[1] >= 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static void on_near_done(void *user, const struct relay_stats *stats)
{
	struct path *path = user;

	path->near_stats = *stats;
	path->near_done++;
}

static void on_far_done(void *user, const struct relay_stats *stats)
{
	(void)stats;
	((struct path *)user)->far_done++;
}

static void on_far_cancel(void *user)
{
	((struct path *)user)->cancelled++;
}

static void start_far(struct path *path)
{
	assert_int_equal(relay_start(path->far, path->far_fd, on_far_done, path), 0);
}

/* The authority names the path: its index in fixture->extra. */
static void serve_path(
	struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct path *path = (struct path *)fixture->extra + strtol(head->authority, NULL, 10);

	path->far = relay_new(&fixture->loop);
	relay_set_stream(path->far, stream);
	relay_set_cancel(path->far, on_far_cancel, path);
	h2_stream_set_events(stream, &relay_events, path->far);
	path->far_stream = stream;
	if (path->hold_far)
		return;
	h2_respond(stream, 200, NULL, 0, true);
	start_far(path);
}

/* The wrapper that a user of the relay writes for the answer's head. */
static void near_on_head(void *user, const struct h2_head *head)
{
	struct path *path = user;

	assert_int_equal(head->status, 200);
	path->heads++;
	assert_int_equal(relay_start(path->near, path->near_fd, on_near_done, path), 0);
}

static void near_on_data(void *user, const uint8_t *data, size_t len)
{
	relay_events.on_data(((struct path *)user)->near, data, len);
}

static ssize_t near_on_read(void *user, uint8_t *out, size_t len)
{
	return relay_events.on_read(((struct path *)user)->near, out, len);
}

static void near_on_close(void *user, uint32_t code)
{
	(void)code;
	((struct path *)user)->near_done++;
	relay_abort(((struct path *)user)->near);
	close(((struct path *)user)->near_fd);
}

static void path_open(struct fixture *fixture, struct path *paths, int index, bool hold_far)
{
	static const struct h2_stream_events events = {
		.on_head = near_on_head,
		.on_data = near_on_data,
		.on_read = near_on_read,
		.on_close = near_on_close,
	};
	char authority[] = {(char)('0' + index / 100), (char)('0' + index / 10 % 10),
		(char)('0' + index % 10), ':', '1', '\0'};
	const struct h2_head head = {.method = "CONNECT", .authority = authority};
	struct path *path = &paths[index];
	struct h2_stream *stream;
	int fds[2];

	*path = (struct path){.fixture = fixture, .hold_far = hold_far};
	tcp_pair(fds);
	path->app = fds[0];
	path->near_fd = fds[1];
	tcp_pair(fds);
	path->far_fd = fds[0];
	path->target = fds[1];
	path->near = relay_new(&fixture->loop);
	assert_int_equal(
		h2_request(tunnel_client_h2(fixture->client), &head, &events, path, &stream), 0);
	relay_set_stream(path->near, stream);
}

static struct fixture *start(struct path *paths)
{
	struct fixture *fixture = fixture_new();

	fixture->on_stream = serve_path;
	fixture->extra = paths;
	fixture_ready(fixture);
	return fixture;
}

static void path_done(struct path *path)
{
	run_until(path->fixture, &path->near_done, 1);
	run_until(path->fixture, &path->far_done, 1);
	close(path->app);
	close(path->target);
}

/* Sends from `from` until `limit` bytes went; true if any went. */
static bool push(struct path *path, int from, uint64_t limit)
{
	uint8_t bytes[16 * 1024];
	size_t len = (size_t)MIN(sizeof(bytes), limit - path->sent);
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((path->sent + i) * 7 >> 3);
	n = len > 0 ? send(from, bytes, len, MSG_NOSIGNAL) : 0;
	for (ssize_t i = 0; i < n; i++)
		path->sent_sum = (uint8_t)(path->sent_sum * 31 + bytes[i]);
	path->sent += n > 0 ? (uint64_t)n : 0;
	return n > 0;
}

static void pull(struct path *path, int to)
{
	uint8_t bytes[16 * 1024];
	ssize_t n = recv(to, bytes, sizeof(bytes), 0);

	for (ssize_t i = 0; i < n; i++)
		path->received_sum = (uint8_t)(path->received_sum * 31 + bytes[i]);
	path->received += n > 0 ? (uint64_t)n : 0;
}

/* Moves `bytes` from one end to the other. */
static void transfer(struct path *path, int from, int to, uint64_t bytes)
{
	uint64_t end = uv_hrtime() + DEADLINE_MS * 1000000ull;

	while (path->received < bytes) {
		push(path, from, bytes);
		uv_run(&path->fixture->loop, UV_RUN_NOWAIT);
		pull(path, to);
		assert_true(uv_hrtime() < end);
	}
	assert_int_equal(path->received, bytes);
	assert_int_equal(path->received_sum, path->sent_sum);
	path->sent = path->received = path->sent_sum = path->received_sum = 0;
}

/* What recv() says once it says something else than "not yet". */
static ssize_t wait_recv(struct path *path, int fd)
{
	uint64_t end = uv_hrtime() + DEADLINE_MS * 1000000ull;
	uint8_t byte;
	ssize_t n;

	do {
		uv_run(&path->fixture->loop, UV_RUN_NOWAIT);
		n = recv(fd, &byte, 1, 0);
		assert_true(uv_hrtime() < end);
	} while (n < 0 && errno == EAGAIN);
	return n < 0 ? -errno : n;
}

static void test_bulk_and_half_close(void **state)
{
	struct path path;
	struct fixture *fixture = start(&path);

	(void)state;
	path_open(fixture, &path, 0, false);
	transfer(&path, path.app, path.target, BULK_BYTES);
	transfer(&path, path.target, path.app, BULK_BYTES + 1);
	/* The request is complete, the answer is not: the other direction goes on. */
	assert_int_equal(shutdown(path.app, SHUT_WR), 0);
	assert_int_equal(wait_recv(&path, path.target), 0);
	transfer(&path, path.target, path.app, BULK_BYTES);
	assert_int_equal(path.near_done, 0);
	assert_int_equal(shutdown(path.target, SHUT_WR), 0);
	assert_int_equal(wait_recv(&path, path.app), 0);
	path_done(&path);
	assert_int_equal(path.near_stats.bytes_in, BULK_BYTES);
	assert_int_equal(path.near_stats.bytes_out, 2 * BULK_BYTES + 1);
	fixture_free(fixture);
}

static void reset(int *fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(*fd);
	*fd = -1;
}

static void test_reset_both_ways(void **state)
{
	struct path paths[2];
	struct fixture *fixture = start(paths);

	(void)state;
	path_open(fixture, paths, 0, false);
	path_open(fixture, paths, 1, false);
	transfer(&paths[0], paths[0].app, paths[0].target, 1);
	transfer(&paths[1], paths[1].app, paths[1].target, 1);
	reset(&paths[0].app);
	assert_int_equal(wait_recv(&paths[0], paths[0].target), -ECONNRESET);
	reset(&paths[1].target);
	assert_int_equal(wait_recv(&paths[1], paths[1].app), -ECONNRESET);
	path_done(&paths[0]);
	path_done(&paths[1]);
	fixture_free(fixture);
}

/* The tunnel goes: every program's connection is reset, none hangs. */
static void test_tunnel_gone(void **state)
{
	struct path path;
	struct fixture *fixture = start(&path);

	(void)state;
	path_open(fixture, &path, 0, false);
	transfer(&path, path.app, path.target, 1);
	tunnel_peer_close(fixture->peer, "gone");
	assert_int_equal(wait_recv(&path, path.target), -ECONNRESET);
	assert_int_equal(wait_recv(&path, path.app), -ECONNRESET);
	path_done(&path);
	fixture_free(fixture);
}

/* A reader that stands still holds one window; others do not notice; nothing is lost. */
static void test_stalled(void **state)
{
	struct path paths[2];
	struct fixture *fixture = start(paths);
	struct path *stalled = &paths[0];
	/* What the sockets took at once may have let the window grow. */
	const uint64_t most = 4 * LIMIT_STREAM_FIRST_BYTES + 8 * SOCKET_BYTES;
	uint64_t total, end = uv_hrtime() + DEADLINE_MS * 1000000ull;

	(void)state;
	path_open(fixture, paths, 0, false);
	path_open(fixture, paths, 1, false);
	while (stalled->sent < LIMIT_STREAM_FIRST_BYTES && uv_hrtime() < end) {
		push(stalled, stalled->app, UINT64_MAX);
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
	transfer(&paths[1], paths[1].app, paths[1].target, BULK_BYTES);
	transfer(&paths[1], paths[1].target, paths[1].app, BULK_BYTES);
	while (push(stalled, stalled->app, UINT64_MAX))
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	total = stalled->sent;
	assert_in_range(total, LIMIT_STREAM_FIRST_BYTES, most);
	transfer(stalled, stalled->app, stalled->target, total);
	shutdown(paths[0].app, SHUT_WR);
	shutdown(paths[1].app, SHUT_WR);
	shutdown(paths[0].target, SHUT_WR);
	shutdown(paths[1].target, SHUT_WR);
	path_done(&paths[0]);
	path_done(&paths[1]);
	fixture_free(fixture);
}

static void test_many(void **state)
{
	static struct path paths[MANY];
	struct fixture *fixture = start(paths);

	(void)state;
	for (int i = 0; i < MANY; i++)
		path_open(fixture, paths, i, false);
	for (int i = 0; i < MANY; i++)
		transfer(&paths[i], paths[i].app, paths[i].target, 1000);
	for (int i = 0; i < MANY; i++) {
		transfer(&paths[i], paths[i].target, paths[i].app, 1000);
		shutdown(paths[i].app, SHUT_WR);
		shutdown(paths[i].target, SHUT_WR);
	}
	for (int i = 0; i < MANY; i++)
		path_done(&paths[i]);
	fixture_free(fixture);
}

/* The far side is still dialling: bytes and the end of the stream that came early are kept. */
static void test_early_bytes(void **state)
{
	static const char text[] = "early";
	struct path path;
	struct fixture *fixture = start(&path);

	(void)state;
	path_open(fixture, &path, 0, true);
	/* An optimistic opener starts its relay before the answer. */
	assert_int_equal(relay_start(path.near, path.near_fd, on_near_done, &path), 0);
	assert_int_equal(send(path.app, text, sizeof(text), 0), sizeof(text));
	assert_int_equal(shutdown(path.app, SHUT_WR), 0);
	run_until(fixture, &fixture->streams, 1);
	for (int i = 0; i < 20; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	h2_respond(path.far_stream, 200, NULL, 0, true);
	start_far(&path);
	for (size_t len = 0; len < sizeof(text); len++)
		assert_int_equal(wait_recv(&path, path.target), 1);
	assert_int_equal(wait_recv(&path, path.target), 0);
	shutdown(path.target, SHUT_WR);
	path_done(&path);
	fixture_free(fixture);
}

/* The near side gives up while the far side still dials. */
static void test_cancel(void **state)
{
	struct path path;
	struct fixture *fixture = start(&path);

	(void)state;
	path_open(fixture, &path, 0, true);
	run_until(fixture, &fixture->streams, 1);
	relay_abort(path.near);
	run_until(fixture, &path.cancelled, 1);
	close(path.app);
	close(path.target);
	close(path.near_fd);
	close(path.far_fd);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk_and_half_close),
		cmocka_unit_test(test_reset_both_ways),
		cmocka_unit_test(test_tunnel_gone),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_early_bytes),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
