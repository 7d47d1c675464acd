/* SPDX-License-Identifier: Apache-2.0 */
#include "flowpump.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"

#define PUMP_BYTES (256 * 1024)

struct side {
	uv_poll_t poll;
	int fd, wanted;
	/* What was read from here and waits for the other side; NULL: nothing ever did. */
	uint8_t *data;
	size_t len, sent;
	bool eof, finished; /* finished: the other side was told */
};

struct pump {
	struct side sides[2];
	unsigned int handles;
};

static unsigned int pumps;
/* What one read brings: seldom does anything of it have to wait. */
static uint8_t scratch[PUMP_BYTES];

static void on_closed(uv_handle_t *handle)
{
	struct pump *pump = handle->data;

	if (--pump->handles > 0)
		return;
	for (unsigned int i = 0; i < 2; i++)
		free(pump->sides[i].data);
	free(pump);
	pumps--;
}

static void stop(struct pump *pump, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = &pump->sides[i];

		uv_close((uv_handle_t *)&side->poll, on_closed);
		if (reset)
			(void)setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(side->fd);
	}
}

/* Sends what there is; what is left of it waits in side->data. -errno when the connection is
 * broken. */
static int send_on(struct side *from, const struct side *to, const uint8_t *data)
{
	ssize_t n;

	while (from->len > 0) {
		n = send(to->fd, data + from->sent, from->len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0)
			break;
		from->sent += (size_t)n;
		from->len -= (size_t)n;
	}
	if (from->len > 0 && data == scratch) {
		if (!from->data)
			from->data = xcalloc(1, PUMP_BYTES);
		memcpy(from->data, scratch + from->sent, from->len);
		from->sent = 0;
	}
	return 0;
}

/* Moves what can be moved from one side to the other. -errno when the connection is broken. */
static int move(struct side *from, const struct side *to)
{
	const uint8_t *data = from->data;
	ssize_t n;
	int r;

	if (from->len == 0 && !from->eof) {
		data = scratch;
		n = read(from->fd, scratch, PUMP_BYTES);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		from->eof = n == 0;
		from->len = n > 0 ? (size_t)n : 0;
		from->sent = 0;
	}
	r = send_on(from, to, data);
	if (r < 0 || from->len > 0)
		return r;
	if (from->eof && !from->finished) {
		from->finished = true;
		if (shutdown(to->fd, SHUT_WR) < 0)
			return -errno;
	}
	return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void want(struct side *side, const struct side *other)
{
	int wanted = (side->len == 0 && !side->eof ? UV_READABLE : 0) |
		     (other->len > 0 ? UV_WRITABLE : 0);

	if (wanted == side->wanted)
		return;
	side->wanted = wanted;
	if (wanted)
		uv_poll_start(&side->poll, wanted, on_poll);
	else
		uv_poll_stop(&side->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct pump *pump = poll->data;
	struct side *a = &pump->sides[0], *b = &pump->sides[1];

	(void)events;
	if (status < 0 || move(a, b) < 0 || move(b, a) < 0) {
		stop(pump, true);
		return;
	}
	if (a->finished && b->finished) {
		stop(pump, false);
		return;
	}
	want(a, b);
	want(b, a);
}

void flowpump_start(uv_loop_t *loop, int a, int b)
{
	struct pump *pump = XNEW(struct pump);
	int fds[2] = {a, b};

	pumps++;
	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = &pump->sides[i];

		side->fd = fds[i];
		side->poll.data = pump;
		uv_poll_init(loop, &side->poll, side->fd);
		side->wanted = UV_READABLE;
		uv_poll_start(&side->poll, side->wanted, on_poll);
		pump->handles++;
	}
}

unsigned int flowpump_count(void)
{
	return pumps;
}
