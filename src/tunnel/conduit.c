/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/conduit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A page, or a piece of one, has a slot of its own: 64 KB that came in segments of 1208 bytes have
 * 55. What a process without privileges may ask for (proc_sys_fs(5), pipe-max-size). */
#define PIPE_BYTES (1024 * 1024)

static struct {
	int read_fd, write_fd;
	size_t len; /* bytes in it */
} conduit = {.read_fd = -1, .write_fd = -1};

static int conduit_open(void)
{
	int fds[2];

	if (conduit.read_fd >= 0)
		return 0;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	/* Without it only less goes at once. */
	(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES);
	conduit.read_fd = fds[0];
	conduit.write_fd = fds[1];
	return 0;
}

void conduit_drop(void)
{
	if (conduit.len == 0)
		return;
	close(take_fd(&conduit.read_fd));
	close(take_fd(&conduit.write_fd));
	conduit.len = 0;
}

ssize_t conduit_fill(int fd, size_t len)
{
	ssize_t n;
	int r;

	conduit_drop();
	r = conduit_open();
	if (r < 0)
		return r;
	do
		n = splice(
			fd, NULL, conduit.write_fd, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	conduit.len = (size_t)n;
	return n;
}

size_t conduit_len(void)
{
	return conduit.len;
}

ssize_t conduit_pour(int fd)
{
	size_t poured = 0;
	ssize_t n = 0;

	while (conduit.len > 0) {
		n = splice(conduit.read_fd, NULL, fd, NULL, conduit.len,
			SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		conduit.len -= (size_t)n;
		poured += (size_t)n;
	}
	return n < 0 && errno != EAGAIN ? -errno : (ssize_t)poured;
}

size_t conduit_read(void *out, size_t len)
{
	size_t take = MIN(len, conduit.len);
	ssize_t n;

	if (take == 0)
		return 0;
	do
		n = read(conduit.read_fd, out, take);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	conduit.len -= (size_t)n;
	return (size_t)n;
}
