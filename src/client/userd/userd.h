/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/userd.h - the user daemon: one loop, one connection at a time, many command lines
 */
#ifndef CLIENT_USERD_USERD_H
#define CLIENT_USERD_USERD_H

#include "core/attr.h"

struct err;

/*
 * Serves until it is told to stop, gets SIGTERM, or its root daemon has ended. Writes a byte to
 * ready_fd (-1: none) and closes it once it listens. 0, or -EADDRINUSE when another one serves.
 */
NODISCARD int userd_run(int ready_fd, struct err *err);

#endif /* CLIENT_USERD_USERD_H */
