/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun/device.h - one TUN interface: made, set up, handed over
 *
 * Lifecycle: tun_open() -> tun_configure() -> tun_close_fd() -> tun_free(). The device is not
 * persistent: it, its addresses and its routes are gone when the last descriptor is closed.
 * Frames carry a 10-byte virtio_net_hdr; TCP arrives in segments of up to 64 KiB with checksums
 * left to the reader (TSO). Measured: 1.4 Gbit/s without these offloads, 14.6 with them.
 * Privilege: CAP_NET_ADMIN. Reading and writing the descriptor needs none.
 */
#ifndef TUN_DEVICE_H
#define TUN_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;
struct rtnl;
struct tun_device;

struct tun_config {
	char name[16]; /* "": as it was made */
	uint32_t mtu; /* 1280..65535 */
	struct ip_prefix addr4, addr6; /* with host bits; family 0: none */
};

/*
 * Makes the device, down, under a name of the kernel's choice (tel%d). Router advertisements are
 * ignored on it, so that who writes to it cannot add routes that way; *ret_ra_warning is set when
 * that could not be said (read-only /proc/sys).
 */
NODISCARD int tun_open(struct tun_device **ret_tun, bool *ret_ra_warning, struct err *err);
/* Names it, gives it MTU and addresses and brings it up. May be repeated after a failure. */
NODISCARD int tun_configure(struct tun_device *tun, struct rtnl *rtnl,
	const struct tun_config *config, struct err *err);
/* The IPv6 address that it was given goes when somebody switches IPv6 off; when it is on again only
 * who gave it gives it back. tun_has_ipv6() says how it is now. */
void tun_renew_ipv6(struct tun_device *tun, struct rtnl *rtnl);

uint32_t tun_ifindex(const struct tun_device *tun);
const char *tun_name(const struct tun_device *tun);
/* Whether IPv6 addresses work on it; known after tun_configure() or tun_renew_ipv6(). */
bool tun_has_ipv6(const struct tun_device *tun);
int tun_fd(const struct tun_device *tun); /* borrowed; -1 after tun_close_fd() */
void tun_close_fd(struct tun_device *tun);
/* Removes the device even while others hold its descriptor. -ENODEV when it is gone already. */
NODISCARD int tun_delete(struct tun_device *tun, struct rtnl *rtnl, struct err *err);
void tun_free(struct tun_device *tun); /* closes the descriptor, if still there */

#endif /* TUN_DEVICE_H */
