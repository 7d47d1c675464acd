/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/conduit.h - bulk from one socket to another, past this process's memory: splice(2)
 *
 * Where bytes go on as they are, so by carriers without TLS and without masks, they need not be
 * copied into this process and out of it again: a pipe of the kernel holds references to their
 * pages meanwhile. There is one for the process, and it is empty again before the loop goes on. The
 * sockets do not block, SIGPIPE is ignored. Loop thread only.
 */
#ifndef TUNNEL_CONDUIT_H
#define TUNNEL_CONDUIT_H

#include <stdint.h>
#include <sys/types.h>

#include "core/attr.h"

/* Less than this is copied: three calls of the kernel instead of two cost more. */
#define CONDUIT_MIN_BYTES ((size_t)32 * 1024)

/* At most len bytes of the socket; what was there before is dropped. 0 or -errno: nothing, ask
 * recv(2) why. */
NODISCARD ssize_t conduit_fill(int fd, size_t len);
size_t conduit_len(void);
/* What the socket takes of it; 0: nothing now, -errno. */
NODISCARD ssize_t conduit_pour(int fd);
/* The rest, as bytes of this process: how many, at most len. */
size_t conduit_read(void *out, size_t len);
void conduit_drop(void);

#endif /* TUNNEL_CONDUIT_H */
