/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun/rtnl.h - a route netlink socket: requests that are acknowledged, filtered dumps
 *
 * Errors carry the kernel's extack text. Strict checking is on, so dumps are filtered by the
 * kernel; an interrupted dump is repeated by the caller of rtnl_dump() (-EAGAIN).
 * Privilege: requests that change something need CAP_NET_ADMIN, the socket itself nothing.
 */
#ifndef TUN_RTNL_H
#define TUN_RTNL_H

#include "core/attr.h"

struct err;
struct nl_msg;
struct nlmsghdr;
struct rtnl;

/* Called for every message of a dump. */
typedef void (*rtnl_message_fn)(void *user, struct nlmsghdr *nlh);

NODISCARD int rtnl_open(struct rtnl **ret_rtnl, struct err *err);
void rtnl_free(struct rtnl *rtnl);

/* Sends the message (borrowed) and waits for its acknowledgement. */
NODISCARD int rtnl_request(struct rtnl *rtnl, struct nl_msg *msg, struct err *err);
NODISCARD int rtnl_dump(
	struct rtnl *rtnl, struct nl_msg *msg, rtnl_message_fn fn, void *user, struct err *err);

#endif /* TUN_RTNL_H */
