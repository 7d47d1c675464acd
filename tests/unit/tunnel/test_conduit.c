/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk through a relay, a bare carrier and a relay, past the memory of the process. */
#include "tunnel/conduit.h"

#include <signal.h>
#include <sys/syscall.h>

#include "tunnel/fixture_client.h"
#include "tunnel/relay.h"

#define BULK_BYTES  (8 * 1024 * 1024)
#define BLOCK_BYTES (64 * 1024)
#define SMALL_BYTES (16 * 1024)

struct path {
	struct fixture *fixture;
	int app, target; /* the programs' ends */
	int near_fd, far_fd; /* the relays' ends, until they take them */
	struct relay *near, *far;
	int near_done, far_done;
};

static uint64_t spliced; /* bytes */
static size_t refused; /* of splice(2), as if the kernel had no memory */

/* In place of libc's, whose caller cannot tell. */
ssize_t splice(
	int fd_in, off64_t *off_in, int fd_out, off64_t *off_out, size_t len, unsigned int flags)
{
	ssize_t n;

	if (refused > 0) {
		refused--;
		errno = ENOMEM;
		return -1;
	}
	n = syscall(SYS_splice, fd_in, off_in, fd_out, off_out, len, flags);
	spliced += n > 0 ? (uint64_t)n : 0;
	return n;
}

static void tcp_pair(int fds[static 2], int receive_bytes)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	if (receive_bytes > 0)
		assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &receive_bytes,
					 sizeof(receive_bytes)),
			0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&address, len), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fds[1] >= 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static void on_near_done(void *user, const struct relay_stats *stats UNUSED)
{
	((struct path *)user)->near_done++;
}

static void on_far_done(void *user, const struct relay_stats *stats UNUSED)
{
	((struct path *)user)->far_done++;
}

static void serve_path(
	struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head UNUSED)
{
	struct path *path = fixture->extra;

	path->far = relay_new(&fixture->loop);
	relay_set_stream(path->far, stream);
	h2_stream_set_events(stream, &relay_events, path->far);
	h2_respond(stream, 200, NULL, 0, true);
	assert_int_equal(relay_start(path->far, path->far_fd, on_far_done, path), 0);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct path *path = user;

	assert_int_equal(head->status, 200);
	assert_int_equal(relay_start(path->near, path->near_fd, on_near_done, path), 0);
}

static ssize_t on_read(void *user UNUSED, uint8_t *out UNUSED, size_t len UNUSED)
{
	return H2_READ_AGAIN;
}

/* target_bytes: of its receive buffer; 0: the kernel's choice. */
static void path_open(struct path *path, int target_bytes)
{
	static const struct h2_stream_events events = {.on_head = on_head, .on_read = on_read};
	const struct h2_head head = {.method = "CONNECT", .authority = "target:1"};
	struct h2_stream *stream;
	int fds[2];

	*path = (struct path){.fixture = fixture_new()};
	path->fixture->on_stream = serve_path;
	path->fixture->extra = path;
	fixture_ready(path->fixture);
	tcp_pair(fds, 0);
	path->app = fds[0];
	path->near_fd = fds[1];
	tcp_pair(fds, target_bytes);
	path->far_fd = fds[0];
	path->target = fds[1];
	path->near = relay_new(&path->fixture->loop);
	assert_int_equal(
		h2_request(tunnel_client_h2(path->fixture->client), &head, &events, path, &stream),
		0);
	relay_set_stream(path->near, stream);
	spliced = 0;
}

static void path_close(struct path *path)
{
	run_until(path->fixture, &path->near_done, 1);
	run_until(path->fixture, &path->far_done, 1);
	close(path->app);
	close(path->target);
	fixture_free(path->fixture);
}

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 7 >> 3) ^ (uint8_t)(offset >> 13);
}

static uint64_t push(int fd, uint64_t offset, uint64_t end)
{
	static uint8_t bytes[BLOCK_BYTES];
	size_t len = (size_t)MIN(sizeof(bytes), end - offset);
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(offset + i);
	n = len > 0 ? send(fd, bytes, len, MSG_NOSIGNAL) : 0;
	return n > 0 ? (uint64_t)n : 0;
}

static uint64_t pull(int fd, uint64_t offset)
{
	static uint8_t bytes[BLOCK_BYTES];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != byte_at(offset + (uint64_t)i))
			fail_msg("byte %llu", (unsigned long long)offset + (unsigned long long)i);
	}
	return n > 0 ? (uint64_t)n : 0;
}

/* As fast as it goes; the reader begins when `stall` bytes were sent. */
static void transfer(struct path *path, int from, int to, uint64_t stall)
{
	uint64_t sent = 0, received = 0, more, end = uv_hrtime() + DEADLINE_MS * 1000000ull;

	while (received < BULK_BYTES) {
		do {
			more = push(from, sent, BULK_BYTES);
			sent += more;
		} while (more > 0);
		uv_run(&path->fixture->loop, UV_RUN_NOWAIT);
		if (sent < stall)
			continue;
		received += pull(to, received);
		assert_true(uv_hrtime() < end);
	}
	assert_int_equal(conduit_len(), 0);
}

static void end_in_order(struct path *path)
{
	assert_int_equal(shutdown(path->app, SHUT_WR), 0);
	assert_int_equal(shutdown(path->target, SHUT_WR), 0);
	path_close(path);
}

static void test_past_the_process(void **state)
{
	struct path path;

	(void)state;
	path_open(&path, 0);
	transfer(&path, path.app, path.target, 0);
	/* Into the conduit and out of it, in the far relay. */
	assert_in_range(spliced, BULK_BYTES / 4, 4 * BULK_BYTES);
	spliced = 0;
	transfer(&path, path.target, path.app, 0);
	assert_in_range(spliced, BULK_BYTES / 4, 4 * BULK_BYTES);
	end_in_order(&path);
}

/* What a reader does not take at once waits in the relay, in order. */
static void test_slow_reader(void **state)
{
	struct path path;

	(void)state;
	path_open(&path, SMALL_BYTES);
	transfer(&path, path.app, path.target, 512 * 1024);
	assert_true(spliced > 0);
	end_in_order(&path);
}

/* Whoever gets no pipe, or no memory for it, copies. */
static void test_kernel_refuses(void **state)
{
	struct path path;

	(void)state;
	path_open(&path, 0);
	refused = SIZE_MAX;
	transfer(&path, path.target, path.app, 0);
	assert_int_equal(spliced, 0);
	refused = 0;
	end_in_order(&path);
}

static void test_reader_resets(void **state)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};
	struct path path;
	uint64_t sent = 0, received = 0;

	(void)state;
	path_open(&path, 0);
	while (spliced < BLOCK_BYTES) {
		sent += push(path.app, sent, UINT64_MAX);
		uv_run(&path.fixture->loop, UV_RUN_NOWAIT);
		received += pull(path.target, received);
	}
	assert_int_equal(
		setsockopt(path.target, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(path.target);
	path.target = -1;
	while (!path.far_done || !path.near_done) {
		sent += push(path.app, sent, UINT64_MAX);
		uv_run(&path.fixture->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(conduit_len(), 0);
	path_close(&path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_past_the_process),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_kernel_refuses),
		cmocka_unit_test(test_reader_resets),
	};

	/* As the daemons do. */
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
