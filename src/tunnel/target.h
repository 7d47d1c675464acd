/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/target.h - what a stream is to be connected with, and whether it may be
 *
 * A target is an IP literal or a DNS name, and a port. The policy is the manager's, for what its
 * clients ask: it refuses what only means something on the manager's own host (loopback, link-local
 * with the clouds' metadata services, multicast, broadcast, unspecified) and the manager's own
 * tunnel port, which would be a loop.
 */
#ifndef TUNNEL_TARGET_H
#define TUNNEL_TARGET_H

#include <stdbool.h>

#include "core/attr.h"
#include "net/addr.h"

/* RFC 1035 2.3.4: 253 characters of a name, with NUL. */
#define TARGET_HOST_BYTES 254
/* Addresses of one pod: one of each family, with room. */
#define TARGET_OWN_ADDRESSES 4

struct target {
	char host[TARGET_HOST_BYTES];
	uint16_t port;
	struct ip_addr addr; /* family 0: host is a name to be resolved */
};

struct target_policy {
	struct ip_addr own[TARGET_OWN_ADDRESSES];
	unsigned int own_count;
	uint16_t own_port;
};

/* "10.0.0.1:80", "[fd00::1]:80", "web.shop:80". 0 or -EINVAL. */
NODISCARD int target_parse(const char *authority, struct target *ret_target);
/* Decimal without sign or leading zero, 1 to 65535. 0 or -EINVAL. */
NODISCARD int target_parse_port(const char *text, uint16_t *ret_port);
/* The same from host ("127.0.0.1", "::1", "localhost") and port. 0 or -EINVAL. */
NODISCARD int target_from_host(const char *host, uint16_t port, struct target *ret_target);
/* "/.well-known/masque/udp/<address>/<port>/" (RFC 9298 3.1), colons of IPv6 as they are or as
 * %3A. */
NODISCARD int target_parse_udp(const char *path, struct target *ret_target);
/* "/.well-known/telepresence/icmp/<address>/". */
NODISCARD int target_parse_icmp(const char *path, struct target *ret_target);
/* Adds the pod's own addresses, separated by commas, to the policy. 0 or -EINVAL. */
NODISCARD int target_policy_add(struct target_policy *policy, const char *addresses);
bool target_allowed(const struct target_policy *policy, const struct ip_endpoint *endpoint);

#endif /* TUNNEL_TARGET_H */
