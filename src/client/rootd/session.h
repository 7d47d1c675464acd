/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/rootd/session.h - the one peer's requests and everything that they made
 *
 * A table says for each request whether it is permitted now and whether only once, so the order
 * of the protocol is enforced here. The session owns device, sockets and tables from before the
 * privileges are dropped; session_free() undoes what the kernel would keep.
 */
#ifndef CLIENT_ROOTD_SESSION_H
#define CLIENT_ROOTD_SESSION_H

#include "core/attr.h"

struct err;
struct session;

/* Opens the kernel's doors: the TUN device (down, without address), two netlink sockets, and the
 * system bus where systemd-resolved answers. */
NODISCARD int session_open(struct session **ret_session, struct err *err);
void session_free(struct session *session);

/*
 * Answers one frame on sock. 0: go on, also when the request was refused; -errno: the peer breaks
 * the protocol (it has been told) or does not read, so the session has to end.
 */
NODISCARD int session_frame(
	struct session *session, int sock, const void *frame, size_t len, struct err *err);
/* To be polled, -1: none; readable: session_resolved_event(). */
int session_resolved_fd(const struct session *session);
void session_resolved_event(struct session *session);
/* Tells a peer that will not be served why. */
void session_refuse(int sock, const struct err *why);

#endif /* CLIENT_ROOTD_SESSION_H */
