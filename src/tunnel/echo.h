/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/echo.h - between echo datagrams of the tunnel and messages of a ping socket
 */
#ifndef TUNNEL_ECHO_H
#define TUNNEL_ECHO_H

#include <stdint.h>
#include <sys/types.h>

#include "core/attr.h"

/* ICMP's header (RFC 792), and ours. */
#define ECHO_ICMP_BYTES   8
#define ECHO_HEADER_BYTES 4

/* Turns {ident, seq, data} of len bytes into an echo request of this family at out, which has room
 * for len + ECHO_ICMP_BYTES - ECHO_HEADER_BYTES. Its length, or -EINVAL when it is too short. */
NODISCARD ssize_t echo_to_icmp(
	int family, const uint8_t *datagram, size_t len, uint8_t *out, uint16_t *ret_ident);
/* Turns an echo reply, in place, into {ident, seq, data}, which starts at *ret_start. Its length,
 * or -EINVAL for any other message. */
NODISCARD ssize_t echo_from_icmp(
	int family, uint16_t ident, uint8_t *message, size_t len, uint8_t **ret_start);

#endif /* TUNNEL_ECHO_H */
