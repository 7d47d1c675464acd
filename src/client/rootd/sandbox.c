/* SPDX-License-Identifier: Apache-2.0 */
#include "client/rootd/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <sys/socket.h>

#include "core/err.h"
#include "core/syscalls.h"

/* Each with the code that makes it. */
static const struct syscall_rule rules[] = {
	/* server.c: the loop, signals, the listener; ipc/channel.c: frames */
	{.call = SCMP_SYS(poll)},
	{.call = SCMP_SYS(ppoll)},
	{.call = SCMP_SYS(accept4)},
	{.call = SCMP_SYS(getsockopt)},
	{.call = SCMP_SYS(recvmsg)},
	{.call = SCMP_SYS(sendmsg)},
	/* tun/rtnl.c by libnl, netfilter/nft.c by libmnl */
	{.call = SCMP_SYS(recvfrom)},
	{.call = SCMP_SYS(sendto)},
	/* session.c: sockets for the resolver, with our mark and no other option */
	{SCMP_SYS(socket), 1, {{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET}}},
	{SCMP_SYS(socket), 1, {{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET6}}},
	{SCMP_SYS(setsockopt), 2,
		{{.arg = 1, .op = SCMP_CMP_EQ, .datum_a = SOL_SOCKET},
			{.arg = 2, .op = SCMP_CMP_EQ, .datum_a = SO_MARK}}},
};

int sandbox_enter(struct err *err)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_update(CAPNG_ADD, CAPNG_PERMITTED, CAP_NET_ADMIN) < 0 ||
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_NET_ADMIN) < 0 || capng_lock() < 0 ||
		capng_apply(CAPNG_SELECT_ALL) < 0)
		return err_set(
			err, -EPERM, ERR_PERMISSION, "dropping capabilities (is this root?)");
	return syscalls_confine(rules, ARRAY_SIZE(rules), err);
}
