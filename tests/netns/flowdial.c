/* SPDX-License-Identifier: Apache-2.0 */
#include "flowdial.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* TCP sockets that are made at a time: the way to the other namespace and back costs more than
 * each.
 */
#define POOL_SOCKETS 64

/* Sockets of one family that are not used yet. */
struct pool {
	int fds[POOL_SOCKETS];
	unsigned int count;
};

static int own_netns = -1, other_netns = -1;
static struct pool pool4, pool6;

int flowdial_open(const char *netns_file)
{
	own_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	other_netns = open(netns_file, O_RDONLY | O_CLOEXEC);
	return own_netns < 0 || other_netns < 0 ? -errno : 0;
}

/* How many of `count` sockets there are now. */
static unsigned int make(int family, int type, int *fds, unsigned int count)
{
	unsigned int made = 0;

	if (setns(other_netns, CLONE_NEWNET) < 0)
		return 0;
	for (; made < count; made++) {
		fds[made] = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fds[made] < 0)
			break;
	}
	if (setns(own_netns, CLONE_NEWNET) < 0)
		abort();
	return made;
}

static int take(int family, int type)
{
	struct pool *pool = family == AF_INET ? &pool4 : &pool6;
	int fd;

	if (type != SOCK_STREAM)
		return make(family, type, &fd, 1) == 1 ? fd : -EMFILE;
	if (pool->count == 0)
		pool->count = make(family, type, pool->fds, POOL_SOCKETS);
	return pool->count > 0 ? pool->fds[--pool->count] : -EMFILE;
}

int flowdial_socket(const struct ip_endpoint *dst, int type)
{
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(dst, &sa);
	int fd = take(sa.ss_family, type), r;

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}
