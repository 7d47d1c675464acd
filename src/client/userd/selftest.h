/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/selftest.h - does any program on this system find and reach the cluster?
 *
 * A child process (this program as `telepresence lookup NAME`) asks with getaddrinfo(3) and
 * connects to port 443, exactly as any application does: nsswitch.conf, resolv.conf, local caches,
 * firewall and all.
 */
#ifndef CLIENT_USERD_SELFTEST_H
#define CLIENT_USERD_SELFTEST_H

#include <uv.h>

#include "core/attr.h"

struct selftest;

/* A look-up at the pace of resolv.conf, then a connection. */
#define SELFTEST_MS 6000

/* r: 0 found and reached, -ECONNREFUSED found but refused, -EHOSTUNREACH found but no connection,
 * -ENOENT not found, -ETIMEDOUT no answer in SELFTEST_MS, -errno could not be run. */
typedef void (*selftest_fn)(void *user, int r);

/* on_done is called once, never from within. */
struct selftest *selftest_start(uv_loop_t *loop, const char *name, selftest_fn on_done, void *user);
void selftest_cancel(struct selftest *test); /* NULL-safe; on_done is not called */

#endif /* CLIENT_USERD_SELFTEST_H */
