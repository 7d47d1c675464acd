/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/reason.h - why a CONNECT failed, as it crosses the tunnel
 *
 * The manager answers a CONNECT with 200 once connect(2) succeeded, else with a status and the
 * header "telepresence-reason: <name>"; what becomes of a datagram stream later is told by the code
 * that resets it. The laptop turns the reason into what the application would
 * have seen: RST, an ICMP error, or silence.
 */
#ifndef TUNNEL_REASON_H
#define TUNNEL_REASON_H

#include <stdint.h>

#include "core/attr.h"

enum reason {
	REASON_NONE, /* success */
	REASON_REFUSED, /* ECONNREFUSED: RST */
	REASON_HOST_UNREACHABLE, /* EHOSTUNREACH: ICMP host unreachable */
	REASON_NET_UNREACHABLE, /* ENETUNREACH: ICMP network unreachable */
	REASON_TIMED_OUT, /* ETIMEDOUT: silence */
	REASON_NAME_NOT_FOUND,
	REASON_FORBIDDEN, /* the manager will not dial this: ICMP administratively prohibited */
	REASON_OVERLOADED, /* limits reached: silence, the client's retry may succeed */
	REASON_INTERNAL,
	REASON_NO_CLIENT, /* nobody at the laptop's end: the app gets the connection */
	REASON_COUNT
};

#define REASON_HEADER "telepresence-reason"

const char *reason_name(enum reason reason);
enum reason reason_parse(const char *name); /* of a failure: REASON_INTERNAL for any other name */
enum reason reason_from_errno(int code); /* code: -errno or errno */
int reason_status(enum reason reason); /* HTTP status that carries it; 200 for NONE */
/* The code of the RST_STREAM that carries it, where an answer has been sent already. */
uint32_t reason_reset(enum reason reason);
enum reason reason_of_reset(uint32_t code); /* NONE: it is about something else */

#endif /* TUNNEL_REASON_H */
