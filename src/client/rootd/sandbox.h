/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/rootd/sandbox.h - what is left of root's rights once everything is open
 *
 * Afterwards: CAP_NET_ADMIN alone, not to be widened (bounding set, securebits, no_new_privs); not
 * dumpable; a system call that the daemon does not need kills it. It stays uid 0 (docs/ipc.md says
 * why); the files that this uid owns are out of reach, since no call that takes a path is left.
 */
#ifndef CLIENT_ROOTD_SANDBOX_H
#define CLIENT_ROOTD_SANDBOX_H

#include "core/attr.h"

struct err;

/* Drops capabilities, then installs the filter. There is no way back. */
NODISCARD int sandbox_enter(struct err *err);

#endif /* CLIENT_ROOTD_SANDBOX_H */
