/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/selftest.h - does this system's own resolver find a name of the cluster?
 *
 * A child process (this program as `telepresence lookup NAME`) asks with getaddrinfo(3), exactly as
 * any application does: nsswitch.conf, resolv.conf, local caches and all.
 */
#ifndef CLIENT_USERD_SELFTEST_H
#define CLIENT_USERD_SELFTEST_H

#include <uv.h>

#include "core/attr.h"

struct selftest;

#define SELFTEST_MS 3000

/* r: 0 found, -ENOENT not found, -ETIMEDOUT no answer in SELFTEST_MS, -errno could not be run. */
typedef void (*selftest_fn)(void *user, int r);

/* on_done is called once, never from within. */
struct selftest *selftest_start(uv_loop_t *loop, const char *name, selftest_fn on_done, void *user);
void selftest_cancel(struct selftest *test); /* NULL-safe; on_done is not called */

#endif /* CLIENT_USERD_SELFTEST_H */
