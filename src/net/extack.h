/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/extack.h - the kernel's own words in a netlink error (NETLINK_EXT_ACK)
 */
#ifndef NET_EXTACK_H
#define NET_EXTACK_H

#include "core/attr.h"

struct nlmsghdr;

#define EXTACK_BYTES 128

/*
 * Copies the message of an NLMSG_ERROR, "" when it has none. The message must have been received
 * whole: nlmsg_len bytes are read.
 */
const char *extack_text(const struct nlmsghdr *nlh, char out[static EXTACK_BYTES]);

#endif /* NET_EXTACK_H */
