/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/relay_out.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A piece that waits, and what goes before it. */
#define HELD_MAX_BYTES  4096
#define BULK_SENT_BYTES ((size_t)16 * 1024)

bool relay_out_hold(struct relay_out *out, size_t len, bool room)
{
	size_t waiting = buf_len(&out->queue);

	out->held =
		room && (waiting == 0 || out->held) && out->bulk && waiting + len < HELD_MAX_BYTES;
	if (!out->held)
		out->bulk = len >= BULK_SENT_BYTES;
	return out->held;
}

ssize_t relay_out_send(
	struct relay_out *out, int fd, size_t queue_len, const uint8_t *data, size_t len)
{
	struct iovec iov[] = {
		{.iov_base = buf_head(&out->queue), .iov_len = queue_len},
		/* sendmsg() does not write to it. */
		{.iov_base = (void *)(uintptr_t)data, .iov_len = len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
	ssize_t n;

	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	buf_consume(&out->queue, MIN((size_t)n, queue_len));
	return n;
}
