/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/shortcut.h - what the root daemon's BPF program and the flows of the user daemon agree on
 *
 * A map of the kernel (BPF_MAP_TYPE_HASH): packets of a TCP flow that leave by the TUN as `from`
 * come in by it at once as `to` says, without the process that owns the TUN. Addresses and ports in
 * network order; an address of IPv4 is the first four bytes.
 */
#ifndef NET_SHORTCUT_H
#define NET_SHORTCUT_H

#include <stdint.h>

struct shortcut_from {
	uint8_t src[16], dst[16];
	uint8_t ports[4]; /* source, destination */
	uint32_t family;
};

struct shortcut_to {
	uint8_t addrs[32]; /* source, then destination: 4 bytes each, or 16 */
	uint8_t ports[4];
	uint32_t delta_addrs, delta_ports; /* to the sums over them (RFC 1624) */
	/* The program's: of the last packet its acknowledgement and time (CLOCK_MONOTONIC). */
	uint8_t ack[4];
	uint64_t seen_ns, packets;
};

_Static_assert(sizeof(struct shortcut_from) == 40 && sizeof(struct shortcut_to) == 64,
	"the program's offsets");

#endif /* NET_SHORTCUT_H */
