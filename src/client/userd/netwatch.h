/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/netwatch.h - tells when links, addresses, routes or rules of the laptop change
 *
 * A route netlink socket in the kernel's multicast groups; an ordinary user may have one. Changes
 * come in bursts (a VPN sets a dozen routes): they are told once, NETWATCH_QUIET_MS after the
 * first. Our own device and our own routes are not news. Lost messages count as a change.
 */
#ifndef CLIENT_USERD_NETWATCH_H
#define CLIENT_USERD_NETWATCH_H

#include <uv.h>

#include "core/attr.h"

struct err;
struct netwatch;

#define NETWATCH_QUIET_MS 100

NODISCARD int netwatch_new(uv_loop_t *loop, void (*on_change)(void *user), void *user,
	struct netwatch **ret_watch, struct err *err);
/* The device whose changes are ours, by name. */
void netwatch_ignore(struct netwatch *watch, const char *device);
void netwatch_free(struct netwatch *watch); /* NULL-safe; no callback follows */

#endif /* CLIENT_USERD_NETWATCH_H */
