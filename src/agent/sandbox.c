/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <sys/socket.h>

#include "core/err.h"
#include "core/syscalls.h"

#define ARGUMENT(number, value) {.arg = (number), .op = SCMP_CMP_EQ, .datum_a = (value)}
/* Of socket(2), without SOCK_NONBLOCK and SOCK_CLOEXEC. */
#define TYPE(value) {.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xf, .datum_b = (value)}

/* Each with the code that makes it. */
static const struct syscall_rule rules[] = {
	/* libuv: the loop, its wake-ups and signals */
	{.call = SCMP_SYS(epoll_create1)},
	{.call = SCMP_SYS(epoll_ctl)},
	{.call = SCMP_SYS(epoll_wait)},
	{.call = SCMP_SYS(epoll_pwait)},
	{.call = SCMP_SYS(eventfd2)},
	{.call = SCMP_SYS(ioctl)}, /* FIONBIO; its argument is no path and no device is open */
	{.call = SCMP_SYS(fcntl)},
	{.call = SCMP_SYS(readv)},
	{.call = SCMP_SYS(writev)},
	{.call = SCMP_SYS(rt_sigaction)},
	/* tunnel/: TLS and relays; agent/: listeners, bypasses, datagrams; netfilter/nft.c */
	{.call = SCMP_SYS(accept4)},
	{.call = SCMP_SYS(bind)},
	{.call = SCMP_SYS(connect)},
	{.call = SCMP_SYS(listen)},
	{.call = SCMP_SYS(getpeername)},
	{.call = SCMP_SYS(getsockname)},
	{.call = SCMP_SYS(getsockopt)},
	{.call = SCMP_SYS(setsockopt)},
	{.call = SCMP_SYS(shutdown)},
	{.call = SCMP_SYS(recvfrom)},
	{.call = SCMP_SYS(recvmsg)},
	{.call = SCMP_SYS(recvmmsg)},
	{.call = SCMP_SYS(sendto)},
	{.call = SCMP_SYS(sendmsg)},
	{.call = SCMP_SYS(sendmmsg)},
	{.call = SCMP_SYS(pipe2)},
	{.call = SCMP_SYS(splice)},
	/* OpenSSL's generator asks whether this is a child */
	{.call = SCMP_SYS(getpid)},
	/* TCP and UDP, nothing raw and no other family: netlink sockets are open already */
	{SCMP_SYS(socket), 2, {ARGUMENT(0, AF_INET), TYPE(SOCK_STREAM)}},
	{SCMP_SYS(socket), 2, {ARGUMENT(0, AF_INET), TYPE(SOCK_DGRAM)}},
	{SCMP_SYS(socket), 2, {ARGUMENT(0, AF_INET6), TYPE(SOCK_STREAM)}},
	{SCMP_SYS(socket), 2, {ARGUMENT(0, AF_INET6), TYPE(SOCK_DGRAM)}},
};

/* The runtime has bounded the container's capabilities to this one. Outside of a container, with
 * more, the bounding set is cut down here; that takes CAP_SETPCAP, which then is there. */
static int drop_capabilities(struct err *err)
{
	capng_select_t what = CAPNG_SELECT_CAPS;

	if (capng_get_caps_process() < 0)
		return err_set(err, -EPERM, ERR_PERMISSION, "reading capabilities");
	if (!capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN))
		return err_set(err, -EPERM, ERR_PERMISSION,
			"no CAP_NET_ADMIN: the cluster's policy has taken it from this container");
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		what = CAPNG_SELECT_ALL;
	capng_clear(what);
	if (capng_update(CAPNG_ADD, CAPNG_PERMITTED, CAP_NET_ADMIN) < 0 ||
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_NET_ADMIN) < 0 ||
		capng_apply(what) < 0)
		return err_set(err, -EPERM, ERR_PERMISSION, "dropping capabilities");
	return 0;
}

int sandbox_enter(struct err *err)
{
	int r = drop_capabilities(err);

	return r < 0 ? r : syscalls_confine(rules, ARRAY_SIZE(rules), err);
}
