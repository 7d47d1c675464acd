/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/assoc_path.h - the request path of a datagram stream (docs/manager.md)
 */
#ifndef CLIENT_USERD_ASSOC_PATH_H
#define CLIENT_USERD_ASSOC_PATH_H

#include <stdbool.h>

#include "net/addr.h"

/* "/.well-known/masque/udp/ADDRESS/PORT/" with every colon as %3A (RFC 9298 2), and its NUL. */
#define ASSOC_PATH_BYTES (4 * ADDR_TEXT_BYTES)

/* echo: of pings; the port is none then. */
void assoc_path(const struct ip_endpoint *to, bool echo, char out[static ASSOC_PATH_BYTES]);

#endif /* CLIENT_USERD_ASSOC_PATH_H */
