/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/sandbox.h - what is left of the container's rights once the agent serves
 *
 * Afterwards: CAP_NET_ADMIN alone, not to be widened (no_new_privs); not dumpable, so that the
 * app's processes cannot look into it where they share a process namespace; a system call that the
 * agent does not need kills it, which gives the app its ports back.
 */
#ifndef AGENT_SANDBOX_H
#define AGENT_SANDBOX_H

#include "core/attr.h"

struct err;

/* Drops capabilities, then installs the filter. There is no way back. */
NODISCARD int sandbox_enter(struct err *err);

#endif /* AGENT_SANDBOX_H */
