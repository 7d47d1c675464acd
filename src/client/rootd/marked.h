/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/rootd/marked.h - sockets that the DNS redirect leaves alone, so many a second
 */
#ifndef CLIENT_ROOTD_MARKED_H
#define CLIENT_ROOTD_MARKED_H

#include <stdint.h>
#include <time.h>

#include "core/attr.h"

struct err;

/* Clear of the bits that kube-proxy (0x4000, 0x8000), Cilium (0x0f00), Tailscale (0xff0000) and
 * Calico (0xffff0000) give a meaning. */
#define SOCKET_MARK 0x1074

struct marked {
	unsigned int tokens;
	struct timespec refill;
};

void marked_init(struct marked *marked);
/* A non-blocking one of that family and type; or -errno: -EAGAIN when there were too many. */
NODISCARD int marked_socket(struct marked *marked, int family, int type, struct err *err);

#endif /* CLIENT_ROOTD_MARKED_H */
