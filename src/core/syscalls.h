/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/syscalls.h - confines a process to the system calls that it needs (seccomp(2))
 *
 * Those of every process are in syscalls.c: memory without PROT_EXEC, reading and writing what is
 * open, time, the process's end. Each program names its own beside the code that makes them.
 * Privilege: none is needed, as no_new_privs is set first (prctl(2)).
 */
#ifndef CORE_SYSCALLS_H
#define CORE_SYSCALLS_H

#include <seccomp.h>
#include <stddef.h>

#include "core/attr.h"

struct err;

/* A call that is let through if all conditions hold; count 0: whatever its arguments are. */
struct syscall_rule {
	int call; /* SCMP_SYS() */
	unsigned int count;
	struct scmp_arg_cmp args[2];
};

/* From here on no right is gained, nobody traces this process or dumps its memory, and any other
 * call kills it. There is no way back. */
NODISCARD int syscalls_confine(const struct syscall_rule *rules, size_t count, struct err *err);

#endif /* CORE_SYSCALLS_H */
