/* SPDX-License-Identifier: Apache-2.0 */
#include "core/syscalls.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "core/err.h"

static const struct syscall_rule common[] = {
	{.call = SCMP_SYS(read)},
	{.call = SCMP_SYS(close)},
	{.call = SCMP_SYS(clock_gettime)},
	/* core/log.c */
	{.call = SCMP_SYS(write)},
	/* glibc: malloc, locks, the process's end */
	{.call = SCMP_SYS(brk)},
	{.call = SCMP_SYS(munmap)},
	{.call = SCMP_SYS(mremap)},
	{.call = SCMP_SYS(madvise)},
	{.call = SCMP_SYS(futex)},
	{.call = SCMP_SYS(getrandom)},
	{.call = SCMP_SYS(restart_syscall)},
	{.call = SCMP_SYS(rt_sigreturn)},
	{.call = SCMP_SYS(rt_sigprocmask)},
	{.call = SCMP_SYS(exit)},
	{.call = SCMP_SYS(exit_group)},
	/* malloc's; never memory that can be executed */
	{SCMP_SYS(mmap), 1,
		{{.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0}}},
#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer's own start and end; such a build is for tests only. */
	{.call = SCMP_SYS(sigaltstack)},
	{.call = SCMP_SYS(sched_yield)},
	{.call = SCMP_SYS(getpid)},
	{.call = SCMP_SYS(gettid)},
	{.call = SCMP_SYS(mprotect)},
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

static int add_rules(scmp_filter_ctx filter, const struct syscall_rule *rules, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_rule_add_array(
			filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count, rules[i].args);
	return r;
}

int syscalls_confine(const struct syscall_rule *rules, size_t count, struct err *err)
{
	scmp_filter_ctx filter;
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(err, -errno, "prctl");
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	r = filter ? add_rules(filter, common, ARRAY_SIZE(common)) : -ENOMEM;
	if (r == 0)
		r = add_rules(filter, rules, count);
	if (r == 0)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return r < 0 ? err_set_errno(err, r, "system call filter") : 0;
}
