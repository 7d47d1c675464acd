/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/outgoing.h - TCP connections of this host, also to a target that it has had thousands to
 *
 * Who closes a connection first keeps its addresses and ports for a minute (TIME_WAIT). With a port
 * of the kernel's choice connect(2) leaves those alone, so after 28,000 connections to one target
 * there is none for a while. A socket that is bound first may have such a port again at once, where
 * both ends put time stamps into their segments (RFC 6191), which is how Linux comes.
 */
#ifndef TUNNEL_OUTGOING_H
#define TUNNEL_OUTGOING_H

#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

/* Zero at first, or by outgoing_init(). */
struct outgoing {
	uint64_t scarce_until_ms; /* the kernel looks through all its ports in vain: not asked */
	uint32_t first, count, next; /* of the ports to bind to */
};

/* Reads the ports that the kernel would choose from, of a file in /proc: for who may open none any
 * more when they are needed. Others need not call it. */
void outgoing_init(struct outgoing *outgoing);
/* A non-blocking socket on which connect(2) is under way; now_ms: of a clock that only grows. 0, 1:
 * it is connected already, or -errno; -EAGAIN: each port that was tried is in use. */
NODISCARD int outgoing_connect(
	struct outgoing *outgoing, const struct ip_endpoint *to, uint64_t now_ms, int *ret_fd);

#endif /* TUNNEL_OUTGOING_H */
