/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun/policy.h - what the root daemon lets an unprivileged peer do to the host's routing
 *
 * The peer may be wrong, or steered by a hostile cluster. It must not be able to take the whole
 * internet (or this host itself) into its device, nor more of it than clusters can need. Pure.
 */
#ifndef TUN_POLICY_H
#define TUN_POLICY_H

#include <stddef.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;
struct tun_config;

/*
 * Shortest prefixes. IPv4: clusters are given private space, whose largest block is 10.0.0.0/8.
 * IPv6: /32 is what a whole provider is given (RFC 6177 gives a site /48).
 */
#define POLICY_MIN_LEN4 8
#define POLICY_MIN_LEN6 32
/* All IPv4 prefixes together: eight /8, more than all private space. */
#define POLICY_MAX_ADDRESSES4 (UINT64_C(8) << 24)
/* The TUN's own subnet holds two addresses; these leave room for a pool. */
#define POLICY_OWN_MIN_LEN4 16
#define POLICY_OWN_MIN_LEN6 64

/* Name, MTU and addresses of the device. 0, -EINVAL or -EPERM. */
NODISCARD int policy_check_device(const struct tun_config *config, struct err *err);
/* Wanted routes against the rules above and the device's own subnets. 0, -EINVAL or -EPERM. */
NODISCARD int policy_check_routes(const struct ip_prefix *prefixes, size_t count,
	const struct tun_config *device, struct err *err);
/* A nameserver is a unicast address, loopback allowed (a stub resolver). 0, -EINVAL or -EPERM. */
NODISCARD int policy_check_nameserver(const struct ip_addr *addr, struct err *err);

/* Domains for systemd-resolved, as root_client_resolved() has them: host names that are not the
 * root, at most POLICY_DOMAINS (its own limit is 1024: LINK_SEARCH_DOMAINS_MAX). 0 or -EINVAL,
 * -E2BIG. */
#define POLICY_DOMAINS 512
NODISCARD int policy_check_domains(const char *domains, size_t bytes, struct err *err);

#endif /* TUN_POLICY_H */
