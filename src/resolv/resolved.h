/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv/resolved.h - systemd-resolved by D-Bus: who answers for names of one link
 *
 * Everything set here belongs to the link and goes with it. The library of systemd is loaded only
 * where resolved is the system's resolver (resolv_is_resolved()), so that no other machine has it,
 * and what it needs, in a process of root.
 * Order: resolved_open() before privileges are dropped (it loads, opens the bus's socket and asks
 * for the daemon's comings); everything else makes no other calls than send, receive and poll. Each
 * call to the bus waits at most RESOLVED_CALL_MS. Threading: none.
 */
#ifndef RESOLV_RESOLVED_H
#define RESOLV_RESOLVED_H

#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

struct err;
struct resolved;

#define RESOLVED_CALL_MS 1000

/* -ENOENT: the library, the bus or the daemon is not there. */
NODISCARD int resolved_open(struct resolved **ret_resolved, struct err *err);
void resolved_free(struct resolved *resolved); /* NULL-safe; the link keeps what was set */
/* Readable: resolved_process() is to be called. -1: no more. */
int resolved_fd(const struct resolved *resolved);
/*
 * The link's server is 127.0.0.1, that port, for names below these domains only: without LLMNR,
 * multicast DNS, DNSSEC and TLS. domains: names one after the other, each with its NUL; "~" before
 * a name: it only says where to ask; else it is searched for single labels, too. 0 bytes: the link
 * has no server again.
 */
NODISCARD int resolved_set(struct resolved *resolved, uint32_t ifindex, uint16_t port,
	const char *domains, size_t bytes, struct err *err);
/* A daemon that came anew is told again. */
void resolved_process(struct resolved *resolved);

#endif /* RESOLV_RESOLVED_H */
