/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client, a bypass and the app, over TCP of a network namespace of its own: SO_MARK needs
 * CAP_NET_ADMIN, and half-close and resets are to be what the kernel makes of them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/bypass.h"
#include "agent/own_netns.h"

#define MARK         0x7439
#define DEADLINE_NS  20000000000ull
#define BULK_BYTES   (3 * 1024 * 1024)
#define SOCKET_BYTES (64 * 1024)

struct path {
	uv_loop_t loop;
	int listener; /* the app's; -1: nobody is there */
	struct ip_endpoint address; /* of the app */
	int client, app; /* the programs' ends, non-blocking */
	struct bypass *bypass;
	unsigned int done;
};

static int listen_on(struct ip_endpoint *ret_address, int backlog)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = SOCKET_BYTES;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(ip_endpoint_from_sockaddr((struct sockaddr *)&sa, ret_address), 0);
	return fd;
}

static int connect_to(const struct ip_endpoint *address)
{
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(address, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = SOCKET_BYTES;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void on_done(void *user)
{
	((struct path *)user)->done++;
}

/* Connects a client and starts the bypass for it. */
static void start(struct path *path)
{
	struct ip_endpoint agent;
	int listener = listen_on(&agent, 1), fd;

	path->client = connect_to(&agent);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(listener);
	bypass_start(&path->loop, fd, &path->address, MARK, on_done, path, &path->bypass);
	assert_int_equal(path->done, 0);
}

static void step(struct path *path, uint64_t end)
{
	uv_run(&path->loop, UV_RUN_NOWAIT);
	assert_true(uv_hrtime() < end);
}

static void accept_app(struct path *path)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;

	while ((path->app = accept4(path->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0)
		step(path, end);
}

static struct path *make(bool app_is_there)
{
	static struct path made;

	made = (struct path){.app = -1, .client = -1};
	assert_int_equal(uv_loop_init(&made.loop), 0);
	made.listener = listen_on(&made.address, 16);
	if (!app_is_there)
		close(take_fd(&made.listener));
	start(&made);
	if (app_is_there)
		accept_app(&made);
	return &made;
}

static void wait_done(struct path *path)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;

	while (path->done == 0)
		step(path, end);
}

static void drop(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The bypass told its end once, and leaves no handle behind. */
static void finish(struct path *path)
{
	wait_done(path);
	uv_run(&path->loop, UV_RUN_DEFAULT);
	assert_int_equal(path->done, 1);
	assert_int_equal(uv_loop_close(&path->loop), 0);
	drop(path->client);
	drop(path->app);
	drop(path->listener);
}

static void reset(int *fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(take_fd(fd));
}

/* What recv() says once it says something else than "not yet". */
static ssize_t wait_recv(struct path *path, int fd)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;
	uint8_t byte;
	ssize_t n;

	while ((n = recv(fd, &byte, 1, 0)) < 0 && errno == EAGAIN)
		step(path, end);
	return n < 0 ? -errno : n;
}

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 7 >> 3);
}

static size_t push(int fd, size_t sent, size_t count)
{
	uint8_t bytes[16384];
	size_t len = count - sent < sizeof(bytes) ? count - sent : sizeof(bytes);
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(sent + i);
	n = len > 0 ? send(fd, bytes, len, MSG_NOSIGNAL) : 0;
	return n > 0 ? (size_t)n : 0;
}

static size_t pull(int fd, size_t received)
{
	uint8_t bytes[16384];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(bytes[i], byte_at(received + (size_t)i));
	return n > 0 ? (size_t)n : 0;
}

static void transfer(struct path *path, int from, int to, size_t count)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;
	size_t sent = 0, received = 0;

	while (received < count) {
		sent += push(from, sent, count);
		step(path, end);
		received += pull(to, received);
	}
}

/* Until there is nothing to do: what wakes the loop again and again is caught here. */
static void settle(struct path *path)
{
	struct pollfd fd = {.fd = uv_backend_fd(&path->loop), .events = POLLIN};
	uint64_t end = uv_hrtime() + DEADLINE_NS;

	do
		step(path, end);
	while (poll(&fd, 1, 0) != 0);
}

/* Sends until nothing is taken any more; returns how much was. */
static size_t fill(struct path *path, int from)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;
	size_t sent = 0, n;

	for (int idle = 0; idle < 100; idle = n > 0 ? 0 : idle + 1) {
		n = push(from, sent, SIZE_MAX);
		sent += n;
		step(path, end);
	}
	return sent;
}

static void empty(struct path *path, int to, size_t count)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;

	for (size_t received = 0; received < count; received += pull(to, received))
		step(path, end);
}

static void bytes_and_half_close(void **state)
{
	struct path *path = make(true);

	(void)state;
	transfer(path, path->client, path->app, BULK_BYTES);
	transfer(path, path->app, path->client, BULK_BYTES + 1);
	assert_int_equal(shutdown(path->client, SHUT_WR), 0);
	assert_int_equal(wait_recv(path, path->app), 0);
	transfer(path, path->app, path->client, BULK_BYTES);
	assert_int_equal(path->done, 0);
	assert_int_equal(shutdown(path->app, SHUT_WR), 0);
	assert_int_equal(wait_recv(path, path->client), 0);
	finish(path);
}

/* What is on its way arrives although its sender has closed. */
static void end_comes_after_the_bytes(void **state)
{
	struct path *path = make(true);
	size_t sent = fill(path, path->client);

	(void)state;
	close(take_fd(&path->client));
	empty(path, path->app, sent);
	assert_int_equal(wait_recv(path, path->app), 0);
	assert_int_equal(shutdown(path->app, SHUT_WR), 0);
	finish(path);
}

static void resets_pass(void **state)
{
	struct path *path;

	(void)state;
	path = make(true);
	reset(&path->client);
	assert_int_equal(wait_recv(path, path->app), -ECONNRESET);
	finish(path);
	path = make(true);
	reset(&path->app);
	assert_int_equal(wait_recv(path, path->client), -ECONNRESET);
	finish(path);
	/* A side that has said all is still watched. */
	path = make(true);
	assert_int_equal(shutdown(path->client, SHUT_WR), 0);
	assert_int_equal(wait_recv(path, path->app), 0);
	reset(&path->client);
	wait_done(path);
	assert_int_equal(send(path->app, "x", 1, 0), -1);
	finish(path);
}

static void refusal_is_a_reset(void **state)
{
	(void)state;
	for (int aborted = 0; aborted < 2; aborted++) {
		struct path *path = make(false);

		if (aborted)
			bypass_abort(path->bypass);
		assert_int_equal(wait_recv(path, path->client), -ECONNRESET);
		finish(path);
	}
}

static void abort_resets_both(void **state)
{
	struct path *path = make(true);

	(void)state;
	transfer(path, path->client, path->app, 1000);
	bypass_abort(path->bypass);
	assert_int_equal(path->done, 1);
	assert_int_equal(wait_recv(path, path->client), -ECONNRESET);
	assert_int_equal(wait_recv(path, path->app), -ECONNRESET);
	finish(path);
}

/* A reader that stands still stops its writer, and costs no wake-ups. */
static void stalled_reader(void **state)
{
	struct path *path = make(true);
	size_t sent = fill(path, path->client);

	(void)state;
	/* The buffers of two connections and one pipe. */
	assert_in_range(sent, SOCKET_BYTES, 16 * 1024 * 1024);
	settle(path);
	transfer(path, path->app, path->client, BULK_BYTES);
	empty(path, path->app, sent);
	bypass_abort(path->bypass);
	finish(path);
}

/* Both have said all, but one has not been heard yet: epoll(7) cannot be told to ignore that. */
static void ended_but_stalled(void **state)
{
	struct path *path = make(true);
	size_t sent = fill(path, path->client);

	(void)state;
	assert_int_equal(shutdown(path->client, SHUT_WR), 0);
	assert_int_equal(shutdown(path->app, SHUT_WR), 0);
	assert_int_equal(wait_recv(path, path->client), 0);
	settle(path);
	assert_int_equal(path->done, 0);
	empty(path, path->app, sent);
	assert_int_equal(wait_recv(path, path->app), 0);
	finish(path);
}

static size_t count_pipes(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char target[64];
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));

		if (n > 5 && memcmp(target, "pipe:", 5) == 0)
			count++;
	}
	closedir(dir);
	return count;
}

static void idle_has_no_pipe(void **state)
{
	struct path *path = make(true);
	size_t before = count_pipes(), sent;

	(void)state;
	transfer(path, path->client, path->app, BULK_BYTES);
	transfer(path, path->app, path->client, BULK_BYTES);
	settle(path);
	assert_int_equal(count_pipes(), before);
	sent = fill(path, path->client);
	assert_int_equal(count_pipes(), before + 2);
	empty(path, path->app, sent);
	settle(path);
	assert_int_equal(count_pipes(), before);
	bypass_abort(path->bypass);
	finish(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_and_half_close),
		cmocka_unit_test(end_comes_after_the_bytes),
		cmocka_unit_test(resets_pass),
		cmocka_unit_test(refusal_is_a_reset),
		cmocka_unit_test(abort_resets_both),
		cmocka_unit_test(stalled_reader),
		cmocka_unit_test(ended_but_stalled),
		cmocka_unit_test(idle_has_no_pipe),
	};

	if (!enter_own_netns() || !limit_send_buffers(SOCKET_BYTES))
		return EXIT_FAILURE;
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
