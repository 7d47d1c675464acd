/* SPDX-License-Identifier: Apache-2.0 */
#include "client/rootd/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "core/err.h"

/* Calls without conditions, each with the code that makes it. */
static const int allowed[] = {
	/* server.c: the loop, signals, the listener; ipc/channel.c: frames */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(accept4),
	SCMP_SYS(getsockopt),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(close),
	SCMP_SYS(clock_gettime),
	/* core/log.c */
	SCMP_SYS(write),
	/* tun/rtnl.c by libnl, netfilter/nft.c by libmnl */
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	/* glibc: malloc, locks, the process's end */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer's own start and end; such a build is for tests only. */
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sched_yield),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(mprotect),
#endif
};

#ifdef __SANITIZE_ADDRESS__
/* The leak check wants to trace this process, which it has forbidden. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

/* Calls whose arguments decide. */
static const struct {
	int call;
	unsigned int count;
	struct scmp_arg_cmp args[2];
} conditional[] = {
	/* session.c: sockets for the resolver, with our mark and no other option */
	{SCMP_SYS(socket), 1, {{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET}}},
	{SCMP_SYS(socket), 1, {{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET6}}},
	{SCMP_SYS(setsockopt), 2,
		{{.arg = 1, .op = SCMP_CMP_EQ, .datum_a = SOL_SOCKET},
			{.arg = 2, .op = SCMP_CMP_EQ, .datum_a = SO_MARK}}},
	/* malloc's; never memory that can be executed */
	{SCMP_SYS(mmap), 1,
		{{.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0}}},
};

static int install_filter(struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(conditional); i++)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, conditional[i].call,
			conditional[i].count, conditional[i].args);
	if (r == 0)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return r < 0 ? err_set_errno(err, r, "system call filter") : 0;
}

int sandbox_enter(struct err *err)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_update(CAPNG_ADD, CAPNG_PERMITTED, CAP_NET_ADMIN) < 0 ||
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_NET_ADMIN) < 0 || capng_lock() < 0 ||
		capng_apply(CAPNG_SELECT_ALL) < 0)
		return err_set(
			err, -EPERM, ERR_PERMISSION, "dropping capabilities (is this root?)");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(err, -errno, "prctl");
	return install_filter(err);
}
