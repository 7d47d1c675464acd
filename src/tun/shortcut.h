/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun/shortcut.h - the kernel's own way for packets of TCP flows that are known (net/shortcut.h)
 *
 * A BPF program at the TUN's egress (tcx, Linux 6.6): it rewrites what the map knows and gives it
 * back to the kernel as received on the TUN. All else, and every SYN, FIN and RST, goes to who
 * reads the TUN. Where the kernel cannot or may not, everything does.
 */
#ifndef TUN_SHORTCUT_H
#define TUN_SHORTCUT_H

#include <stdint.h>

#include "core/attr.h"

/* Descriptors; -1: there are none. Closing the link takes the program away. */
struct shortcut {
	int map_fd, link_fd;
};

/* For the process: needs CAP_BPF and CAP_NET_ADMIN. 0, or -errno: do without. */
NODISCARD int shortcut_open(struct shortcut *ret_shortcut, uint32_t ifindex);
void shortcut_close(struct shortcut *shortcut);

#endif /* TUN_SHORTCUT_H */
