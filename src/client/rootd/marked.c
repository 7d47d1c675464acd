/* SPDX-License-Identifier: Apache-2.0 */
#include "client/rootd/marked.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "core/err.h"
#include "core/limits.h"

/* A resolver takes one socket for each query that it forwards: what it may have in flight, and
 * far more a second than a laptop asks. */
#define SOCKET_BURST      (INT64_C(2) * LIMIT_DNS_INFLIGHT)
#define SOCKET_PER_SECOND 2000

void marked_init(struct marked *marked)
{
	marked->tokens = SOCKET_BURST;
	clock_gettime(CLOCK_MONOTONIC, &marked->refill);
}

static bool take_token(struct marked *marked)
{
	struct timespec now;
	int64_t us, tokens;

	clock_gettime(CLOCK_MONOTONIC, &now);
	us = (int64_t)(now.tv_sec - marked->refill.tv_sec) * 1000000 +
	     (now.tv_nsec - marked->refill.tv_nsec) / 1000;
	tokens = us * SOCKET_PER_SECOND / 1000000;
	if (tokens > 0) {
		marked->tokens = (unsigned int)MIN(marked->tokens + tokens, SOCKET_BURST);
		marked->refill = now;
	}
	if (marked->tokens == 0)
		return false;
	marked->tokens--;
	return true;
}

int marked_socket(struct marked *marked, int family, int type, struct err *err)
{
	uint32_t mark = SOCKET_MARK;
	auto_close int sock = -1;

	if (!take_token(marked))
		return err_set(err, -EAGAIN, ERR_CONFLICT, "more than %d sockets a second",
			SOCKET_PER_SECOND);
	sock = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return err_set_errno(err, -errno, "socket");
	if (setsockopt(sock, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return err_set_errno(err, -errno, "marking a socket");
	return take_fd(&sock);
}
