/* SPDX-License-Identifier: Apache-2.0 */
#include "net/extack.h"

#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* NLA_HDRLEN and NLA_ALIGN, which are of type int in the kernel's header. */
#define ATTR_HEADER sizeof(struct nlattr)
#define ATTR_ALIGN  ((size_t)NLA_ALIGNTO)

/* Where the attributes start: behind the error, and behind the request that it repeats unless the
 * kernel left that out (NETLINK_CAP_ACK). 0: there are none. */
static size_t attributes_offset(const struct nlmsghdr *nlh)
{
	size_t offset = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nlmsgerr));
	struct nlmsgerr error;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || nlh->nlmsg_len < offset)
		return 0;
	memcpy(&error, (const uint8_t *)nlh + NLMSG_HDRLEN, sizeof(error));
	if (nlh->nlmsg_flags & NLM_F_CAPPED)
		return offset;
	if (error.msg.nlmsg_len < NLMSG_HDRLEN || error.msg.nlmsg_len > nlh->nlmsg_len)
		return 0;
	return offset + NLMSG_ALIGN(error.msg.nlmsg_len) - NLMSG_HDRLEN;
}

const char *extack_text(const struct nlmsghdr *nlh, char out[static EXTACK_BYTES])
{
	const uint8_t *bytes = (const uint8_t *)nlh;
	size_t pos = attributes_offset(nlh);

	out[0] = '\0';
	while (pos > 0 && pos + ATTR_HEADER <= nlh->nlmsg_len) {
		struct nlattr attr;

		memcpy(&attr, bytes + pos, sizeof(attr));
		if (attr.nla_len < ATTR_HEADER || attr.nla_len > nlh->nlmsg_len - pos)
			break;
		if ((attr.nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
			(void)snprintf(out, EXTACK_BYTES, "%.*s", (int)(attr.nla_len - ATTR_HEADER),
				(const char *)bytes + pos + ATTR_HEADER);
			break;
		}
		pos += (attr.nla_len + ATTR_ALIGN - 1) & ~(ATTR_ALIGN - 1);
	}
	return out;
}
