/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "core/err.h"

/* Calls without conditions, each with the code that makes it. */
static const int allowed[] = {
	/* libuv: the loop, its wake-ups and signals */
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(ioctl), /* FIONBIO; its argument is no path and this has no device open */
	SCMP_SYS(fcntl),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(clock_gettime),
	/* tunnel/: TLS and relays; agent/: listeners, bypasses, datagrams; netfilter/nft.c */
	SCMP_SYS(accept4),
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(listen),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(pipe2),
	SCMP_SYS(splice),
	/* OpenSSL's generator asks whether this is a child */
	SCMP_SYS(getpid),
	/* glibc: malloc, locks, the process's end */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer's own start and end; such a build is for tests only. */
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sched_yield),
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
	/* TCP and UDP, nothing raw and no other family: netlink sockets are open already */
	{SCMP_SYS(socket), 2,
		{{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET},
			{.arg = 1,
				.op = SCMP_CMP_MASKED_EQ,
				.datum_a = 0xf,
				.datum_b = SOCK_STREAM}}},
	{SCMP_SYS(socket), 2,
		{{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET},
			{.arg = 1,
				.op = SCMP_CMP_MASKED_EQ,
				.datum_a = 0xf,
				.datum_b = SOCK_DGRAM}}},
	{SCMP_SYS(socket), 2,
		{{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET6},
			{.arg = 1,
				.op = SCMP_CMP_MASKED_EQ,
				.datum_a = 0xf,
				.datum_b = SOCK_STREAM}}},
	{SCMP_SYS(socket), 2,
		{{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET6},
			{.arg = 1,
				.op = SCMP_CMP_MASKED_EQ,
				.datum_a = 0xf,
				.datum_b = SOCK_DGRAM}}},
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

	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(err, -errno, "prctl");
	return install_filter(err);
}
