/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/agent/own_netns.h - a network namespace of this program's own, with nothing but loopback
 */
#ifndef UNIT_AGENT_OWN_NETNS_H
#define UNIT_AGENT_OWN_NETNS_H

#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* In a user namespace, too, so that no privilege is needed. False when the kernel refuses. */
static inline bool enter_own_netns(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = -1, r = unshare(CLONE_NEWUSER | CLONE_NEWNET);

	if (r == 0) {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		r = ioctl(fd, SIOCSIFFLAGS, &request);
	}
	if (r < 0)
		perror("this test wants user and network namespaces");
	if (fd >= 0)
		close(fd);
	return r == 0;
}

/* The kernel would take megabytes for a reader that stands still. */
static inline bool limit_send_buffers(int bytes)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_wmem", "we");
	bool ok = file && fprintf(file, "4096 %d %d", bytes, bytes) > 0;

	return file && fclose(file) == 0 && ok;
}

#endif /* UNIT_AGENT_OWN_NETNS_H */
