/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc/channel.h - SOCK_SEQPACKET frames with peer credentials and passed descriptors
 *
 * Abstract names: no file that could be left behind, squatted on disk or need cleaning; each
 * network namespace has its own. They carry no permissions, so both sides check SO_PEERCRED.
 */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include <stdint.h>
#include <sys/socket.h>

#include "core/attr.h"

struct err;

/* The listening socket (non-blocking, close-on-exec), or -errno. -EADDRINUSE: somebody has it. */
NODISCARD int ipc_listen(const char *name, struct err *err);
NODISCARD int ipc_connect(const char *name, struct err *err);
NODISCARD int ipc_peer_cred(int sock, struct ucred *ret_cred, struct err *err);
/* The process at the other end of any Unix socket, readable once it has ended; or -errno. */
NODISCARD int ipc_peer_pidfd(int sock);

/* One frame, never blocking: -EAGAIN when the peer does not read. pass_fd is borrowed, -1: none. */
NODISCARD int ipc_send(int sock, const void *data, size_t len, int pass_fd, struct err *err);
/*
 * One frame, never blocking. Its length, 0 when the peer has closed, -EAGAIN when there is none,
 * -EMSGSIZE when it is longer than cap. ret_fd NULL: a frame with a descriptor is -EPROTO; else
 * it gets the descriptor or -1.
 */
NODISCARD int ipc_recv(int sock, void *data, size_t cap, int *ret_fd, struct err *err);

#endif /* IPC_CHANNEL_H */
