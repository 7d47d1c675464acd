/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/nswatch.h - tells when the files that name the laptop's nameservers change
 *
 * Written in place or replaced, by a DHCP client, a VPN or systemd-resolved; told once,
 * NSWATCH_QUIET_MS after the first change of a burst.
 */
#ifndef CLIENT_USERD_NSWATCH_H
#define CLIENT_USERD_NSWATCH_H

#include <uv.h>

struct nswatch;

#define NSWATCH_QUIET_MS 200

/* A file that is not there is not watched until something else changes. */
struct nswatch *nswatch_new(uv_loop_t *loop, void (*on_change)(void *user), void *user);
void nswatch_free(struct nswatch *watch); /* NULL-safe; no callback follows */

#endif /* CLIENT_USERD_NSWATCH_H */
