/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each direction reads into its pipe only while that is empty, so EAGAIN means one thing: nothing
 * there when reading, no room when writing.
 *
 *   a direction    waits for                   ends
 *   empty          its source, readable        EOF: shutdown(SHUT_WR) of the other side
 *   filled         its target, writable        an error: both sides are reset
 *
 * A side that nothing is awaited from is still watched for a reset, by UV_PRIORITIZED: epoll(7)
 * reports errors of whatever it watches.
 */
#include "agent/bypass.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "core/log.h"
#include "net/socket.h"

/* What a pipe holds unless told otherwise (pipe(7)). */
#define PIPE_BYTES 65536

enum { CLIENT, APP, SIDES };
enum { PIPE_OUT, PIPE_IN };

struct side {
	struct bypass *bypass;
	uv_poll_t poll;
	int fd;
	bool has_poll;
	int mask; /* what poll waits for */
	bool urgent; /* had urgent data: not watched for resets while idle any more */
	/* Of the direction that starts here. */
	int pipe[2]; /* -1 while there is nothing in it */
	size_t filled;
	bool over; /* its end was passed on */
};

struct bypass {
	struct side sides[SIDES];
	uv_timer_t timer; /* until the app has answered */
	bool done;
	unsigned int open_handles;
	void (*on_done)(void *user);
	void *user;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static struct side *other(struct side *side)
{
	return &side->bypass->sides[side == &side->bypass->sides[CLIENT] ? APP : CLIENT];
}

static void close_pipe(struct side *side)
{
	for (int i = 0; i < 2; i++) {
		if (side->pipe[i] >= 0)
			close(take_fd(&side->pipe[i]));
	}
}

static void handle_closed(struct bypass *bypass)
{
	if (--bypass->open_handles == 0)
		free(bypass);
}

static void on_poll_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct side, poll)->bypass);
}

static void on_timer_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct bypass, timer));
}

static void finish(struct bypass *bypass, bool broken)
{
	if (bypass->done)
		return;
	bypass->done = true;
	uv_close((uv_handle_t *)&bypass->timer, on_timer_closed);
	for (int i = 0; i < SIDES; i++) {
		struct side *side = &bypass->sides[i];

		close_pipe(side);
		if (side->has_poll)
			uv_close((uv_handle_t *)&side->poll, on_poll_closed);
		if (side->fd >= 0 && broken)
			socket_reset(side->fd);
		else if (side->fd >= 0)
			close(side->fd);
	}
	bypass->on_done(bypass->user);
}

/* One splice(2) of the direction: bytes moved, 0 for an end that was passed on, -EAGAIN, -errno. */
static ssize_t move(struct side *from)
{
	ssize_t n;

	if (from->filled == 0) {
		if (from->pipe[PIPE_IN] < 0 && pipe2(from->pipe, O_NONBLOCK | O_CLOEXEC) < 0)
			return -errno;
		n = splice(from->fd, NULL, from->pipe[PIPE_IN], NULL, PIPE_BYTES,
			SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (n < 0)
			return -errno;
		from->filled = (size_t)n;
		if (n == 0) {
			from->over = true;
			(void)shutdown(other(from)->fd, SHUT_WR);
			return 0;
		}
	}
	n = splice(from->pipe[PIPE_OUT], NULL, other(from)->fd, NULL, from->filled,
		SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	from->filled -= (size_t)n;
	return n;
}

/* 0, or -errno when the connection is broken. */
static int pump(struct side *from)
{
	size_t budget = LIMIT_PUMP_BYTES;
	ssize_t n = 0;

	while (!from->over && budget > 0) {
		n = move(from);
		if (n == -EAGAIN)
			break;
		if (n < 0 && n != -EINTR)
			return (int)n;
		budget -= MIN(budget, n > 0 ? (size_t)n : 0);
	}
	if (from->filled == 0)
		close_pipe(from);
	return 0;
}

static void update_mask(struct side *side)
{
	int mask = 0;

	if (!side->over && side->filled == 0)
		mask |= UV_READABLE;
	if (other(side)->filled > 0)
		mask |= UV_WRITABLE;
	if (mask == 0 && !side->urgent)
		mask = UV_PRIORITIZED;
	if (mask == side->mask)
		return;
	side->mask = mask;
	if (mask == 0)
		(void)uv_poll_stop(&side->poll);
	else
		(void)uv_poll_start(&side->poll, mask, on_poll);
}

static void run(struct bypass *bypass)
{
	struct side *sides = bypass->sides;

	if (pump(&sides[CLIENT]) < 0 || pump(&sides[APP]) < 0) {
		finish(bypass, true);
	} else if (sides[CLIENT].over && sides[APP].over) {
		finish(bypass, false);
	} else {
		update_mask(&sides[CLIENT]);
		update_mask(&sides[APP]);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct side *side = container_of(poll, struct side, poll);

	if (status < 0) {
		finish(side->bypass, true);
		return;
	}
	if (events & UV_PRIORITIZED)
		side->urgent = true;
	run(side->bypass);
}

static void on_connected(uv_poll_t *poll, int status, int events UNUSED)
{
	struct side *side = container_of(poll, struct side, poll);
	socklen_t len = sizeof(int);
	int error = 0;

	if (status < 0 || getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ||
		error != 0) {
		finish(side->bypass, true);
		return;
	}
	(void)uv_timer_stop(&side->bypass->timer);
	run(side->bypass);
}

static int connect_marked(const struct ip_endpoint *target, uint32_t mark, int *ret_fd)
{
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(target, &sa);
	auto_close int fd =
		socket(target->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static void on_timer(uv_timer_t *timer)
{
	finish(container_of(timer, struct bypass, timer), true);
}

static int start_side(uv_loop_t *loop, struct side *side)
{
	int r = uv_poll_init(loop, &side->poll, side->fd);

	if (r < 0)
		return r;
	side->has_poll = true;
	side->bypass->open_handles++;
	return 0;
}

static int start(
	uv_loop_t *loop, struct bypass *bypass, const struct ip_endpoint *app, uint32_t mark)
{
	struct side *sides = bypass->sides;
	int r = start_side(loop, &sides[CLIENT]);

	if (r == 0)
		r = connect_marked(app, mark, &sides[APP].fd);
	if (r == 0)
		r = start_side(loop, &sides[APP]);
	if (r == 0)
		r = uv_poll_start(&sides[APP].poll, UV_WRITABLE, on_connected);
	if (r == 0)
		sides[APP].mask = UV_WRITABLE;
	return r;
}

void bypass_start(uv_loop_t *loop, int fd, const struct ip_endpoint *app, uint32_t mark,
	void (*on_done)(void *user), void *user, struct bypass **ret_bypass)
{
	struct bypass *bypass = XNEW(struct bypass);
	int r;

	*bypass = (struct bypass){.on_done = on_done, .user = user, .open_handles = 1};
	(void)uv_timer_init(loop, &bypass->timer);
	for (int i = 0; i < SIDES; i++)
		bypass->sides[i] = (struct side){.bypass = bypass, .fd = -1, .pipe = {-1, -1}};
	bypass->sides[CLIENT].fd = fd;
	r = start(loop, bypass, app, mark);
	if (r < 0)
		log_warn("connection lost", "why=\"%s\"", strerror(-r));
	/* What failed is told from the loop. */
	(void)uv_timer_start(&bypass->timer, on_timer, r < 0 ? 0 : BYPASS_CONNECT_MS, 0);
	*ret_bypass = bypass;
}

void bypass_abort(struct bypass *bypass)
{
	finish(bypass, true);
}
