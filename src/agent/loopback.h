/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/loopback.h - sockets that only redirected packets reach from outside the pod
 *
 * One port on 127.0.0.1 and ::1, with IP_TRANSPARENT so that the kernel gives them what TPROXY
 * redirects (Documentation/networking/tproxy.rst). Privilege: CAP_NET_ADMIN.
 */
#ifndef AGENT_LOOPBACK_H
#define AGENT_LOOPBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

#define LOOPBACK_SOCKETS 2

struct err;

/* Listening TCP sockets, or UDP sockets that tell where each datagram was sent. An entry of ret_fds
 * is -1 where the pod lacks that family; at least one is not. */
NODISCARD int loopback_open(
	int type, int ret_fds[static LOOPBACK_SOCKETS], uint16_t *ret_port, struct err *err);
bool loopback_is(const struct ip_addr *addr);

#endif /* AGENT_LOOPBACK_H */
