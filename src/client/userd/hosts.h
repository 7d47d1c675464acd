/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/hosts.h - addresses of the hosts that must stay off the tunnel
 */
#ifndef CLIENT_USERD_HOSTS_H
#define CLIENT_USERD_HOSTS_H

#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct hosts_lookup;

#define HOSTS_ADDRESSES 32

/* Called once, never from within hosts_resolve(). Names that do not resolve add nothing. */
typedef void (*hosts_fn)(void *user, const struct ip_addr *addrs, size_t count);

/* URLs like https://host:port/path; NULL ones are skipped. */
struct hosts_lookup *hosts_resolve(
	uv_loop_t *loop, const char *const *urls, size_t count, hosts_fn on_done, void *user);
void hosts_cancel(struct hosts_lookup *lookup); /* on_done is not called; NULL-safe */

/* The host of a URL, without the brackets of an IPv6 address. NULL when there is none. */
char *hosts_of_url(const char *url);

#endif /* CLIENT_USERD_HOSTS_H */
